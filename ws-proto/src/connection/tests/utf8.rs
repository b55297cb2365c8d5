//! Text is UTF-8 (RFC 6455 sections 5.6 and 8.1).

use crate::{CloseCode, ConnectionState, Event, Message, MessageKind, MessageRef, Role, error::SendError};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{FIN, Frame, Sent, TEXT, binary, close, continuation, ping, text},
};

/// One, two, three and four bytes; the edges of each length; a noncharacter; a byte order mark.
const MANY_LENGTHS: &str =
    "aé€😀\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\u{feff}\0z";

/// Each one is invalid at its last byte, and a valid prefix before it.
const IMPOSSIBLE: [&[u8]; 17] = [
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc1",
    b"\xc3a",
    b"\xc3\xc3",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xed\xbf",
    b"\xe2\x82\x41",
    b"\xf0\x80",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xf5",
    b"\xff",
    b"\xf0\x9f\x98\xff",
];

/// Each lacks at least one byte.
const UNFINISHED: [&[u8]; 7] =
    [b"\xc3", b"\xe2", b"\xe2\x82", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98", b"good until here \xe2\x82"];

#[test]
fn valid_text_is_delivered() {
    both(|mut end| {
        end.receives([text(MANY_LENGTHS)]);
        end.delivers_text(MANY_LENGTHS);
        end.is_open();
    });
}

#[test]
fn a_fragment_may_end_inside_a_character() {
    for at in 0..=MANY_LENGTHS.len() {
        let (head, tail) = MANY_LENGTHS.as_bytes().split_at(at);
        both(|mut end| {
            end.receives([text(head).not_final(), ping(""), continuation(tail)]);
            end.delivers_ping(b"");
            end.delivers_text(MANY_LENGTHS);
        });
    }
    both(|mut end| {
        let mut frames: Vec<Frame> =
            MANY_LENGTHS.bytes().map(|byte| continuation([byte]).not_final()).collect();
        frames[0] = text(&MANY_LENGTHS.as_bytes()[..1]).not_final();
        frames.push(continuation(""));
        end.receives(frames);
        end.delivers_text(MANY_LENGTHS);
    });
}

#[test]
fn text_that_is_not_utf8_is_answered_with_1007() {
    for bad in IMPOSSIBLE.iter().chain(&UNFINISHED) {
        for (head, tail) in
            [(&b""[..], &b""[..]), (b"before", b""), (b"", b"after"), (&[b'a'; 300], &[b'z'; 300])]
        {
            let payload = [head, bad, tail].concat();
            both(|mut end| {
                end.receives([text(&payload)]);
                end.fails_with(1007);
            });
        }
    }
}

#[test]
fn an_unfinished_character_at_the_end_of_a_message_is_answered_with_1007() {
    for bad in UNFINISHED {
        both(|mut end| {
            end.receives([text(bad).not_final()]);
            end.is_open();
            end.receives([continuation("")]);
            end.fails_with(1007);
        });
    }
}

#[test]
fn the_first_impossible_byte_ends_the_connection_in_the_middle_of_a_frame() {
    for bad in IMPOSSIBLE {
        both(|mut end| {
            let frame = text([&b"Hello "[..], bad].concat()).announcing(1000);
            let bytes = frame.encode(end.role() == Role::Server);
            let (possible, impossible) = bytes.split_at(bytes.len() - 1);
            end.receives_bytes(possible);
            end.is_open();
            end.receives_bytes(impossible);
            end.fails_with(1007);
        });
    }
}

#[test]
fn the_first_impossible_byte_ends_the_connection_in_the_middle_of_a_message() {
    for bad in IMPOSSIBLE {
        both(|mut end| {
            let (possible, impossible) = bad.split_at(bad.len() - 1);
            end.receives([text("fine").not_final(), continuation(possible).not_final()]);
            end.is_open();
            end.receives([continuation(impossible).not_final()]);
            end.fails_with(1007);
        });
    }
}

#[test]
fn an_invalid_byte_in_a_large_frame_is_found_when_it_arrives() {
    both(|mut end| {
        let frame = text([&[b'a'; 60_000][..], b"\xff"].concat()).announcing(1_000_000);
        let bytes = frame.encode(end.role() == Role::Server);
        end.receives_bytes(&bytes[..bytes.len() - 1]);
        end.is_open();
        end.receives_bytes(&bytes[bytes.len() - 1..]);
        end.fails_with(1007);
    });
}

#[test]
fn each_message_is_validated_independently() {
    both(|mut end| {
        end.receives([text("\u{e9}").not_final(), continuation("\u{e9}"), text("ok"), binary(b"\xc3")]);
        end.delivers_text("éé");
        end.delivers_text("ok");
        end.delivers_binary(b"\xc3");
        end.receives([text(b"\xa9")]);
        end.fails_with(1007);
    });
}

#[test]
fn binary_messages_and_pings_may_hold_any_bytes() {
    both(|mut end| {
        end.receives([
            binary(b"\xff\xc3"),
            ping(b"\xff\xc3"),
            binary(b"\xc3").not_final(),
            continuation(b"\xff"),
        ]);
        end.delivers_binary(b"\xff\xc3");
        end.delivers_ping(b"\xff\xc3");
        end.delivers_binary(b"\xc3\xff");
    });
}

#[test]
fn a_close_reason_that_is_not_utf8_is_answered_with_1007() {
    for bad in IMPOSSIBLE.iter().chain(&UNFINISHED) {
        both(|mut end| {
            end.receives([close(1000, bad)]);
            end.fails_with(1007);
        });
    }
}

#[test]
fn without_validation_text_is_delivered_unchanged() {
    both_with(&config(|config| config.validate_utf8 = false), |mut end| {
        end.receives([text(b"a\xff"), text(b"\xc3").not_final(), continuation(b"z"), text("valid")]);
        assert_eq!(end.seen.pop_front(), Some(super::endpoint::Seen::Unchecked(b"a\xff".into())));
        assert_eq!(end.seen.pop_front(), Some(super::endpoint::Seen::Unchecked(b"\xc3z".into())));
        end.delivers_text("valid");
        end.is_open();
        // A close reason belongs to the protocol, not to the application.
        end.receives([close(1000, b"\xff")]);
        end.fails_with(1007);
    });
}

#[test]
fn without_validation_a_received_message_is_sent_on_unchanged_and_owned_only_if_it_is_refused() {
    both_with(&config(|config| config.validate_utf8 = false), |mut end| {
        // One is lent from the receive buffer, the other has a buffer of its own.
        let messages = [vec![text(b"a\xff")], vec![text(b"a").not_final(), continuation(b"\xff")]];
        for frames in messages {
            let to_server = end.role() == Role::Server;
            let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.encode(to_server)).collect();
            let Endpoint { connection, rx, tx, now, .. } = &mut end;
            assert_eq!(connection.receive(&bytes, *now, rx), bytes.len());
            let Some(Event::Message(message)) = connection.poll_event(rx, tx) else { panic!("no message") };
            connection.send_received(message, tx).unwrap();
            end.drive();
            assert_eq!(end.outbound.pop(), Some(Sent { opcode: TEXT, flags: FIN, payload: b"a\xff".into() }));

            let Endpoint { connection, rx, tx, now, .. } = &mut end;
            connection.receive(&bytes, *now, rx);
            let Some(Event::Message(message)) = connection.poll_event(rx, tx) else { panic!("no message") };
            assert_eq!(message.into_message(), b"a\xff");
            end.drive();
        }
        let Endpoint { connection, tx, now, .. } = &mut end;
        connection.close(CloseCode::NORMAL, "", *now, tx);
        assert_eq!(connection.state(), ConnectionState::Closing);
        let lent = MessageRef::lent(MessageKind::Text, false, b"a\xff");
        assert_eq!(connection.send_received(lent, tx), Err(SendError::Closed(Message::from(b"a\xff"))));
    });
}

#[test]
fn all_pairs_of_bytes_agree_with_std() {
    let mut end = Endpoint::new(Role::Server);
    for pair in (0..=0xffff_u16).map(u16::to_be_bytes) {
        end.receives([text(&pair[..1]).not_final(), continuation(&pair[1..])]);
        match std::str::from_utf8(&pair) {
            Ok(text) => end.delivers_text(text),
            Err(_) => {
                assert_eq!(end.sent_close(1007), "protocol error: text message is not valid UTF-8");
                end.delivers_nothing();
                end = Endpoint::new(Role::Server);
            }
        }
    }
}
