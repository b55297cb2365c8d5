//! Limits on what a peer may consume (RFC 6455 section 10.4).

use std::time::Duration;

use crate::{
    Limits, Role, ValidConfig,
    error::{ConnectionError, LimitExceeded},
};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{Frame, binary, continuation, ping, pong, text},
};

fn limits(change: impl FnOnce(&mut Limits)) -> ValidConfig {
    config(|config| change(&mut config.limits))
}

#[track_caller]
fn is_refused(end: &Endpoint, limit: LimitExceeded) {
    let error = end.connection.close_info().and_then(|info| info.error);
    assert_eq!(error, Some(ConnectionError::Limit(limit)));
}

#[test]
fn a_message_of_exactly_the_limit_is_delivered() {
    both_with(&limits(|limits| limits.max_message_size = 100), |mut end| {
        let payload = [b'x'; 100];
        end.receives([binary(payload)]);
        end.delivers_binary(payload);
        end.receives([
            binary(&payload[..60]).not_final(),
            continuation(&payload[60..]).not_final(),
            continuation(""),
        ]);
        end.delivers_binary(payload);
        for byte in binary(payload).encode(end.role() == Role::Server) {
            end.receives_bytes(&[byte]);
        }
        end.delivers_binary(payload);
        end.is_open();
    });
}

#[test]
fn a_message_over_the_limit_is_answered_with_1009_at_its_header() {
    both_with(&limits(|limits| limits.max_message_size = 100), |mut end| {
        end.receives([text("").announcing(101)]);
        is_refused(&end, LimitExceeded::MessageSize { limit: 100 });
        end.fails_with(1009);
    });
}

#[test]
fn a_complete_message_over_the_limit_is_answered_with_1009() {
    both_with(&limits(|limits| limits.max_message_size = 128), |mut end| {
        end.receives([text([b'x'; 256])]);
        end.fails_with(1009);
    });
}

#[test]
fn fragments_over_the_limit_together_are_answered_with_1009_at_the_exceeding_header() {
    both_with(&limits(|limits| limits.max_message_size = 8), |mut end| {
        end.receives([text("five5").not_final()]);
        end.is_open();
        end.receives([continuation("").announcing(4).not_final()]);
        end.fails_with(1009);
    });
    both_with(&limits(|limits| limits.max_message_size = 8), |mut end| {
        end.receives([text("five5").not_final(), continuation("six 66")]);
        end.fails_with(1009);
    });
}

#[test]
fn the_limit_applies_to_each_message() {
    both_with(&limits(|limits| limits.max_message_size = 8), |mut end| {
        for _ in 0..4 {
            end.receives([text("four").not_final(), continuation("more")]);
            end.delivers_text("fourmore");
        }
        end.is_open();
    });
}

#[test]
fn the_default_limit_is_16_mib() {
    const LIMIT: u64 = 16 * 1024 * 1024;
    both(|mut end| {
        end.receives([binary("").announcing(LIMIT)]);
        end.is_open();
    });
    for length in [LIMIT + 1, u64::from(u32::MAX) + 1, i64::MAX as u64] {
        both(|mut end| {
            end.receives([binary("").announcing(length)]);
            is_refused(&end, LimitExceeded::MessageSize { limit: LIMIT as usize });
            end.fails_with(1009);
        });
    }
}

#[test]
fn a_message_of_16_mib_is_delivered() {
    let payload: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    both(|mut end| {
        end.receives([binary(&payload)]);
        end.delivers_binary(&payload);
        end.is_open();
    });
}

#[test]
fn a_limit_may_be_the_largest_number() {
    both_with(&limits(|limits| limits.max_message_size = usize::MAX), |mut end| {
        end.receives([text("a").not_final(), continuation("").announcing(isize::MAX as u64)]);
        end.is_open();
    });
}

#[test]
fn a_frame_over_its_own_limit_is_answered_with_1009_at_its_header() {
    let config = limits(|limits| limits.max_frame_size = Some(10));
    both_with(&config, |mut end| {
        end.receives([text([b'x'; 10]).not_final(), continuation([b'y'; 10])]);
        end.delivers_text("xxxxxxxxxxyyyyyyyyyy");
        end.receives([text("").announcing(11)]);
        is_refused(&end, LimitExceeded::FrameSize { limit: 10 });
        end.fails_with(1009);
    });
    both_with(&config, |mut end| {
        end.receives([text("a").not_final(), continuation("").announcing(11)]);
        end.fails_with(1009);
    });
}

