//! The round-trip time, from the keepalive's pings.

use std::time::Duration;

use crate::{Config, ConnectionState, ValidConfig, stats::RoundTrip};

use super::{
    endpoint::{Endpoint, SECOND, both_with},
    timers,
    wire::{PING, pong, text},
};

const MILLI: Duration = Duration::from_millis(1);

/// Pings after 10 s of silence and waits 4 s.
fn counting(change: impl FnOnce(&mut Config)) -> ValidConfig {
    timers::keepalive(|config| {
        config.statistics = true;
        change(config);
    })
}

/// Waits until a keepalive ping is sent, and returns its payload.
#[track_caller]
fn next_ping(end: &mut Endpoint) -> Vec<u8> {
    end.passes(10 * SECOND);
    let sent = end.outbound.pop().expect("a ping is sent");
    assert_eq!(sent.opcode, PING);
    sent.payload
}

#[track_caller]
fn round_trip(end: &Endpoint) -> RoundTrip {
    end.stats().round_trip.expect("there is a sample")
}

#[test]
fn each_keepalive_ping_gives_a_sample() {
    both_with(&counting(|_| ()), |mut end| {
        assert_eq!(end.stats().round_trip, None);
        let mut smoothed = None::<Duration>;
        for (number, millis) in (1_u64..).zip([80, 240, 8, 8, 3000]) {
            let payload = next_ping(&mut end);
            assert_eq!(payload, number.to_be_bytes());
            end.passes(millis * MILLI);
            end.receives([pong(payload)]);
            let sample = millis * MILLI;
            // RFC 6298 section 2.
            let expected = smoothed.map_or(sample, |before| before * 7 / 8 + sample / 8);
            smoothed = Some(expected);
            let trip = round_trip(&end);
            assert_eq!((trip.latest, trip.samples), (sample, number));
            assert!(trip.smoothed.abs_diff(expected) < Duration::from_nanos(10), "{trip:?}, {expected:?}");
        }
        assert_eq!(round_trip(&end).minimum, 8 * MILLI);
    });
}

#[test]
fn the_first_smoothed_time_is_the_first_sample() {
    both_with(&counting(|_| ()), |mut end| {
        let payload = next_ping(&mut end);
        end.passes(7 * MILLI);
        end.receives([pong(payload)]);
        let (at, trip) = (7 * MILLI, round_trip(&end));
        assert_eq!((trip.latest, trip.smoothed, trip.minimum, trip.samples), (at, at, at, 1));
    });
}

#[test]
fn other_pongs_do_not_count() {
    both_with(&counting(|_| ()), |mut end| {
        end.receives([pong(""), pong(1_u64.to_be_bytes())]);
        let payload = next_ping(&mut end);
        end.receives([pong(""), pong("foreign"), pong(2_u64.to_be_bytes()), text("alive")]);
        assert_eq!(end.stats().round_trip, None);
        end.passes(50 * MILLI);
        end.receives([pong(&payload)]);
        end.receives([pong(&payload)]);
        assert_eq!((round_trip(&end).latest, round_trip(&end).samples), (50 * MILLI, 1));
        assert_eq!(end.stats().received.pongs, 7);
    });
}

#[test]
fn the_pong_to_an_earlier_ping_does_not_count() {
    both_with(&counting(|_| ()), |mut end| {
        let first = next_ping(&mut end);
        end.receives([text("alive, but busy")]);
        let second = next_ping(&mut end);
        assert_ne!(first, second);
        end.receives([pong(first)]);
        assert_eq!(end.stats().round_trip, None);
        end.passes(30 * MILLI);
        end.receives([pong(second)]);
        assert_eq!(round_trip(&end).latest, 30 * MILLI);
    });
}

#[test]
fn a_pong_that_is_late_is_a_long_sample() {
    both_with(&counting(|_| ()), |mut end| {
        let payload = next_ping(&mut end);
        end.passes(3 * SECOND);
        end.receives([text("alive")]);
        end.passes(5 * SECOND);
        end.receives([pong(payload)]);
        assert_eq!(round_trip(&end).latest, 8 * SECOND);
    });
}

#[test]
fn a_pong_that_never_comes_is_no_sample() {
    both_with(&counting(|_| ()), |mut end| {
        next_ping(&mut end);
        end.passes(4 * SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        assert_eq!(end.stats().round_trip, None);
    });
}

#[test]
fn the_time_begins_when_the_whole_ping_is_written() {
    both_with(&counting(|config| config.write_timeout = None), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 1000]);
        end.passes(10 * SECOND);
        // The ping waits behind the message.
        for _ in 0..4 {
            end.passes(SECOND);
            end.transport_takes(250);
        }
        assert!(end.outbound.pop().is_none());
        end.transport_takes(8);
        end.passes(SECOND);
        end.transport_flows();
        let sent: Vec<_> = std::iter::from_fn(|| end.outbound.pop()).collect();
        assert_eq!(sent.len(), 2);
        end.passes(20 * MILLI);
        end.receives([pong(&sent[1].payload)]);
        assert_eq!(round_trip(&end).latest, 20 * MILLI);
    });
}

#[test]
fn a_pong_before_the_ping_is_written_does_not_count() {
    both_with(&counting(|_| ()), |mut end| {
        end.transport_blocks();
        end.passes(10 * SECOND);
        end.receives([pong(1_u64.to_be_bytes())]);
        assert_eq!(end.stats().round_trip, None);
    });
}

#[test]
fn the_exact_time_is_wanted_only_while_a_ping_is_timed() {
    both_with(&counting(|_| ()), |mut end| {
        end.receives([text("one")]);
        assert!(!end.connection.wants_clock());
        let payload = next_ping(&mut end);
        assert!(end.connection.wants_clock());
        // The driver's time is coarse: the same for the ping and the pong.
        end.connection.handle_clock(end.now + 9 * MILLI);
        end.receives([pong(payload)]);
        assert!(!end.connection.wants_clock());
        assert_eq!(round_trip(&end).latest, 9 * MILLI);
    });
}

#[test]
fn without_statistics_a_keepalive_ping_is_empty() {
    both_with(&timers::keepalive(|_| ()), |mut end| assert_eq!(next_ping(&mut end), b""));
}
