//! Ends without a closing handshake (RFC 6455 sections 7.1.5 to 7.1.7 and 7.2).

use std::{io::ErrorKind, time::Duration};

use crate::{
    CloseInfo, Completion, ConnectionState, MessageKind, Role, TransportAction, close::Initiator,
    error::ConnectionError,
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both, both_with, config},
    wire::{close, continuation, empty_close, frame, ping, text},
};

#[track_caller]
fn is_abnormal(info: &CloseInfo, initiator: Initiator, error: ConnectionError) {
    assert!(!info.is_clean());
    assert_eq!((info.initiator, info.error), (initiator, Some(error)));
    assert_eq!(info.result(), Err(error));
    assert_eq!(info.code(), 1006);
}

#[test]
fn an_end_of_stream_without_a_close_is_abnormal() {
    both(|mut end| {
        end.peer_hangs_up();
        is_abnormal(&end.is_finished(), Initiator::Remote, ConnectionError::Eof);
        end.sends_nothing();
    });
}

#[test]
fn closed_is_reported_once_for_a_stream_that_ends_or_fails_anywhere() {
    let reset = ConnectionError::Transport(ErrorKind::ConnectionReset);
    both(|end| {
        let role = end.role();
        let frames = [text("Hel").not_final(), ping("p"), continuation("lo"), text([b'x'; 300])];
        let all: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(role == Role::Server)).collect();
        for cut in 0..=all.len() {
            for error in [ConnectionError::Eof, reset] {
                let mut end = Endpoint::new(role);
                end.receives_bytes(&all[..cut]);
                end.seen.clear();
                if error == reset {
                    end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
                }
                end.peer_hangs_up();
                is_abnormal(&end.is_finished(), Initiator::Remote, error);
            }
        }
    });
}

#[test]
fn messages_before_the_end_of_the_stream_are_delivered() {
    both(|mut end| {
        end.connection.pause();
        end.receives([text("one"), text("two")]);
        end.connection.resume();
        end.peer_hangs_up();
        end.delivers_text("one");
        end.delivers_text("two");
        end.is_finished();
    });
}

#[test]
fn after_a_half_close_the_reply_is_still_written() {
    both(|mut end| {
        end.echoes = true;
        end.transport_blocks();
        end.receives([text("question")]);
        end.peer_hangs_up();
        end.delivers_text("question");
        end.delivers_nothing();
        assert_eq!(end.connection.state(), ConnectionState::Closing);
        assert_eq!(end.transport_action(), TransportAction::Continue);
        end.passes(SECOND);
        end.transport_flows();
        end.sent_text("question");
        end.sends_nothing();
        is_abnormal(&end.is_finished(), Initiator::Remote, ConnectionError::Eof);
    });
}

#[test]
fn after_a_half_close_waiting_messages_are_written_and_reported() {
    both(|mut end| {
        end.transport_blocks();
        for at in 0..5 {
            end.sends_owned(vec![at; 50_000]);
        }
        end.peer_hangs_up();
        end.transport_flows();
        for at in 0..5 {
            end.sent_binary(vec![at; 50_000]);
        }
        assert_eq!(end.completions, [Completion::Written; 5]);
        end.is_finished();
    });
}

#[test]
fn after_a_half_close_the_write_timeout_bounds_the_writing() {
    both_with(&config(|config| config.write_timeout = Some(CLOSE_TIMEOUT)), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![1; 50_000]);
        end.sends_owned(vec![2; 50_000]);
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.delivers_nothing();
        end.passes(SECOND);
        end.is_finished();
        assert_eq!(end.completions, [Completion::CutOff; 2]);
    });
}

#[test]
fn after_a_long_silence_a_half_close_leaves_the_full_deadline_for_writing() {
    both(|mut end| {
        end.receives([text("question")]);
        end.delivers_text("question");
        end.passes(Duration::from_secs(20));
        end.transport_blocks();
        end.sends_text("answer");
        end.peer_hangs_up();
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.delivers_nothing();
        end.transport_flows();
        end.sent_text("answer");
        end.is_finished();
    });
}

#[test]
fn after_our_close_the_end_of_the_stream_ends_the_connection() {
    both(|mut end| {
        end.closes(1000, "");
        end.sent_close(1000);
        end.peer_hangs_up();
        is_abnormal(&end.is_finished(), Initiator::Local, ConnectionError::Eof);
    });
}

