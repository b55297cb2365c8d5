//! Received bytes that wait for another turn.

use crate::{Config, Event, Limits, ReceiveBuffer, Role, memory::MemoryBudget};

use super::{
    endpoint::{Endpoint, both, config},
    wire::{Frame, binary, close, ping},
};

/// Puts the frames into the window with one read.
fn arrive(end: &mut Endpoint, frames: &[Frame]) {
    let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(end.role() == Role::Server)).collect();
    end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
    end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
}

/// Takes one message and sets the rest aside.
fn take_one(end: &mut Endpoint, payload: &[u8]) {
    let event = end.connection.poll_event(&mut end.rx, &mut end.tx);
    let Some(Event::Message(message)) = event else { panic!("{event:?}") };
    assert_eq!(message.as_bytes(), payload);
    end.connection.set_aside(&mut end.rx, &end.tx);
}

#[test]
fn nothing_is_read_while_bytes_are_set_aside() {
    both(|mut end| {
        arrive(&mut end, &[binary("one"), binary("two"), ping("p"), binary("three")]);
        take_one(&mut end, b"one");
        assert!(end.rx.is_empty(), "other connections use the buffer");
        assert!(end.connection.wants_turn());
        assert!(!end.connection.wants_read());
        assert!(!end.connection.is_settled());
        assert!(end.connection.unfinished_bytes() > 0);
        take_one(&mut end, b"two");
        end.drive();
        end.sent_pong(b"p");
        end.delivers_ping(b"p");
        end.delivers_binary("three");
        assert!(!end.connection.wants_turn());
        assert!(end.connection.wants_read());
        assert!(end.connection.is_settled());
    });
}

#[test]
fn without_bytes_nothing_is_set_aside() {
    both(|mut end| {
        arrive(&mut end, &[binary("one")]);
        take_one(&mut end, b"one");
        assert!(!end.connection.wants_turn());
        assert!(end.connection.is_settled());
    });
}

#[test]
fn a_half_received_frame_behind_bytes_set_aside_is_completed_by_the_next_read() {
    both(|mut end| {
        let mut bytes = Vec::new();
        for payload in ["one", "two", "three"] {
            bytes.extend(binary(payload).encode(end.role() == Role::Server));
        }
        let rest = bytes.split_off(bytes.len() - 2);
        end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
        end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
        take_one(&mut end, b"one");
        end.receives_bytes(&rest);
        end.delivers_binary("two");
        end.delivers_binary("three");
    });
}

#[test]
fn bytes_set_aside_are_charged_until_they_are_parsed() {
    let budget = MemoryBudget::new(1 << 30);
    let config = config(|_| ()).with_memory_budget(budget.clone()).unwrap();
    let mut end = Endpoint::with(Role::Server, &config);
    end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
    arrive(&mut end, &vec![binary("a message"); 4000]);
    take_one(&mut end, b"a message");
    assert!(budget.used() >= 3999 * 15, "{} bytes", budget.used());
    end.drive();
    for _ in 1..4000 {
        end.delivers_binary("a message");
    }
    assert_eq!(budget.used(), 0);
}

#[test]
fn control_frames_of_one_read_are_counted_together_though_some_are_set_aside() {
    let most = Limits::default().max_control_frames_per_read;
    for (pings, refused) in [(most, false), (most + 1, true)] {
        let mut end = Endpoint::with(Role::Server, &Config::default().validate().unwrap());
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        end.sets_aside = true;
        let frames = vec![ping(""); pings as usize];
        arrive(&mut end, &frames);
        end.drive();
        assert_eq!(end.connection.close_info().is_some(), refused, "{pings} pings");
    }
}

#[test]
fn bytes_set_aside_are_dropped_when_the_connection_ends() {
    both(|mut end| {
        arrive(&mut end, &[binary("one"), binary("two"), close(1000, "")]);
        take_one(&mut end, b"one");
        end.connection.fail(crate::error::ConnectionError::Internal, end.now, &mut end.tx);
        assert!(!end.connection.wants_turn());
        end.drive();
        end.sent_close(1011);
        end.delivers_nothing();
    });
}
