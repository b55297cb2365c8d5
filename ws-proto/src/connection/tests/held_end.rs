//! A paused application: the end of the connection waits until the held messages are delivered.

use std::io::ErrorKind;

use crate::{
    ConnectionState,
    close::Initiator,
    error::{ConnectionError, ProtocolError},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, SECOND, both},
    pause::holds,
    wire::{close, frame, text},
};

#[test]
fn a_close_is_reported_after_held_messages() {
    both(|mut end| {
        end.pauses();
        end.receives([text("hello"), close(1000, "bye")]);
        end.delivers_nothing();
        end.sends_nothing();
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.resumes();
        end.delivers_text("hello");
        assert_eq!(end.sent_close(1000), "bye");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_reply_to_the_last_held_message_is_sent_before_the_close_is_answered() {
    both(|mut end| {
        end.pauses();
        end.echoes = true;
        end.receives([text("hello"), close(1000, "")]);
        end.resumes();
        end.sent_text("hello");
        end.sent_close(1000);
    });
}

#[test]
fn a_violation_is_reported_after_held_messages() {
    for (bad, code) in [(frame(3, b""), 1002), (text(b"\xff"), 1007), (text("").announcing(1 << 40), 1009)] {
        both(|mut end| {
            holds(&mut end);
            end.receives([bad.clone(), text("void")]);
            end.sends_nothing();
            end.resumes();
            end.delivers_text("held");
            end.fails_with(code);
        });
    }
}

#[test]
fn the_end_of_the_stream_is_reported_after_held_messages() {
    both(|mut end| {
        holds(&mut end);
        end.peer_hangs_up();
        end.delivers_nothing();
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.resumes();
        end.delivers_text("held");
        assert_eq!(end.is_finished().error, Some(ConnectionError::Eof));
    });
}

#[test]
fn with_nothing_held_a_close_or_a_violation_takes_effect_at_once() {
    both(|mut end| {
        end.pauses();
        end.receives([close(1000, "")]);
        end.sent_close(1000);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
    both(|mut end| {
        end.pauses();
        end.receives([frame(3, b"")]);
        end.fails_with(1002);
    });
}

#[test]
fn a_half_close_leaves_a_paused_application_time_to_reply() {
    both(|mut end| {
        end.receives([text("question")]);
        end.delivers_text("question");
        end.pauses();
        end.peer_hangs_up();
        end.delivers_nothing();
        end.sends_text("answer");
        end.sent_text("answer");
        end.resumes();
        assert_eq!(end.is_finished().error, Some(ConnectionError::Eof));
    });
    both(|mut end| {
        end.pauses();
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT);
        assert_eq!(end.is_finished().error, Some(ConnectionError::Eof));
    });
}

#[test]
fn a_driver_that_holds_delays_every_end_until_the_application_has_replied() {
    for (bytes, code) in [(close(1000, ""), 1000), (frame(3, b""), 1002)] {
        both(|mut end| {
            end.receives([text("question")]);
            end.delivers_text("question");
            end.connection.hold();
            end.receives([bytes.clone()]);
            end.sends_nothing();
            end.sends_text("answer");
            end.sent_text("answer");
            end.resumes();
            end.sent_close(code);
        });
    }
}

#[test]
fn an_end_waits_for_at_most_the_close_timeout_and_no_message_is_lost() {
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1000, "")]);
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.sends_nothing();
        end.passes(SECOND);
        end.sent_close(1000);
        assert_ne!(end.connection.state(), ConnectionState::Open);
        end.passes(CLOSE_TIMEOUT);
        end.delivers_nothing();
        end.resumes();
        end.delivers_text("held");
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!(info.initiator, Initiator::Remote);
    });
    both(|mut end| {
        holds(&mut end);
        end.receives([frame(3, b"")]);
        end.passes(CLOSE_TIMEOUT);
        end.sent_close(1002);
        end.resumes();
        end.delivers_text("held");
        assert!(end.is_finished().error.unwrap().is_peer_fault());
    });
    both(|mut end| {
        holds(&mut end);
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT);
        assert_ne!(end.connection.state(), ConnectionState::Open);
        end.resumes();
        end.delivers_text("held");
        assert_eq!(end.is_finished().error, Some(ConnectionError::Eof));
    });
}

#[test]
fn our_own_close_drops_held_messages() {
    both(|mut end| {
        holds(&mut end);
        end.closes(1000, "");
        end.sent_close(1000);
        end.resumes();
        end.delivers_nothing();
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn our_own_close_completes_with_the_held_end() {
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1001, "theirs")]);
        end.closes(1000, "ours");
        assert_eq!(end.sent_close(1000), "ours");
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.code()), (Initiator::Local, 1001));
    });
    both(|mut end| {
        holds(&mut end);
        end.receives([frame(3, b"")]);
        end.closes(1000, "");
        end.sent_close(1000);
        end.peer_hangs_up();
        let violation = ProtocolError::ReservedOpcode(3).into();
        assert_eq!(end.is_finished().error, Some(violation));
    });
}

#[test]
fn an_abort_drops_held_messages() {
    both(|mut end| {
        holds(&mut end);
        end.connection.abort(&mut end.tx);
        end.drive();
        assert_eq!(end.is_finished().initiator, Initiator::Local);
    });
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1000, "")]);
        end.passes(CLOSE_TIMEOUT);
        end.delivers_nothing();
        end.connection.abort(&mut end.tx);
        end.drive();
        end.is_finished();
    });
}

#[test]
fn a_failed_transport_keeps_held_messages_and_the_received_close() {
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1000, "bye")]);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        end.delivers_nothing();
        end.resumes();
        end.delivers_text("held");
        let info = end.is_finished();
        assert!(!info.is_clean());
        assert_eq!((info.code(), info.reason()), (1000, "bye"));
    });
}

#[test]
fn a_failure_of_the_application_with_a_held_close_sends_one_close() {
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1000, "")]);
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.drive();
        end.sent_close(1011);
        end.resumes();
        end.delivers_text("held");
        end.sends_nothing();
        end.peer_hangs_up();
        assert_eq!(end.is_finished().error, Some(ConnectionError::Internal));
    });
}

#[test]
fn an_end_that_the_driver_holds_takes_effect_at_the_close_timeout() {
    for (bytes, code) in [(close(1000, ""), 1000), (frame(3, b""), 1002)] {
        both(|mut end| {
            end.connection.hold();
            end.receives([bytes.clone()]);
            assert!(!end.connection.wants_read(), "nothing more is read");
            end.passes(CLOSE_TIMEOUT - SECOND);
            end.sends_nothing();
            end.passes(SECOND);
            end.sent_close(code);
        });
    }
}

#[test]
fn after_a_long_silence_a_paused_application_has_the_full_close_timeout_to_reply() {
    both(|mut end| {
        end.passes(20 * SECOND);
        end.pauses();
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.sends_text("answer");
        end.sent_text("answer");
        end.resumes();
        assert_eq!(end.is_finished().error, Some(ConnectionError::Eof));
    });
}
