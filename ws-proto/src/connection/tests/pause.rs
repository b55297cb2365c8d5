//! An application that paused: complete messages are held within bounds, pings are answered, and the end waits behind
//! what is held.

use std::{io::ErrorKind, sync::Arc};

use crate::{Config, ConnectionError, ConnectionState, Event, Initiator, MessageKind, ProtocolError, TimedOut};

use super::{
    bench::{CLOSE_TIMEOUT, Endpoint, SECOND, Seen, both, both_with, config},
    wire::{binary, close, continuation, frame, ping, pong, text},
};

fn holding(bytes: usize) -> Arc<Config> {
    config(|config| config.limits.max_held_bytes = bytes)
}

/// Paused, with "held" in the inbox.
fn holds(end: &mut Endpoint) {
    end.pauses();
    end.receives([text("held")]);
    end.delivers_nothing();
}

#[test]
fn messages_are_held_and_delivered_in_order() {
    both(|mut end| {
        holds(&mut end);
        end.receives([binary("two"), text("th").not_final(), continuation("ree"), text("")]);
        end.receives([binary(vec![5; 100_000]), text("six")]);
        end.is_open();
        assert!(end.connection.is_paused());
        end.resumes();
        end.delivers_text("held");
        end.delivers_binary("two");
        end.delivers_text("three");
        end.delivers_text("");
        end.delivers_binary(vec![5; 100_000]);
        end.receives([text("seven")]);
        end.delivers_text("six");
        end.delivers_text("seven");
        end.is_open();
    });
}

#[test]
fn a_pause_in_the_middle_of_a_message_holds_that_message() {
    both(|mut end| {
        end.receives([text("a").not_final()]);
        end.pauses();
        end.receives([continuation("b")]);
        end.is_open();
        end.resumes();
        end.delivers_text("ab");
    });
}

#[test]
fn a_pause_between_two_messages_of_one_segment_holds_the_second() {
    both(|mut end| {
        let to_server = end.role() == crate::Role::Server;
        let bytes: Vec<u8> = ["a", "b", "c"].iter().flat_map(|payload| text(payload).encode(to_server)).collect();
        end.rx.extend(&bytes);
        end.connection.handle_received(0, end.now, &mut end.rx);
        for expected in ["a", "b", "c"] {
            let Endpoint { connection, rx, tx, .. } = &mut end;
            match connection.poll_event(rx, tx) {
                Some(Event::Message(message)) => assert_eq!(message.as_text(), Some(expected)),
                other => panic!("{other:?}"),
            }
            // One message per turn, as an application does that answers before it takes the next.
            connection.pause();
            assert!(connection.poll_event(rx, tx).is_none());
            connection.resume();
        }
        end.drive();
        end.is_open();
    });
}

#[test]
fn pings_are_answered_while_paused() {
    both(|mut end| {
        holds(&mut end);
        end.receives([ping("alive?"), pong("yes")]);
        end.delivers_ping(b"alive?");
        end.delivers_pong(b"yes");
        end.sent_pong(b"alive?");
        end.resumes();
        end.delivers_text("held");
        end.is_open();
    });
}

#[test]
fn a_paused_application_may_send() {
    both(|mut end| {
        holds(&mut end);
        end.sends_text("still talking");
        end.sent_text("still talking");
    });
}

#[test]
fn above_the_limit_nothing_more_is_read() {
    both_with(&holding(1000), |mut end| {
        end.pauses();
        end.receives([text([b'x'; 999])]);
        end.receives([text([b'y'; 999])]);
        assert!(!end.connection.wants_read());
        end.receives([text("in the kernel's buffer")]);
        end.resumes();
        assert!(end.connection.wants_read());
        assert_eq!(end.seen.len(), 3);
        end.seen.clear();
        end.is_open();
    });
}

#[test]
fn empty_messages_are_bounded_too() {
    both_with(&holding(1000), |mut end| {
        end.pauses();
        for _ in 0..2000 {
            end.receives([text("")]);
        }
        assert!(!end.connection.wants_read());
        end.resumes();
        assert_eq!(end.seen.len(), 2000, "and none is lost");
    });
    both_with(&holding(1000), |mut end| {
        end.pauses();
        for _ in 0..100 {
            end.receives([text("").not_final(), continuation("")]);
        }
        assert!(!end.connection.wants_read());
        end.resumes();
        assert_eq!(end.seen.len(), 100);
    });
}

