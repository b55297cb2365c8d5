//! Pings, pongs and the rules for control frames (RFC 6455 section 5.5).

use crate::{Role, error::ControlError};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{binary, close, empty_close, frame, ping, pong, text},
};

#[test]
fn a_ping_is_answered_with_its_own_payload() {
    for length in [0, 1, 4, 124, 125] {
        both(|mut end| {
            let payload = vec![0xf0; length];
            end.receives([ping(&payload)]);
            end.delivers_ping(&payload);
            end.sent_pong(&payload);
            end.is_open();
        });
    }
}

#[test]
fn every_ping_is_answered_while_the_transport_accepts_bytes() {
    both(|mut end| {
        end.receives([ping("1"), ping("2"), text("between"), ping("3")]);
        for payload in ["1", "2", "3"] {
            end.sent_pong(payload.as_bytes());
        }
        end.sends_nothing();
    });
}

#[test]
fn a_pong_is_reported_and_not_answered() {
    both(|mut end| {
        end.receives([pong("hello"), pong(""), pong([0; 125])]);
        end.delivers_pong(b"hello");
        end.delivers_pong(b"");
        end.delivers_pong(&[0; 125]);
        end.is_open();
    });
}

#[test]
fn pongs_are_sent_before_the_answers_to_later_messages() {
    both(|mut end| {
        end.echoes = true;
        end.receives([ping("p"), text("t")]);
        end.sent_pong(b"p");
        end.sent_text("t");
    });
}

#[test]
fn a_control_frame_over_125_bytes_is_answered_with_1002_at_its_second_byte() {
    for opcode in [8, 9, 10] {
        for length in [126, 127] {
            both(|mut end| {
                let mask_bit = if end.role() == Role::Server { 0x80 } else { 0 };
                end.receives_bytes(&[0x80 | opcode]);
                end.is_open();
                end.receives_bytes(&[mask_bit | length]);
                end.fails_with(1002);
            });
        }
        both(|mut end| {
            end.receives([frame(opcode, &[b'x'; 126])]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn a_fragmented_control_frame_is_answered_with_1002_at_its_second_byte() {
    for bad in [ping("x"), pong("x"), close(1000, "")] {
        both(|mut end| {
            let bytes = bad.clone().not_final().encode(end.role() == Role::Server);
            end.receives_bytes(&bytes[..2]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn with_auto_pong_off_the_application_answers() {
    both_with(&config(|config| config.auto_pong = false), |mut end| {
        end.receives([ping("yours")]);
        end.delivers_ping(b"yours");
        end.is_open();
        end.connection.answer_ping(b"yours", &mut end.tx);
        end.drive();
        end.sent_pong(b"yours");
        end.connection.pong(b"again", &mut end.tx).unwrap();
        end.drive();
        end.sent_pong(b"again");
        end.is_open();
    });
}

#[test]
fn a_ping_or_pong_of_125_bytes_can_be_sent_and_one_of_126_cannot() {
    both(|mut end| {
        end.sends_ping(&[1; 125]);
        end.sent_ping(&[1; 125]);
        let too_big = Err(ControlError::TooLong { len: 126 });
        assert_eq!(end.connection.ping(&[1; 126], &mut end.tx), too_big);
        assert_eq!(end.connection.pong(&[1; 126], &mut end.tx), too_big);
        end.drive();
        end.is_open();
    });
}

#[test]
fn an_answer_is_cut_to_125_bytes() {
    both(|mut end| {
        end.connection.answer_ping(&[7; 1000], &mut end.tx);
        end.drive();
        end.sent_pong(&[7; 125]);
    });
}

#[test]
fn control_frames_may_arrive_in_parts() {
    both(|mut end| {
        let payload = [0x5a; 125];
        for bytes in [ping(payload), pong(payload)].map(|frame| frame.encode(end.role() == Role::Server)) {
            for piece in bytes.chunks(3) {
                end.receives_bytes(piece);
            }
        }
        end.delivers_ping(&payload);
        end.delivers_pong(&payload);
        end.sent_pong(&payload);
        end.is_open();
    });
}

#[test]
fn after_our_close_pings_are_neither_answered_nor_reported() {
    both(|mut end| {
        end.closes(1000, "");
        end.sent_close(1000);
        end.receives([ping("late"), pong("late")]);
        end.delivers_nothing();
        end.sends_nothing();
        end.connection.answer_ping(b"late", &mut end.tx);
        end.drive();
        end.sends_nothing();
    });
}

#[test]
fn after_the_peers_close_pings_are_neither_answered_nor_reported() {
    both(|mut end| {
        end.receives([empty_close(), ping("late")]);
        end.sent_empty_close();
        end.receives([ping("later")]);
        end.delivers_nothing();
        end.sends_nothing();
    });
}

#[test]
fn the_message_limit_does_not_apply_to_control_frames() {
    both_with(&config(|config| config.limits.max_message_size = 10), |mut end| {
        end.receives([ping([3; 20]), pong([4; 125]), binary([5; 10])]);
        end.delivers_ping(&[3; 20]);
        end.delivers_pong(&[4; 125]);
        end.delivers_binary([5; 10]);
        end.sent_pong(&[3; 20]);
        end.receives([close(1000, "longer than ten bytes")]);
        assert_eq!(end.sent_close(1000), "longer than ten bytes");
    });
}

#[test]
fn the_frame_limit_does_not_apply_to_control_frames() {
    both_with(&config(|config| config.limits.max_frame_size = Some(0)), |mut end| {
        end.receives([ping([3; 125])]);
        end.delivers_ping(&[3; 125]);
        end.sent_pong(&[3; 125]);
        end.is_open();
    });
}

#[test]
fn a_client_and_a_server_of_this_crate_understand_each_other() {
    let mut client = Endpoint::new(Role::Client);
    let mut server = Endpoint::new(Role::Server);
    client.sends_ping(b"are you there?");
    server.receives_bytes(&client.outbound.bytes);
    server.delivers_ping(b"are you there?");
    client.receives_bytes(&server.outbound.bytes);
    client.delivers_pong(b"are you there?");
}
