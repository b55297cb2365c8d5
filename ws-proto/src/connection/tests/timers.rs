//! Deadlines, on a virtual clock.

use std::time::Duration;

use crate::{
    Config, ConnectionState, Keepalive, MessageKind, Role, TransportAction, ValidConfig,
    close::Initiator,
    error::{ConnectionError, TimedOut},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, Seen, both, both_with, config},
    wire::{binary, close, continuation, frame, ping, pong, text},
};

const IDLE: Duration = Duration::from_secs(20);

fn idle() -> ValidConfig {
    config(|config| {
        config.idle_timeout = Some(IDLE);
        config.keepalive = None;
        config.message_timeout = None;
    })
}

/// Pings after 10 s of silence and waits 4 s.
pub(super) fn keepalive(change: impl FnOnce(&mut Config)) -> ValidConfig {
    config(|config| {
        config.keepalive = Some(Keepalive::new(10 * SECOND, 4 * SECOND));
        config.message_timeout = None;
        change(config);
    })
}

#[track_caller]
pub(super) fn timed_out(end: &mut Endpoint, expected: TimedOut) {
    let info = end.is_finished();
    assert_eq!(info.error, Some(ConnectionError::TimedOut(expected)));
    assert!(!info.is_clean());
}

// The close timeout.

#[test]
fn a_peer_that_ignores_our_close_is_dropped_after_the_close_timeout() {
    both(|mut end| {
        end.closes(1000, "");
        end.sent_close(1000);
        end.passes(CLOSE_TIMEOUT - Duration::from_nanos(1));
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(Duration::from_nanos(1));
        timed_out(&mut end, TimedOut::Close);
    });
}

#[test]
fn messages_from_the_peer_do_not_extend_the_close_deadline() {
    both(|mut end| {
        end.closes(1000, "");
        for _ in 0..4 {
            end.passes(SECOND);
            end.receives([text("blah"), ping("")]);
        }
        end.passes(SECOND);
        timed_out(&mut end, TimedOut::Close);
    });
}

#[test]
fn one_deadline_covers_the_whole_closing_state() {
    both(|mut end| {
        end.closes(1000, "");
        end.passes(3 * SECOND);
        end.receives([close(1000, "")]);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(2 * SECOND);
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_peer_that_keeps_its_stream_open_is_dropped_after_the_close_timeout() {
    both(|mut end| {
        end.receives([close(1000, "")]);
        end.passes(CLOSE_TIMEOUT);
        assert!(end.is_finished().is_clean());
    });
    both(|mut end| {
        end.receives([frame(3, b"")]);
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.receives([text("still lingering")]);
        end.delivers_nothing();
        end.passes(SECOND);
        assert!(end.is_finished().error.unwrap().is_peer_fault());
    });
}

#[test]
fn no_other_timer_interferes_with_closing() {
    let config = keepalive(|config| config.idle_timeout = Some(SECOND));
    both_with(&config, |mut end| {
        end.closes(1000, "");
        assert_eq!(end.connection.poll_timeout(&end.tx), Some(end.now + CLOSE_TIMEOUT));
        end.sent_close(1000);
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.sends_nothing();
        end.delivers_nothing();
    });
}

// The idle timeout.

#[test]
fn silence_in_both_directions_is_closed_with_1001() {
    both_with(&idle(), |mut end| {
        end.passes(IDLE - SECOND);
        end.is_open();
        end.passes(SECOND);
        end.sent_close(1001);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.receives([close(1001, "")]);
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.error), (Initiator::Library, Some(TimedOut::Idle.into())));
    });
}

#[test]
fn an_idle_peer_that_ignores_the_close_is_dropped_after_the_close_timeout() {
    both_with(&idle(), |mut end| {
        end.passes(IDLE + CLOSE_TIMEOUT);
        end.sent_close(1001);
        timed_out(&mut end, TimedOut::Idle);
    });
}

#[test]
fn messages_from_the_peer_are_activity() {
    both_with(&idle(), |mut end| {
        for _ in 0..10 {
            end.passes(IDLE - SECOND);
            end.receives([text("x")]);
            end.delivers_text("x");
            end.is_open();
        }
        end.passes(IDLE);
        end.sent_close(1001);
    });
}

#[test]
fn messages_to_the_peer_are_activity() {
    both_with(&idle(), |mut end| {
        for _ in 0..10 {
            end.passes(IDLE - SECOND);
            end.sends_text("push");
            end.sent_text("push");
            end.is_open();
        }
        end.passes(IDLE);
        end.sent_close(1001);
    });
}

#[test]
fn a_message_that_trickles_in_or_out_is_activity() {
    both_with(&idle(), |mut end| {
        end.receives([binary("").announcing(30)]);
        for _ in 0..30 {
            end.passes(IDLE - SECOND);
            end.receives_bytes(&[0]);
        }
        assert!(matches!(end.seen.pop_front(), Some(Seen::Binary(_))));
        end.is_open();
    });
    both_with(&idle(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 300]);
        for _ in 0..10 {
            end.passes(IDLE - SECOND);
            end.transport_takes(10);
        }
        end.transport_flows();
        end.sent_binary([0; 300]);
        end.is_open();
    });
}

#[test]
fn activity_in_one_direction_is_not_undone_by_the_other() {
    both_with(&idle(), |mut end| {
        end.receives([text("half").not_final(), continuation("").announcing(10)]);
        end.passes(IDLE - SECOND);
        end.sends_text("we speak");
        end.sent_text("we speak");
        // Nothing arrived since; another check must not say otherwise.
        end.drive();
        end.passes(IDLE - SECOND);
        end.is_open();
    });
}