#[test]
fn twelve_messages_behind_a_full_inbox_all_arrive() {
    both_with(&holding(64), |mut end| {
        end.pauses();
        end.read_size = 256;
        end.receives((0..12).map(|at| text(format!("message number {at:05}"))));
        assert!(!end.connection.wants_read());
        end.delivers_nothing();
        end.resumes();
        for at in 0..12 {
            end.delivers_text(&format!("message number {at:05}"));
        }
        end.is_open();
    });
}

#[test]
fn a_close_behind_held_messages_comes_after_them() {
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
fn a_violation_behind_held_messages_comes_after_them() {
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
fn the_end_of_the_stream_behind_held_messages_comes_after_them() {
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
fn a_holding_driver_holds_every_end_until_the_application_has_replied() {
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
fn an_end_waits_no_longer_than_the_close_timeout_and_no_message_is_lost_by_it() {
    both(|mut end| {
        holds(&mut end);
        end.receives([close(1000, "")]);
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.sends_nothing();
        end.passes(SECOND);
        end.sent_close(1000);
        assert_ne!(end.connection.state(), ConnectionState::Open);
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
fn our_own_close_drops_what_is_held() {
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
fn our_own_close_meets_the_end_that_was_held() {
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
fn an_abort_drops_what_is_held() {
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
fn a_failed_transport_leaves_what_is_held_and_tells_of_the_close_that_came() {
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
fn a_failure_of_the_application_and_a_held_close_make_one_close() {
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
fn a_full_inbox_does_not_keep_a_closing_connection_from_reading() {
    both_with(&holding(10), |mut end| {
        end.pauses();
        end.receives([text("more than ten bytes")]);
        assert!(!end.connection.wants_read());
        end.connection.fail(ConnectionError::Internal, end.now, &mut end.tx);
        end.drive();
        end.sent_close(1011);
        assert!(end.connection.wants_read());
        end.peer_hangs_up();
        end.resumes();
        end.delivers_text("more than ten bytes");
        end.is_finished();
    });
}

#[test]
fn a_connection_that_was_paused_itself_is_not_idle() {
    let config = config(|config| {
        config.limits.max_held_bytes = 10;
        config.idle_timeout = Some(20 * SECOND);
    });
    both_with(&config, |mut end| {
        end.pauses();
        end.receives([text("more than ten bytes"), text("waits in the kernel")]);
        end.receives([text("waits too")]);
        end.passes(1000 * SECOND);
        end.is_open();
        // What waits is read before the silence is judged.
        end.connection.resume();
        end.connection.handle_timeout(end.now, &mut end.tx);
        end.drive();
        assert_eq!(end.seen.len(), 3);
        end.seen.clear();
        end.is_open();
        end.passes(20 * SECOND);
        end.sent_close(1001);
        end.passes(CLOSE_TIMEOUT);
        assert_eq!(end.is_finished().error, Some(TimedOut::Idle.into()));
    });
}

#[test]
fn held_messages_can_be_taken_over() {
    both(|mut end| {
        end.pauses();
        end.receives([text("small"), binary(vec![1; 70_000])]);
        end.connection.resume();
        let Endpoint { connection, rx, tx, .. } = &mut end;
        for (kind, length) in [(MessageKind::Text, 5), (MessageKind::Binary, 70_000)] {
            let Some(Event::Message(message)) = connection.poll_event(rx, tx) else { panic!("a message") };
            assert_eq!((message.kind(), message.len()), (kind, length));
            assert!(message.is_assembled());
            assert_eq!(message.into_bytes().len(), length);
        }
        end.drive();
        end.is_open();
    });
}

#[test]
fn without_validation_held_text_is_held_as_it_came() {
    both_with(&config(|config| config.validate_utf8 = false), |mut end| {
        end.pauses();
        end.receives([text(b"\xff")]);
        end.resumes();
        assert_eq!(end.seen.pop_front(), Some(Seen::Unchecked(b"\xff".into())));
    });
}