#[test]
fn a_message_in_as_many_fragments_as_allowed_is_delivered_and_one_more_is_answered_with_1008() {
    let fragments = |count: usize| {
        let mut frames: Vec<Frame> = (0..count).map(|_| continuation("").not_final()).collect();
        frames[0] = text("").not_final();
        frames[count - 1] = continuation("");
        frames
    };
    let config = limits(|limits| limits.max_fragments = 5);
    both_with(&config, |mut end| {
        end.receives(fragments(5));
        end.delivers_text("");
        end.receives(fragments(5));
        end.delivers_text("");
        end.is_open();
        end.receives(fragments(6));
        is_refused(&end, LimitExceeded::Fragments { limit: 5 });
        end.fails_with(1008);
    });
}

#[test]
fn where_one_fragment_is_allowed_whole_messages_still_pass() {
    both_with(&limits(|limits| limits.max_fragments = 1), |mut end| {
        end.receives([text("whole")]);
        end.delivers_text("whole");
        end.receives([text("a").not_final()]);
        end.is_open();
        end.receives([continuation("b")]);
        end.fails_with(1008);
    });
}

#[test]
fn more_control_frames_in_one_read_than_allowed_are_answered_with_1008() {
    let config = limits(|limits| limits.max_control_frames_per_read = 3);
    both_with(&config, |mut end| {
        end.receives([ping(""), pong(""), ping(""), text("")]);
        assert_eq!(end.seen.len(), 4);
        end.seen.clear();
        end.receives([pong(""), pong(""), pong("")]);
        assert_eq!(end.seen.len(), 3, "each read has its own count");
        end.seen.clear();
        end.sent_pong(b"");
        end.sent_pong(b"");
        end.receives([pong(""), text("a").not_final(), pong(""), continuation("b"), pong(""), pong("")]);
        assert_eq!(end.seen.len(), 4);
        end.seen.clear();
        is_refused(&end, LimitExceeded::ControlFrames { limit: 3 });
        end.fails_with(1008);
    });
}

#[test]
fn a_client_refuses_messages_over_its_limit() {
    let mut client = Endpoint::with(Role::Client, &limits(|limits| limits.max_message_size = 1024));
    client.receives([binary([0; 2048])]);
    client.delivers_nothing();
    client.fails_with(1009);
}

#[test]
fn bytes_after_a_refusal_are_discarded() {
    both_with(&limits(|limits| limits.max_message_size = 1024), |mut end| {
        end.receives([binary("").announcing(50 * 1024 * 1024)]);
        end.sent_close(1009);
        for _ in 0..100 {
            end.receives_bytes(&[0x42; 64 * 1024]);
            assert!(end.connection.wants_read());
        }
        end.delivers_nothing();
        end.sends_nothing();
        end.peer_hangs_up();
        assert!(!end.is_finished().is_clean());
    });
}

#[test]
fn more_control_frames_in_a_second_than_allowed_are_answered_with_1008() {
    both_with(&limits(|limits| limits.max_control_frames_per_second = 10), |mut end| {
        for _ in 0..10 {
            end.passes(Duration::from_millis(50));
            end.receives([ping("")]);
            end.delivers_ping(b"");
            end.sent_pong(b"");
        }
        end.is_open();
        end.receives([pong("")]);
        is_refused(&end, LimitExceeded::ControlRate { limit: 10 });
    });
}

#[test]
fn the_rate_of_control_frames_is_counted_per_second() {
    both_with(&limits(|limits| limits.max_control_frames_per_second = 10), |mut end| {
        for _ in 0..1000 {
            end.passes(Duration::from_millis(100));
            end.receives([ping("")]);
            end.delivers_ping(b"");
            end.sent_pong(b"");
        }
        end.is_open();
        // Data in between does not change the count.
        for _ in 0..10 {
            end.receives([text(""), ping("")]);
        }
        end.receives([ping("")]);
        is_refused(&end, LimitExceeded::ControlRate { limit: 10 });
    });
}
