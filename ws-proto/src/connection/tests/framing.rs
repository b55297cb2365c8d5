//! Frames (RFC 6455 sections 5.1, 5.2 and 5.3).

use bytes::Bytes;

use crate::{MessageKind, Role, error::ProtocolError};

use super::{
    endpoint::{Endpoint, both},
    wire::{binary, close, continuation, frame, ping, pong, text},
};

#[test]
fn a_text_message_is_delivered() {
    both(|mut end| {
        end.receives([text("Hello")]);
        end.delivers_text("Hello");
        end.is_open();
    });
}

#[test]
fn a_binary_message_is_delivered() {
    both(|mut end| {
        end.receives([binary([0xde, 0xad, 0xbe, 0xef])]);
        end.delivers_binary([0xde, 0xad, 0xbe, 0xef]);
        end.is_open();
    });
}

#[test]
fn an_empty_message_is_delivered() {
    both(|mut end| {
        end.receives([text(""), binary("")]);
        end.delivers_text("");
        end.delivers_binary("");
        end.is_open();
    });
}

#[test]
fn every_length_is_delivered_and_sent_in_its_shortest_form() {
    both(|mut end| {
        for length in [0, 1, 7, 124, 125, 126, 127, 4095, 4096, 65_534, 65_535, 65_536, 65_537, 200_000] {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
            end.receives([binary(&payload)]);
            end.delivers_binary(&payload);
            end.connection.send(MessageKind::Binary, &payload, &mut end.tx).unwrap();
            end.drive();
            end.sent_binary(&payload);
            end.sends_owned(payload.clone());
            end.sent_binary(&payload);
        }
        end.is_open();
    });
}

#[test]
fn messages_in_one_segment_are_delivered_in_order() {
    both(|mut end| {
        end.receives([text("one"), binary("two"), text("three")]);
        end.delivers_text("one");
        end.delivers_binary("two");
        end.delivers_text("three");
        end.is_open();
    });
}

#[test]
fn nothing_is_delivered_before_the_last_byte() {
    both(|mut end| {
        let bytes = text("Hello").encode(end.role() == Role::Server);
        for byte in &bytes[..bytes.len() - 1] {
            end.receives_bytes(&[*byte]);
            end.is_open();
        }
        end.receives_bytes(&bytes[bytes.len() - 1..]);
        end.delivers_text("Hello");
    });
}

#[test]
fn a_reserved_opcode_is_answered_with_1002_at_its_first_byte() {
    for opcode in (3..8).chain(11..16) {
        both(|mut end| {
            end.receives_bytes(&[0x80 | opcode]);
            end.fails_with(1002);
        });
        both(|mut end| {
            end.receives([text("before"), frame(opcode, b"payload")]);
            end.delivers_text("before");
            end.fails_with(1002);
        });
    }
}