#[test]
fn after_a_half_close_our_close_is_still_written() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_text("data");
        end.closes(1000, "");
        end.peer_hangs_up();
        end.delivers_nothing();
        end.transport_flows();
        end.sent_text("data");
        end.sent_close(1000);
        is_abnormal(&end.is_finished(), Initiator::Local, ConnectionError::Eof);
    });
}

#[test]
fn a_close_before_the_end_of_the_stream_is_clean_once_the_answer_is_written() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        end.delivers_nothing();
        end.transport_flows();
        end.sent_close(1000);
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_failed_transport_ends_the_connection_at_once() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("never written");
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        assert_eq!(end.completions, [Completion::CutOff]);
        let error = ConnectionError::Transport(ErrorKind::ConnectionReset);
        is_abnormal(&end.is_finished(), Initiator::Remote, error);
        end.connection.handle_transport_error(ErrorKind::BrokenPipe, &mut end.tx);
        end.drive();
        end.delivers_nothing();
    });
}

#[test]
fn a_transport_that_fails_after_the_closing_handshake_leaves_it_clean() {
    both(|mut end| {
        end.receives([close(1000, "")]);
        end.sent_close(1000);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_close_that_was_never_written_is_not_reported_as_sent() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([close(1000, "")]);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        let info = end.is_finished();
        assert!(!info.is_clean());
        assert_eq!(info.sent, None);
        assert_eq!(info.code(), 1000);
        assert_eq!(info.error, Some(ConnectionError::Transport(ErrorKind::ConnectionReset)));
    });
}

#[test]
fn a_transport_that_fails_after_our_close_is_an_error() {
    both(|mut end| {
        end.closes(1000, "");
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        let error = ConnectionError::Transport(ErrorKind::ConnectionReset);
        is_abnormal(&end.is_finished(), Initiator::Local, error);
    });
}

#[test]
fn a_transport_that_fails_after_a_violation_leaves_the_violation_as_the_cause() {
    both(|mut end| {
        end.receives([frame(3, b"")]);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        let info = end.is_finished();
        assert!(info.error.unwrap().is_peer_fault());
        assert_eq!(info.initiator, Initiator::Library);
    });
}

#[test]
fn an_abort_ends_the_connection_without_a_close() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("never written");
        end.receives([text("unfinished").not_final()]);
        end.connection.abort(&mut end.tx);
        end.drive();
        assert_eq!(end.completions, [Completion::CutOff]);
        let info = end.is_finished();
        assert_eq!(info.initiator, Initiator::Local);
        assert!(!info.is_clean());
        end.connection.abort(&mut end.tx);
        end.drive();
        end.delivers_nothing();
    });
}

#[test]
fn an_abort_ends_the_closing_handshake() {
    both(|mut end| {
        end.closes(1000, "");
        end.connection.abort(&mut end.tx);
        end.drive();
        assert!(!end.is_finished().is_clean());
    });
}

#[test]
fn a_failure_of_the_application_sends_a_close_with_1011() {
    both(|mut end| {
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.drive();
        end.sent_close(1011);
        end.receives([close(1011, "")]);
        end.sends_nothing();
        end.peer_hangs_up();
        let info = end.is_finished();
        assert_eq!((info.initiator, info.error), (Initiator::Library, Some(ConnectionError::Internal)));
    });
}

#[test]
fn a_failure_of_the_application_sends_no_second_close() {
    both(|mut end| {
        end.closes(1000, "");
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.drive();
        end.sent_close(1000);
    });
    both(|mut end| {
        end.receives([empty_close()]);
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.drive();
        end.sent_empty_close();
        end.sends_nothing();
    });
}

#[test]
fn a_failure_of_the_application_drops_waiting_messages() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned("written");
        end.sends_owned("dropped");
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.transport_flows();
        end.sent_binary("written");
        end.sent_close(1011);
        assert_eq!(end.completions, [Completion::Written, Completion::CutOff]);
    });
}

#[test]
fn after_closed_every_input_is_ignored() {
    both(|mut end| {
        end.peer_hangs_up();
        end.is_finished();
        let Endpoint { connection, rx, tx, now, .. } = &mut end;
        rx.extend(b"junk");
        connection.handle_received(4, *now, rx);
        connection.handle_eof(*now);
        connection.handle_written(*now);
        connection.handle_timeout(*now + Duration::from_secs(1000), tx);
        connection.fail(ConnectionError::Internal, *now, tx);
        connection.abort(tx);
        assert!(connection.send(MessageKind::Text, b"x", tx).is_err());
        end.drive();
        end.delivers_nothing();
        end.sends_nothing();
        assert_eq!(end.connection.state(), ConnectionState::Closed);
    });
}
