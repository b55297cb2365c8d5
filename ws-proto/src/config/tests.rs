use std::time::Duration;

use super::{Config, Keepalive, Limits};

type Change = fn(&mut Config);

fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    config.validate().unwrap_err().to_string()
}

fn accepts(change: impl FnOnce(&mut Config)) {
    let mut config = Config::default();
    change(&mut config);
    config.validate().unwrap();
}

#[test]
fn a_value_outside_its_range_is_refused_with_its_name_and_value() {
    let zero = Duration::ZERO;
    let nanosecond = Duration::from_nanos(1);
    let cases: [(Change, &str); 11] = [
        (|config| config.limits.max_held_bytes = 0, "max_held_bytes = 0: must be at least 1"),
        (|config| config.write_queue_messages = 0, "write_queue_messages = 0: must be at least 1"),
        (|config| config.limits.max_head_size = 63, "max_head_size = 63: must be at least 64 bytes"),
        (|config| config.limits.max_header_lines = 4, "max_header_lines = 4: must be at least 5"),
        (
            |config| config.limits.max_header_lines = Limits::MAX_HEADER_LINES + 1,
            "max_header_lines = 24577: must be at most 24,576",
        ),
        (|config| config.recorder = Some(0), "recorder = 0: must be from 1 to 65,536"),
        (|config| config.recorder = Some(65_537), "recorder = 65537: must be from 1 to 65,536"),
        (|config| config.close_timeout = Duration::ZERO, "close_timeout = 0ns: must be longer than zero"),
        (|config| config.idle_timeout = Some(Duration::ZERO), "idle_timeout = 0ns: must be longer than zero"),
        (
            |config| config.write_timeout = Some(Duration::ZERO),
            "write_timeout = 0ns: must be longer than zero",
        ),
        (
            |config| config.message_timeout = Some(Duration::ZERO),
            "message_timeout = 0ns: must be longer than zero",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(refusal(change), expected);
    }
    for (keepalive, expected) in [
        (Keepalive::new(zero, Duration::MAX), "keepalive.interval = 0ns: must be at least 1 ms"),
        (Keepalive::new(nanosecond, Duration::MAX), "keepalive.interval = 1ns: must be at least 1 ms"),
        (Keepalive::new(Duration::MAX, nanosecond), "keepalive.timeout = 1ns: must be at least 1 ms"),
    ] {
        assert_eq!(refusal(|config| config.keepalive = Some(keepalive)), expected);
    }
}

#[test]
fn the_edges_of_the_ranges_are_accepted() {
    accepts(|config| {
        config.limits.max_held_bytes = 1;
        config.write_queue_messages = 1;
        config.limits.max_head_size = 64;
        config.limits.max_header_lines = 5;
        config.limits.max_frame_size = Some(0);
        config.limits.max_message_size = 0;
        config.recorder = Some(1);
        config.keepalive = Some(Keepalive::new(Duration::from_millis(1), Duration::from_millis(1)));
    });
    accepts(|config| {
        config.limits.max_held_bytes = usize::MAX;
        config.write_queue_messages = usize::MAX;
        config.limits.max_header_lines = Limits::MAX_HEADER_LINES;
        config.limits.max_frame_size = Some(usize::MAX);
        config.recorder = Some(65_536);
        config.keepalive = Some(Keepalive::new(Duration::MAX, Duration::MAX));
    });
}

#[cfg(feature = "deflate")]
mod compression {
    use super::*;
    use crate::deflate::DeflateConfig;

    fn with(change: impl FnOnce(&mut DeflateConfig)) -> Config {
        let mut deflate = DeflateConfig::server();
        change(&mut deflate);
        Config { deflate: Some(deflate), ..Config::default() }
    }

    #[test]
    fn a_level_or_window_outside_its_range_is_refused_with_its_name_and_value() {
        for value in [0, 10, u8::MAX] {
            let error = with(|deflate| deflate.level = value).validate().unwrap_err();
            assert_eq!(error.to_string(), format!("deflate.level = {value}: must be from 1 to 9"));
        }
        for value in [0, 8, 16, 64, u8::MAX] {
            let error = with(|deflate| deflate.send_window_bits = value).validate().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("deflate.send_window_bits = {value}: must be from 9 to 15")
            );
            let error = with(|deflate| deflate.receive_window_bits = value).validate().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("deflate.receive_window_bits = {value}: must be from 9 to 15")
            );
        }
    }

    #[test]
    fn takeover_costs_less_with_a_smaller_window() {
        let price = |bits| {
            let config =
                with(|deflate| (deflate.send_window_bits, deflate.receive_window_bits) = (bits, bits));
            config.validate().unwrap().takeover_price().unwrap()
        };
        assert!(price(9).sending < price(15).sending && price(9).receiving < price(15).receiving);
        assert!(price(15).sending < 1 << 20);
        assert_eq!(Config::default().validate().unwrap().takeover_price(), None);
    }
}