#[test]
fn a_reserved_bit_is_answered_with_1002_at_its_first_byte() {
    for bits in (1..8).map(|bits: u8| bits << 4) {
        both(|mut end| {
            end.receives_bytes(&[0x81 | bits]);
            end.fails_with(1002);
        });
        for bad in [text("x"), binary("x"), ping("x"), pong("x"), close(1000, "")] {
            both(|mut end| {
                end.receives([bad.clone().with_reserved_bits(bits)]);
                end.fails_with(1002);
            });
        }
        both(|mut end| {
            end.receives([text("x").not_final(), continuation("y").with_reserved_bits(bits)]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn a_server_refuses_an_unmasked_frame_at_its_second_byte() {
    let mut server = Endpoint::new(Role::Server);
    server.receives_bytes(&[0x81]);
    server.is_open();
    server.receives_bytes(&[0x05]);
    server.fails_with(1002);
}

#[test]
fn a_client_refuses_a_masked_frame_at_its_second_byte() {
    let mut client = Endpoint::new(Role::Client);
    client.receives_bytes(&[0x81]);
    client.is_open();
    client.receives_bytes(&[0x85]);
    client.fails_with(1002);
}

#[test]
fn the_wrong_mask_is_answered_with_1002_on_every_frame() {
    for bad in [text("x"), binary("x"), ping("x"), pong("x"), close(1000, ""), text("")] {
        both(|mut end| {
            end.receives([bad.clone().masked_wrongly()]);
            end.fails_with(1002);
        });
    }
    both(|mut end| {
        end.receives([text("a").not_final(), continuation("b").masked_wrongly()]);
        end.fails_with(1002);
    });
}

#[test]
fn the_error_names_the_mask() {
    for (role, error) in
        [(Role::Server, ProtocolError::UnmaskedFrame), (Role::Client, ProtocolError::MaskedFrame)]
    {
        let mut end = Endpoint::new(role);
        end.receives([text("x").masked_wrongly()]);
        assert_eq!(end.connection.close_info().unwrap().error, Some(error.into()));
    }
}

#[test]
fn any_mask_key_is_accepted_even_zero() {
    for key in [[0; 4], [0xff; 4], [0, 0, 0, 1], [0x80, 0, 0x7f, 0xfe]] {
        let mut server = Endpoint::new(Role::Server);
        server.receives([text("any key").with_key(key)]);
        server.delivers_text("any key");
    }
}

#[test]
fn a_length_that_is_not_minimal_is_answered_with_1002_before_any_payload() {
    let in_16_bits = (0..=125).map(|length| text("").announcing(length).length_in_16_bits());
    let in_64_bits = [0, 125, 126, 0xffff].map(|length| binary("").announcing(length).length_in_64_bits());
    for bad in in_16_bits.chain(in_64_bits) {
        both(|mut end| {
            end.receives([bad.clone()]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn the_smallest_length_of_each_form_is_accepted() {
    both(|mut end| {
        for length in [126, 65_536] {
            end.receives([binary(vec![1; length])]);
            end.delivers_binary(vec![1; length]);
        }
        end.is_open();
    });
}

#[test]
fn a_length_with_its_top_bit_set_is_answered_with_1002_and_not_1009() {
    for length in [1 << 63, u64::MAX, (1 << 63) + 5] {
        both(|mut end| {
            end.receives([binary("").announcing(length)]);
            end.fails_with(1002);
        });
    }
    // The first byte of the length shows it.
    both(|mut end| {
        let mask_bit = if end.role() == Role::Server { 0x80 } else { 0 };
        end.receives_bytes(&[0x82, mask_bit | 127, 0x80]);
        end.fails_with(1002);
    });
}

#[test]
fn everything_after_a_violation_is_ignored() {
    both(|mut end| {
        end.receives([text("good"), frame(3, b""), text("void"), ping("void"), close(1000, "")]);
        end.delivers_text("good");
        end.fails_with(1002);
    });
}

#[test]
fn a_client_masks_every_frame_with_a_key_of_its_own() {
    let mut client = Endpoint::new(Role::Client);
    for _ in 0..4 {
        client.sends_text("the same");
        client.sends_ping(b"the same");
        client.sends_owned(&b"the same"[..]);
    }
    client.closes(1000, "");
    let mut keys = client.outbound.keys.clone();
    assert_eq!(keys.len(), 13);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 13);
}

#[test]
fn masking_does_not_change_a_shared_payload() {
    let mut client = Endpoint::new(Role::Client);
    let shared = Bytes::from(vec![7; 100_000]);
    client.sends_owned(shared.clone());
    client.sends_owned(shared.clone());
    client.sent_binary(&shared);
    client.sent_binary(vec![7; 100_000]);
    let fixed = Bytes::from_static(&[9; 20_000]);
    client.sends_owned(fixed);
    client.sent_binary([9; 20_000]);
}

#[test]
fn a_sent_message_has_the_given_payload() {
    both(|mut end| {
        end.sends_text("grüße");
        end.sent_text("grüße");
        end.sends_ping(b"p");
        end.sent_ping(b"p");
        end.connection.pong(b"q", &mut end.tx).unwrap();
        end.drive();
        end.sent_pong(b"q");
        end.is_open();
    });
}