#[test]
fn bytes_that_never_complete_a_frame_are_not_activity() {
    both_with(&idle(), |mut end| {
        let bytes = binary("").announcing(100_000).encode(end.role() == Role::Server);
        for byte in &bytes[..bytes.len() - 1] {
            end.receives_bytes(&[*byte]);
            end.passes(IDLE / 4);
        }
        end.sent_close(1001);
    });
}

#[test]
fn keepalive_frames_are_not_activity() {
    both_with(&keepalive(|config| config.idle_timeout = Some(IDLE)), |mut end| {
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        end.receives([pong("")]);
        end.delivers_pong(b"");
        end.passes(10 * SECOND);
        end.sent_close(1001);
    });
}

#[test]
fn data_after_a_keepalive_ping_is_activity() {
    both_with(&keepalive(|config| config.idle_timeout = Some(IDLE)), |mut end| {
        end.transport_blocks();
        end.passes(10 * SECOND);
        end.sends_text("data");
        end.passes(SECOND);
        end.transport_flows();
        end.sent_ping(b"");
        end.sent_text("data");
        end.receives([pong("")]);
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        end.receives([pong("")]);
        end.passes(9 * SECOND);
        end.sends_nothing();
        end.passes(SECOND);
        end.sent_close(1001);
    });
}

#[test]
fn data_in_one_write_with_a_keepalive_ping_is_activity() {
    both_with(&keepalive(|config| config.idle_timeout = Some(IDLE)), |mut end| {
        end.now += 10 * SECOND;
        end.connection.handle_timeout(end.now, &mut end.tx);
        end.sends_text("data");
        end.sent_ping(b"");
        end.sent_text("data");
        end.passes(3 * SECOND);
        end.receives([pong("")]);
        end.delivers_pong(b"");
        end.passes(10 * SECOND);
        end.sent_ping(b"");
        end.passes(3 * SECOND);
        end.receives([pong("")]);
        end.delivers_pong(b"");
        end.is_open();
        end.passes(4 * SECOND);
        end.sent_close(1001);
    });
}

// The write timeout.

#[test]
fn a_peer_that_reads_nothing_is_dropped_after_the_write_timeout() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_text("stuck");
        for _ in 0..59 {
            end.passes(SECOND);
            end.receives([ping("")]);
        }
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.passes(SECOND);
        end.seen.retain(|seen| matches!(seen, Seen::Closed(_)));
        timed_out(&mut end, TimedOut::Write);
    });
}

#[test]
fn a_peer_that_reads_a_byte_at_intervals_is_kept() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_text("stuck");
        for _ in 0..5 {
            end.passes(29 * SECOND);
            end.receives([ping("")]);
            end.passes(29 * SECOND);
            end.receives([ping("")]);
            end.transport_takes(1);
        }
        assert_eq!(end.connection.state(), ConnectionState::Open);
    });
}

#[test]
fn a_transport_marked_as_blocked_without_data_is_not_blocked() {
    both(|mut end| {
        end.tx.set_blocked(end.now);
        end.sends_text("flows");
        end.sent_text("flows");
        assert_eq!(end.transport_action(), TransportAction::Continue);
        end.is_open();
    });
}

#[test]
fn a_late_timer_does_what_is_due_once() {
    let config = keepalive(|config| config.idle_timeout = Some(IDLE));
    both_with(&config, |mut end| {
        // The machine was suspended for an hour.
        end.now += Duration::from_secs(3600);
        end.connection.handle_timeout(end.now, &mut end.tx);
        end.drive();
        end.sent_close(1001);
        assert!(end.connection.send(MessageKind::Text, b"", &mut end.tx).is_err());
    });
}

// The longest waits.

/// Every wait has the largest value.
fn endless() -> ValidConfig {
    config(|config| {
        config.close_timeout = Duration::MAX;
        config.idle_timeout = Some(Duration::MAX);
        config.write_timeout = Some(Duration::MAX);
        config.message_timeout = Some(Duration::MAX);
        config.keepalive = Some(Keepalive::new(Duration::MAX, Duration::MAX));
    })
}

#[test]
fn a_timeout_of_any_length_does_not_panic() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    both_with(&endless(), |mut end| {
        end.passes(YEAR);
        end.receives([text("hello"), text("begun").not_final()]);
        end.transport_blocks();
        end.sends_text("waits");
        end.passes(YEAR);
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.transport_flows();
        end.passes(YEAR);
        end.closes(1000, "");
        end.passes(YEAR);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.receives([continuation("done"), close(1000, "")]);
        end.peer_hangs_up();
        end.seen.retain(|seen| matches!(seen, Seen::Closed(_)));
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_peer_may_be_silent_for_the_whole_keepalive_time() {
    let config = config(|config| {
        config.idle_timeout = None;
        config.keepalive = Some(Keepalive::new(SECOND, Duration::MAX));
    });
    both_with(&config, |mut end| {
        end.passes(SECOND);
        end.sent_ping(b"");
        end.passes(24 * 60 * 60 * SECOND);
        end.is_open();
    });
}

#[test]
fn a_held_end_with_a_timeout_of_any_length_does_not_panic() {
    both_with(&endless(), |mut end| {
        end.connection.hold();
        end.receives([text("held"), close(1000, "")]);
        end.passes(60 * 60 * SECOND);
        end.resumes();
        assert_eq!(end.seen.pop_front(), Some(Seen::Text("held".to_owned())));
    });
}
