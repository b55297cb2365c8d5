//! A paused application: complete messages are held within bounds, and pings are answered.

use crate::{
    Event, Message, MessageKind, ValidConfig,
    error::{ConnectionError, TimedOut},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, Seen, both, both_with, config},
    wire::{binary, continuation, ping, pong, text},
};

fn holding(bytes: usize) -> ValidConfig {
    config(|config| config.limits.max_held_bytes = bytes)
}

/// Paused, with "held" in the inbox.
pub(super) fn holds(end: &mut Endpoint) {
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
fn a_pause_during_a_message_holds_that_message() {
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
        let bytes: Vec<u8> =
            ["a", "b", "c"].iter().flat_map(|payload| text(payload).encode(to_server)).collect();
        end.rx.extend(&bytes);
        end.connection.handle_received(0, end.now, &mut end.rx);
        for expected in ["a", "b", "c"] {
            let Endpoint { connection, rx, tx, .. } = &mut end;
            match connection.poll_event(rx, tx) {
                Some(Event::Message(message)) => assert_eq!(message.as_text(), Some(expected)),
                other => panic!("{other:?}"),
            }
            // One message per turn, as for an application that answers each message before it takes the next.
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
fn at_the_limit_reading_stops() {
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
fn reading_continues_once_enough_held_messages_are_delivered() {
    both_with(&holding(1000), |mut end| {
        end.pauses();
        end.receives([text([b'x'; 600]), text("y").not_final(), continuation([b'y'; 600])]);
        for _ in 0..2 {
            assert!(!end.connection.wants_read());
            let Endpoint { connection, rx, tx, .. } = &mut end;
            connection.resume();
            assert!(matches!(connection.poll_event(rx, tx), Some(Event::Message(_))));
            connection.pause();
            assert!(connection.wants_read());
            end.receives([text([b'z'; 500])]);
        }
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
        assert_eq!(end.seen.len(), 2000, "no message may be lost");
    });
    both_with(&holding(1000), |mut end| {
        end.pauses();
        for _ in 0..2000 {
            end.receives([text("").not_final(), continuation("")]);
        }
        assert!(!end.connection.wants_read());
        end.resumes();
        assert_eq!(end.seen.len(), 2000);
    });
}

#[test]
fn twelve_messages_after_a_full_inbox_all_arrive() {
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
fn a_closing_connection_reads_despite_a_full_inbox() {
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
fn a_connection_that_was_paused_is_not_idle() {
    let config = config(|config| {
        config.limits.max_held_bytes = 10;
        config.idle_timeout = Some(20 * SECOND);
        config.keepalive = None;
    });
    both_with(&config, |mut end| {
        end.pauses();
        end.receives([text("more than ten bytes"), text("waits in the kernel")]);
        end.receives([text("waits too")]);
        end.passes(1000 * SECOND);
        end.is_open();
        // Waiting bytes are read before the idle timeout is checked.
        let Endpoint { connection, rx, tx, now, .. } = &mut end;
        connection.resume();
        for _ in 0..2 {
            assert!(matches!(connection.poll_event(rx, tx), Some(Event::Message(_))));
        }
        assert!(connection.poll_event(rx, tx).is_none());
        connection.handle_timeout(*now, tx);
        end.drive();
        end.delivers_text("waits too");
        end.is_open();
        end.passes(20 * SECOND);
        end.sent_close(1001);
        end.passes(CLOSE_TIMEOUT);
        assert_eq!(end.is_finished().error, Some(TimedOut::Idle.into()));
    });
}

#[test]
fn held_messages_can_be_taken() {
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
fn without_validation_held_text_is_unchanged() {
    both_with(&config(|config| config.validate_utf8 = false), |mut end| {
        end.pauses();
        end.receives([text(b"\xff")]);
        end.resumes();
        assert_eq!(end.seen.pop_front(), Some(Seen::Unchecked(b"\xff".into())));
    });
}

#[test]
fn without_validation_a_held_message_that_is_taken_is_checked_once_and_is_binary_if_invalid() {
    let large_invalid = [&[b'a'; 5000][..], b"\xff"].concat();
    both_with(&config(|config| config.validate_utf8 = false), |mut end| {
        end.pauses();
        let (begin, rest) = large_invalid.split_at(2500);
        end.receives([
            text(b"\xff"),
            text("valid"),
            text(begin).not_final(),
            continuation(rest),
            text("\u{e9}").not_final(),
            continuation("\u{e9}"),
            binary(b"\xff"),
        ]);
        let mut taken = || end.connection.take_held();
        assert_eq!(taken(), Some(Message::from(b"\xff")));
        assert_eq!(taken(), Some(Message::from("valid")));
        assert_eq!(taken(), Some(Message::from(&large_invalid)));
        assert_eq!(taken(), Some(Message::from("éé")));
        assert_eq!(taken(), Some(Message::from(b"\xff")));
        assert_eq!(taken(), None);
    });
}

#[test]
fn held_messages_take_little_more_memory_than_they_count() {
    for len in [0, 1, 16, 1000, 1024, 5000] {
        both_with(&holding(1 << 20), |mut end| {
            end.pauses();
            let to_server = end.role() == crate::Role::Server;
            // Messages of one frame and of two frames alternate: one kind is packed, the other has its own buffers.
            let half = vec![1; len / 2];
            let pair = [binary(vec![2; len]), binary(half.clone()).not_final(), continuation(half)];
            let bytes: Vec<u8> = pair.iter().flat_map(|frame| frame.encode(to_server)).collect();
            let mut read = bytes.repeat(100_000 / bytes.len() + 1);
            read.truncate(120_000);
            end.receives_bytes(&read);
            let check = |end: &Endpoint, when: &str| {
                let inbox = end.connection.inbox.as_ref().expect("a message is held");
                let (allocated, counted) = (inbox.allocated(), inbox.held_bytes());
                assert!(allocated * 2 <= counted * 3 + 1000, "{len} bytes, {when}: {allocated} of {counted}");
            };
            check(&end, "all");
            for _ in 0..5 {
                end.connection.resume();
                assert!(end.connection.take_held().is_some());
                end.connection.hold();
                check(&end, "but a few");
            }
        });
    }
}
