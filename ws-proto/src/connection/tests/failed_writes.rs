//! After a failed write nothing more is sent, and what the peer sent before is still received.

use std::io::ErrorKind;

use crate::{
    CloseInfo, Completion, ConnectionState, MessageKind, TransportAction,
    close::Initiator,
    error::{ConnectionError, ControlError, SendError},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both, both_with, config},
    wire::{close, continuation, frame, ping, text},
};

const BROKEN: ConnectionError = ConnectionError::Transport(ErrorKind::BrokenPipe);

fn write_fails(end: &mut Endpoint) {
    end.connection.handle_write_error(ErrorKind::BrokenPipe, end.now, &mut end.tx);
    end.drive();
}

#[track_caller]
fn ended_with(info: &CloseInfo, initiator: Initiator, code: u16) {
    assert_eq!((info.initiator, info.code(), info.error), (initiator, code, Some(BROKEN)));
    assert!(info.sent.is_none() && !info.is_clean());
}

#[test]
fn after_a_failed_write_messages_and_the_peers_close_are_reported() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("in the queue");
        end.sends_owned("after it");
        write_fails(&mut end);
        assert_eq!(end.completions, [Completion::CutOff; 2]);
        assert_eq!(
            (end.connection.state(), end.transport_action()),
            (ConnectionState::Closing, TransportAction::Continue)
        );
        assert!(end.tx.is_empty() && end.connection.wants_read());
        end.transport_flows();
        end.receives([text("o").not_final(), ping("unanswered"), continuation("ne"), text([b'x'; 100_000])]);
        end.delivers_ping(b"unanswered");
        end.delivers_text("one");
        end.delivers_text(&"x".repeat(100_000));
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.receives([text("two"), close(4001, "done"), text("after it")]);
        end.delivers_text("two");
        ended_with(&end.is_finished(), Initiator::Remote, 4001);
        end.sends_nothing();
    });
}

#[test]
fn after_a_failed_write_held_messages_are_delivered_before_the_end() {
    both(|mut end| {
        end.pauses();
        end.receives([text("one"), text("two"), close(4001, "")]);
        write_fails(&mut end);
        end.delivers_nothing();
        assert_eq!(end.transport_action(), TransportAction::Close);
        end.resumes();
        end.delivers_text("one");
        end.delivers_text("two");
        ended_with(&end.is_finished(), Initiator::Remote, 4001);
    });
}

#[test]
fn a_paused_application_bounds_what_is_held() {
    both_with(&config(|config| config.limits.max_held_bytes = 10), |mut end| {
        end.pauses();
        write_fails(&mut end);
        end.receives([text("more than ten bytes")]);
        assert!(!end.connection.wants_read());
        end.resumes();
        end.delivers_text("more than ten bytes");
        end.receives([close(4001, "")]);
        ended_with(&end.is_finished(), Initiator::Remote, 4001);
    });
}

#[test]
fn after_a_failed_write_the_end_of_the_stream_or_a_failed_read_ends_the_connection() {
    for fails in [false, true] {
        both(|mut end| {
            write_fails(&mut end);
            end.receives([text("one"), text("half").not_final()]);
            end.delivers_text("one");
            if fails {
                end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
                end.drive();
            } else {
                end.peer_hangs_up();
            }
            ended_with(&end.is_finished(), Initiator::Remote, 1006);
        });
    }
}

#[test]
fn after_a_failed_write_a_violation_gets_no_answer() {
    both(|mut end| {
        write_fails(&mut end);
        end.receives([frame(3, b"")]);
        ended_with(&end.is_finished(), Initiator::Remote, 1006);
        end.sends_nothing();
    });
}

#[test]
fn after_a_failed_write_a_silent_peer_is_dropped_after_the_close_timeout() {
    both(|mut end| {
        end.passes(10 * SECOND);
        write_fails(&mut end);
        end.passes(CLOSE_TIMEOUT - SECOND);
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        end.passes(SECOND);
        ended_with(&end.is_finished(), Initiator::Remote, 1006);
    });
}

#[test]
fn after_a_failed_write_nothing_can_be_sent() {
    both(|mut end| {
        write_fails(&mut end);
        let Endpoint { connection, tx, now, .. } = &mut end;
        assert_eq!(connection.send(MessageKind::Text, b"x", tx), Err(SendError::Closed(())));
        assert_eq!(connection.ping(b"", tx), Err(ControlError::Closed));
        connection.answer_ping(b"", tx);
        connection.fail(ConnectionError::Internal, *now, tx);
        end.drive();
        end.sends_nothing();
        ended_with(&end.is_finished(), Initiator::Remote, 1006);
    });
}

#[test]
fn after_our_close_and_a_failed_write_the_peers_close_is_reported() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("in the queue");
        end.closes(1000, "");
        write_fails(&mut end);
        assert_eq!(end.completions, [Completion::CutOff]);
        end.receives([text("dropped"), close(4001, "")]);
        ended_with(&end.is_finished(), Initiator::Local, 4001);
    });
}

#[test]
fn after_a_failed_write_a_close_of_the_application_drops_later_messages() {
    both(|mut end| {
        write_fails(&mut end);
        end.closes(1000, "");
        end.receives([text("dropped"), close(4001, "")]);
        ended_with(&end.is_finished(), Initiator::Remote, 4001);
        end.sends_nothing();
    });
}

#[test]
fn a_failed_answer_to_the_peers_close_ends_the_connection() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([close(4001, "")]);
        write_fails(&mut end);
        ended_with(&end.is_finished(), Initiator::Remote, 4001);
    });
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("in the queue");
        end.peer_hangs_up();
        write_fails(&mut end);
        assert_eq!(end.completions, [Completion::CutOff]);
        let info = end.is_finished();
        assert_eq!((info.code(), info.error), (1006, Some(ConnectionError::Eof)));
    });
}
