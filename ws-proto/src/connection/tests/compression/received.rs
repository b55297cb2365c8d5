//! Received messages.

use crate::Role;

use super::{
    super::wire::{binary, close, continuation, ping, text},
    HELLO, both, compressed, deflated, prose, with_takeover, without_takeover,
};

#[test]
fn a_compressed_message_is_delivered() {
    both(&without_takeover(), |mut end| {
        end.receives([compressed(text(HELLO))]);
        end.delivers_text("Hello");
        end.receives([compressed(binary(HELLO)), text("plain"), compressed(text(HELLO))]);
        end.delivers_binary("Hello");
        end.delivers_text("plain");
        end.delivers_text("Hello");
        end.is_open();
        assert!(end.connection.is_settled());
    });
}

#[test]
fn fragments_are_inflated_together_with_control_frames_in_between() {
    both(&without_takeover(), |mut end| {
        end.receives([
            compressed(text(&HELLO[..3]).not_final()),
            ping("now?"),
            continuation("").not_final(),
            continuation(&HELLO[3..]),
        ]);
        end.delivers_ping(b"now?");
        end.delivers_text("Hello");
        end.sent_pong(b"now?");
        end.is_open();
    });
}

#[test]
fn a_message_may_refer_to_the_previous_one() {
    both(&with_takeover(), |mut end| {
        end.receives([compressed(text(HELLO)), compressed(text([0xf2, 0x00, 0x11, 0x00, 0x00]))]);
        end.delivers_text("Hello");
        end.delivers_text("Hello");
        end.is_open();
    });
}

#[test]
fn without_takeover_a_message_must_not_refer_to_the_previous_one() {
    both(&without_takeover(), |mut end| {
        end.receives([compressed(text(HELLO)), compressed(text([0xf2, 0x00, 0x11, 0x00, 0x00]))]);
        end.delivers_text("Hello");
        end.fails_with(1007);
    });
}

#[test]
fn a_message_that_arrives_byte_by_byte_is_the_same() {
    both(&with_takeover(), |mut end| {
        let payload = prose(2000);
        for byte in compressed(text(deflated(&payload))).encode(end.role() == Role::Server) {
            end.receives_bytes(&[byte]);
        }
        end.delivers_text(std::str::from_utf8(&payload).unwrap());
        end.is_open();
    });
}

#[test]
fn rsv1_is_accepted_only_on_the_first_frame_of_a_message() {
    let frames = [
        compressed(continuation(HELLO)),
        compressed(ping("")),
        compressed(close(1000, "")),
        compressed(text(HELLO)).with_reserved_bits(0x20),
        compressed(text(HELLO)).with_reserved_bits(0x10),
        text(HELLO).with_reserved_bits(0x20),
    ];
    for frame in frames {
        both(&without_takeover(), |mut end| {
            end.receives([text("He").not_final()]);
            end.receives([frame.clone()]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn without_an_agreement_rsv1_is_refused() {
    super::super::endpoint::both_with(&without_takeover(), |mut end| {
        end.receives([compressed(text(HELLO))]);
        end.fails_with(1002);
    });
}

#[test]
fn invalid_deflate_data_is_answered_with_1007() {
    both(&without_takeover(), |mut end| {
        end.receives([compressed(binary([0xff; 20]))]);
        end.fails_with(1007);
    });
}

#[test]
fn compressed_text_must_be_utf8() {
    for bad in [&b"caf\xe9"[..], b"\xed\xa0\x80", b"good until here \xe2\x82"] {
        both(&without_takeover(), |mut end| {
            end.receives([compressed(text(deflated(bad)))]);
            end.fails_with(1007);
        });
    }
    // More than is inflated in one step, and split within a character.
    for bad in [&b"\xe2\x82"[..], b"\xff", b"\xe2\x82\xac\x80"] {
        both(&without_takeover(), |mut end| {
            let payload = [&b"xx".repeat(150_000)[..], bad].concat();
            end.receives([compressed(text(deflated(&payload)))]);
            end.fails_with(1007);
        });
    }
    both(&without_takeover(), |mut end| {
        // The compressed bytes need not be UTF-8, and may be split anywhere.
        let payload = "x".to_owned() + &"\u{20ac}\u{1f980}".repeat(60_000);
        end.receives([compressed(text(deflated(payload.as_bytes())))]);
        end.delivers_text(&payload);
        end.is_open();
    });
}
