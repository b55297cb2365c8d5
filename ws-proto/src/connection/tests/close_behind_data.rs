//! Closing while the transport is blocked: what still goes out before the Close, and what does not.

use std::{sync::Arc, time::Duration};

use crate::{Completion, Config, ConnectionState, MessageKind, TimedOut, Transport};

use super::{
    backpressure::blocked,
    bench::{CLOSE_TIMEOUT, SECOND, both, both_with, config},
    timers::timed_out,
    wire::{close, ping, text},
};

const MESSAGE: usize = 8 << 20;
/// The default.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A keepalive and a message's timeout would end the silence first.
fn large_queue() -> Arc<Config> {
    config(|config| {
        config.write_queue_bytes = 16 << 20;
        config.keepalive = None;
    })
}

#[test]
fn our_close_waits_behind_data_that_was_accepted() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("accepted");
        end.sends_ping(b"p");
        end.closes(1000, "");
        assert!(end.connection.send(MessageKind::Text, b"late", &mut end.tx).is_err());
        end.receives([ping("unanswered")]);
        end.sends_nothing();
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_ping(b"p");
        end.sent_text("accepted");
        end.sent_close(1000);
    });
}

#[test]
fn a_close_with_more_data_before_it_than_is_encoded_ahead_comes_last() {
    both(|mut end| {
        for at in 0..20 {
            end.connection.send(MessageKind::Binary, &[at; 15_000], &mut end.tx).unwrap();
        }
        end.connection.pump(&mut end.tx);
        end.closes(1000, "");
        for at in 0..20 {
            end.sent_binary([at; 15_000]);
        }
        end.sent_close(1000);
    });
}

#[test]
fn the_peers_close_is_answered_in_place_of_data_that_was_not_begun() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("not begun");
        end.sends_ping(b"p");
        end.receives([ping("q"), close(1000, "")]);
        end.sends_nothing();
        end.transport_takes(4);
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_pong(b"q");
        end.sent_ping(b"p");
        end.sent_close(1000);
        end.delivers_ping(b"q");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn crossing_closes_leave_a_begun_frame_whole() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(vec![1; 1_000_000]);
        end.sends_text("not begun");
        end.transport_takes(500_000);
        end.closes(1000, "ours");
        end.receives([close(1001, "theirs")]);
        end.transport_flows();
        end.sent_binary(vec![1; 1_000_000]);
        assert_eq!(end.sent_close(1000), "ours");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_violation_while_a_pong_is_being_written_is_still_answered() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([ping("half written")]);
        end.transport_takes(3);
        end.receives([text(b"\xff")]);
        end.transport_flows();
        end.sent_pong(b"half written");
        end.sent_close(1007);
    });
}

#[test]
fn an_accepted_message_goes_out_before_our_close_as_long_as_the_peer_takes_it() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.closes(1000, "done");
        for _ in 0..20 {
            end.passes(WRITE_TIMEOUT - SECOND);
            end.transport_takes(MESSAGE / 25);
        }
        assert_eq!(end.completions, []);
        end.transport_flows();
        end.sent_binary(vec![7; MESSAGE]);
        assert_eq!(end.completions, [Completion::Written]);
        assert_eq!(end.sent_close(1000), "done");
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn the_close_deadline_begins_when_our_close_is_written() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.closes(1000, "");
        end.passes(WRITE_TIMEOUT / 2);
        end.transport_flows();
        end.sent_binary(vec![7; MESSAGE]);
        end.sent_close(1000);
        end.completions.clear();
        end.passes(CLOSE_TIMEOUT - Duration::from_nanos(1));
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(Duration::from_nanos(1));
        timed_out(&mut end, TimedOut::Close);
    });
}

#[test]
fn a_peer_that_stops_reading_behind_our_close_is_gone_after_the_write_timeout() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.closes(1000, "");
        end.passes(3 * SECOND);
        end.transport_takes(1000);
        end.passes(WRITE_TIMEOUT - SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(SECOND);
        assert_eq!(end.completions, [Completion::CutOff]);
        end.completions.clear();
        assert_eq!(end.connection.close_info().and_then(|info| info.sent.clone()), None);
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn without_a_write_timeout_a_peer_that_takes_nothing_has_the_close_timeout() {
    both_with(&config(|config| config.write_timeout = None), |mut end| {
        blocked(&mut end);
        for _ in 0..100 {
            end.passes(SECOND);
            end.receives([ping("")]);
        }
        end.seen.clear();
        end.closes(1000, "");
        end.passes(CLOSE_TIMEOUT - SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(SECOND);
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn a_peer_that_stops_reading_and_closes_is_gone_after_the_write_timeout() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; MESSAGE]);
        end.receives([close(1000, "")]);
        assert_eq!(end.transport(), Transport::Open);
        end.passes(WRITE_TIMEOUT - SECOND);
        end.delivers_nothing();
        end.passes(SECOND);
        end.completions.clear();
        let info = end.is_finished();
        assert!(!info.is_clean());
        assert_eq!(info.sent, None);
    });
}

#[test]
fn a_peer_that_hung_up_its_own_half_gets_what_was_accepted_as_long_as_it_takes_it() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.peer_hangs_up();
        for _ in 0..20 {
            end.passes(WRITE_TIMEOUT - SECOND);
            end.transport_takes(MESSAGE / 25);
        }
        end.transport_flows();
        end.sent_binary(vec![7; MESSAGE]);
        assert_eq!(end.completions, [Completion::Written]);
    });
}

#[test]
fn a_violation_gives_a_peer_that_does_not_read_no_more_than_the_close_timeout() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.receives([text(b"\xff")]);
        end.passes(SECOND);
        end.transport_takes(1000);
        end.passes(CLOSE_TIMEOUT - SECOND);
        assert_eq!(end.completions, [Completion::CutOff]);
        assert_eq!(end.transport(), Transport::Finished);
    });
}

#[test]
fn an_abort_cuts_off_what_was_accepted_before_the_close() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.closes(1000, "");
        end.connection.abort(&mut end.tx);
        end.drive();
        assert_eq!(end.completions, [Completion::CutOff]);
        end.completions.clear();
        let info = end.is_finished();
        assert_eq!(info.sent, None);
        assert!(!info.is_clean());
    });
}
