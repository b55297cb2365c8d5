//! Pings and pongs that a driver holds for a paused application, in their place among the messages.

use crate::{ConnectionState, Event, HeldEvent, Message, ValidConfig, memory::MESSAGE_OVERHEAD};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, both, both_with, config},
    wire::{Frame, binary, close, continuation, ping, pong, text},
};

fn holding(bytes: usize) -> ValidConfig {
    config(|config| config.limits.max_held_bytes = bytes)
}

/// Receives frames in one segment while paused, and holds the control frames among them.
fn holds(end: &mut Endpoint, frames: impl IntoIterator<Item = Frame>) {
    let to_server = end.role() == crate::Role::Server;
    for frame in frames {
        end.rx.extend(&frame.encode(to_server));
    }
    end.connection.handle_received(0, end.now, &mut end.rx);
    let Endpoint { connection, rx, tx, .. } = end;
    while let Some(event) = connection.poll_event(rx, tx) {
        match event {
            Event::Ping(payload) => connection.hold_ping(payload),
            Event::Pong(payload) => connection.hold_pong(payload),
            other => panic!("{other:?}"),
        }
    }
    end.drive();
}

fn conversation() -> Vec<Frame> {
    let [large, rest] = [binary([5; 1500]).not_final(), continuation([5; 1500])];
    let [first, last] = [text("f").not_final(), continuation("g")];
    vec![ping("1"), text("a"), pong("2"), large, rest, ping(""), first, pong(""), last, ping([7; 125])]
}

#[test]
fn held_control_frames_are_delivered_in_order_with_the_messages() {
    both(|mut end| {
        end.pauses();
        holds(&mut end, conversation());
        holds(&mut end, [text("z")]);
        assert!(end.seen.is_empty());
        end.sent_pong(b"1");
        end.sent_pong(b"");
        end.sent_pong(&[7; 125]);
        end.resumes();
        end.delivers_ping(b"1");
        end.delivers_text("a");
        end.delivers_pong(b"2");
        end.delivers_binary(vec![5; 3000]);
        end.delivers_ping(b"");
        end.delivers_pong(b"");
        end.delivers_text("fg");
        end.delivers_ping(&[7; 125]);
        end.delivers_text("z");
        end.is_open();
    });
}

#[test]
fn held_control_frames_can_be_taken_one_at_a_time_while_paused() {
    both(|mut end| {
        end.pauses();
        holds(&mut end, conversation());
        let taken: Vec<_> = std::iter::from_fn(|| end.connection.take_held_event()).collect();
        let expected = [
            HeldEvent::Ping("1".into()),
            HeldEvent::Message(Message::text("a")),
            HeldEvent::Pong("2".into()),
            HeldEvent::Message(Message::binary(vec![5; 3000])),
            HeldEvent::Ping("".into()),
            HeldEvent::Pong("".into()),
            HeldEvent::Message(Message::text("fg")),
            HeldEvent::Ping(vec![7; 125].into()),
        ];
        assert_eq!(taken, expected);
        assert_eq!((end.connection.held_bytes(), end.connection.is_paused()), (0, true));
    });
}

#[test]
fn a_driver_that_takes_only_messages_gets_them_all_from_between_held_control_frames() {
    both(|mut end| {
        end.pauses();
        holds(&mut end, conversation());
        let taken: Vec<_> = std::iter::from_fn(|| end.connection.take_held()).collect();
        assert_eq!(taken, [Message::text("a"), Message::binary(vec![5; 3000]), Message::text("fg")]);
        assert_eq!(end.connection.held_bytes(), 0);
    });
}

#[test]
fn control_frames_are_not_held_unless_the_driver_holds_them() {
    both(|mut end| {
        end.pauses();
        end.receives([ping("1"), pong("2")]);
        end.delivers_ping(b"1");
        end.delivers_pong(b"2");
        assert_eq!(end.connection.held_bytes(), 0);
        assert!(end.connection.inbox.is_none(), "nothing is allocated");
        end.resumes();
        end.delivers_nothing();
    });
}

#[test]
fn nothing_is_held_while_the_application_receives_or_after_the_end() {
    both(|mut end| {
        end.connection.hold_ping(b"not paused");
        assert!(end.connection.inbox.is_none());
        end.pauses();
        end.closes(1000, "");
        end.connection.hold_pong(b"messages are dropped");
        assert!(end.connection.inbox.is_none());
    });
}

#[test]
fn held_control_frames_count_with_their_headers_and_reading_stops_at_the_limit() {
    both_with(&holding(1000), |mut end| {
        end.pauses();
        holds(&mut end, [ping("")]);
        assert_eq!(end.connection.held_bytes(), MESSAGE_OVERHEAD + 2);
        holds(&mut end, [pong([1; 100])]);
        assert_eq!(end.connection.held_bytes(), MESSAGE_OVERHEAD + 2 + 102);
        let mut held = 2;
        while end.connection.wants_read() {
            holds(&mut end, [ping("")]);
            held += 1;
        }
        assert!(held <= 500, "{held} empty pings in 1000 bytes");
        end.resumes();
        assert_eq!(end.seen.len(), held);
        assert_eq!(end.connection.held_bytes(), 0);
        assert!(end.connection.wants_read());
    });
}

#[test]
fn an_end_waits_behind_held_control_frames() {
    both(|mut end| {
        end.pauses();
        holds(&mut end, [ping("1"), close(1000, "bye")]);
        assert_eq!(end.connection.state(), ConnectionState::Open);
        end.sent_pong(b"1");
        end.resumes();
        end.delivers_ping(b"1");
        assert_eq!(end.sent_close(1000), "bye");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
    both(|mut end| {
        end.pauses();
        holds(&mut end, [ping("1"), close(1000, "bye")]);
        end.sent_pong(b"1");
        end.passes(CLOSE_TIMEOUT);
        assert_eq!(end.sent_close(1000), "bye");
        end.peer_hangs_up();
        end.resumes();
        end.delivers_ping(b"1");
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn control_frames_after_our_close_are_held_until_the_peers_close() {
    both(|mut end| {
        end.pauses();
        let Endpoint { connection, tx, now, .. } = &mut end;
        connection.close_and_receive(crate::CloseCode::NORMAL, "", *now, tx);
        end.drive();
        end.sent_close(1000);
        holds(&mut end, [ping("1"), text("a"), pong("2"), close(1000, "")]);
        end.peer_hangs_up();
        end.resumes();
        end.delivers_ping(b"1");
        end.delivers_text("a");
        end.delivers_pong(b"2");
        assert!(end.is_finished().is_clean());
        end.sends_nothing();
    });
}

#[test]
fn the_debug_output_of_held_events_has_no_payloads() {
    let ping = HeldEvent::Ping("secret".into());
    assert_eq!(format!("{ping:?}"), "Ping(6 bytes)");
    assert!(!format!("{:?}", HeldEvent::Message(Message::text("secret"))).contains("secret"));
}
