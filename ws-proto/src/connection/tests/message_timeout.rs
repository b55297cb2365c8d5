//! A message that has started must complete in time, even if the peer is otherwise active.

use std::time::Duration;

use crate::{Config, ConnectionState, MessageKind, Role, ValidConfig, error::TimedOut};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both_with, config},
    timers::timed_out,
    wire::{Frame, binary, close, continuation, ping, text},
};

const TIMEOUT: Duration = Duration::from_secs(60);

fn with(change: impl FnOnce(&mut Config)) -> ValidConfig {
    config(|config| {
        config.message_timeout = Some(TIMEOUT);
        config.keepalive = None;
        change(config);
    })
}

fn check_both(check: impl Fn(Endpoint)) {
    both_with(&with(|_| ()), check);
}

#[track_caller]
fn is_given_up(mut end: Endpoint) {
    end.sent_close(1008);
    end.passes(CLOSE_TIMEOUT - Duration::from_nanos(1));
    assert_eq!(end.connection.state(), ConnectionState::Closing, "the peer may still read the Close");
    end.passes(Duration::from_nanos(1));
    timed_out(&mut end, TimedOut::Message);
}

#[test]
fn a_message_whose_fragments_never_end_is_given_up() {
    check_both(|mut end| {
        end.receives([text("begun").not_final()]);
        for _ in 0..59 {
            end.passes(SECOND);
            end.receives([continuation("more").not_final(), ping("alive")]);
            end.delivers_ping(b"alive");
            end.sent_pong(b"alive");
        }
        end.is_open();
        end.passes(SECOND);
        is_given_up(end);
    });
}

#[test]
fn a_frame_that_trickles_in_is_given_up() {
    check_both(|mut end| {
        end.receives([binary("").announcing(1000)]);
        for _ in 0..59 {
            end.passes(SECOND);
            end.receives_bytes(&[0]);
        }
        end.is_open();
        end.passes(SECOND);
        is_given_up(end);
    });
}

#[test]
fn a_header_or_control_frame_that_trickles_in_is_given_up() {
    for begun in [&[0x81][..], &[0x89, 0x85, 0, 0, 0, 0, b'h']] {
        both_with(&with(|_| ()), |mut end| {
            if end.role() == Role::Client && begun.len() > 1 {
                end.receives_bytes(&[0x89, 5, b'h']);
            } else {
                end.receives_bytes(begun);
            }
            end.passes(TIMEOUT - Duration::from_nanos(1));
            end.is_open();
            end.passes(Duration::from_nanos(1));
            is_given_up(end);
        });
    }
}

#[test]
fn the_timeout_of_a_frame_starts_at_the_first_byte_of_its_header() {
    check_both(|mut end| {
        let bytes = binary([0; 10]).encode(end.role() == Role::Server);
        end.receives_bytes(&bytes[..1]);
        end.passes(TIMEOUT - SECOND);
        end.receives_bytes(&bytes[1..8]);
        end.passes(SECOND);
        is_given_up(end);
    });
}

#[test]
fn each_message_has_its_own_timeout() {
    check_both(|mut end| {
        let to_server = end.role() == Role::Server;
        // Every read ends in the middle of a message.
        let frame = |byte: u8| binary([byte; 10]).encode(to_server);
        let mut before = Vec::new();
        for byte in 0..10 {
            let mut bytes = std::mem::replace(&mut before, frame(byte));
            bytes.extend(before.drain(..7));
            end.receives_bytes(&bytes);
            if byte > 0 {
                end.delivers_binary([byte - 1; 10]);
            }
            end.passes(TIMEOUT - SECOND);
        }
        end.is_open();
    });
}

#[test]
fn a_control_frame_in_between_does_not_extend_the_timeout() {
    check_both(|mut end| {
        end.receives([text("begun").not_final()]);
        end.passes(TIMEOUT - SECOND);
        let cut = ping("cut in two").encode(end.role() == Role::Server);
        end.receives_bytes(&cut[..5]);
        end.receives_bytes(&cut[5..]);
        end.delivers_ping(b"cut in two");
        end.sent_pong(b"cut in two");
        end.passes(SECOND);
        is_given_up(end);
    });
}

#[test]
fn time_in_which_nothing_is_read_does_not_count() {
    let narrow = with(|config| config.limits.max_held_bytes = 10);
    both_with(&narrow, |mut end| {
        end.pauses();
        end.receives([binary([0; 20]), text("begun").not_final()]);
        end.passes(10 * TIMEOUT);
        end.is_open();
        end.resumes();
        end.delivers_binary([0; 20]);
        end.passes(TIMEOUT - SECOND);
        end.receives([continuation(" and done")]);
        end.delivers_text("begun and done");
        end.is_open();
    });
}

#[test]
fn earlier_messages_are_delivered_before_the_timeout() {
    check_both(|mut end| {
        end.pauses();
        end.receives([text("first"), text("begun").not_final()]);
        end.passes(TIMEOUT);
        end.delivers_nothing();
        end.resumes();
        end.delivers_text("first");
        is_given_up(end);
    });
}

#[test]
fn the_timeout_does_not_apply_between_messages() {
    check_both(|mut end| {
        end.receives([text("a").not_final(), continuation("b"), ping("")]);
        end.connection.send(MessageKind::Text, b"c", &mut end.tx).unwrap();
        assert_eq!(end.connection.poll_timeout(&end.tx), None);
    });
}

#[test]
fn a_close_that_trickles_in_is_given_up_too() {
    check_both(|mut end| {
        let frame: Frame = close(1000, "bye");
        let bytes = frame.encode(end.role() == Role::Server);
        end.receives_bytes(&bytes[..bytes.len() - 1]);
        end.passes(TIMEOUT);
        is_given_up(end);
    });
}
