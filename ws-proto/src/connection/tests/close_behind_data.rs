//! Closing while the transport is blocked: what is still sent before the Close, and what is not.

use std::time::Duration;

use crate::{Completion, ConnectionState, MessageKind, TransportAction, ValidConfig, error::TimedOut};

use super::{
    backpressure::blocked,
    endpoint::{CLOSE_TIMEOUT, SECOND, both, both_with, config},
    timers::timed_out,
    wire::{close, ping, text},
};

const MESSAGE: usize = 8 << 20;
/// The default write timeout.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Without keepalive and message timeout, which would end the silence first.
fn large_queue() -> ValidConfig {
    config(|config| {
        config.write_queue_bytes = 16 << 20;
        config.keepalive = None;
    })
}

#[test]
fn our_close_is_sent_after_accepted_data() {
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
fn a_close_is_sent_after_all_accepted_data_in_a_long_queue() {
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
fn the_peers_close_is_answered_in_place_of_data_that_was_not_started() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("not started");
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
fn crossing_closes_do_not_cut_a_started_frame() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(vec![1; 1_000_000]);
        end.sends_text("not started");
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
fn accepted_messages_are_sent_before_our_close_as_long_as_the_peer_reads() {
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
fn a_peer_that_stops_reading_before_our_close_is_dropped_after_the_write_timeout() {
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
fn without_a_write_timeout_a_peer_that_reads_nothing_is_dropped_after_the_close_timeout() {
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
fn a_peer_that_stops_reading_and_closes_is_dropped_after_the_write_timeout() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; MESSAGE]);
        end.receives([close(1000, "")]);
        assert_eq!(end.transport_action(), TransportAction::Continue);
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
fn a_peer_that_half_closed_gets_accepted_messages_as_long_as_it_reads() {
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
fn after_a_violation_a_peer_that_does_not_read_is_dropped_after_the_close_timeout() {
    both_with(&large_queue(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![7; MESSAGE]);
        end.receives([text(b"\xff")]);
        end.passes(SECOND);
        end.transport_takes(1000);
        end.passes(CLOSE_TIMEOUT - SECOND);
        assert_eq!(end.completions, [Completion::CutOff]);
        assert_eq!(end.transport_action(), TransportAction::Close);
    });
}

#[test]
fn an_abort_cuts_off_messages_accepted_before_the_close() {
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
