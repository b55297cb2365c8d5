//! Fragmented messages (RFC 6455 section 5.4).

use crate::Role;

use super::{
    endpoint::{Endpoint, both},
    wire::{binary, close, continuation, ping, pong, text},
};

#[test]
fn fragments_make_one_message() {
    both(|mut end| {
        end.receives([text("Hel").not_final(), continuation("lo")]);
        end.delivers_text("Hello");
        end.receives([text("He").not_final(), continuation("ll").not_final(), continuation("o")]);
        end.delivers_text("Hello");
        end.receives([binary([1, 2]).not_final(), continuation([3, 4, 5])]);
        end.delivers_binary([1, 2, 3, 4, 5]);
        end.is_open();
    });
}

#[test]
fn fragments_make_one_message_for_any_split_of_the_bytes() {
    both(|mut end| {
        for part in ["Fragments ", "may ", "come ", "one ", "by "] {
            let frame = if part == "Fragments " { text(part) } else { continuation(part) };
            end.receives([frame.not_final()]);
            end.is_open();
        }
        end.receives([continuation("one")]);
        end.delivers_text("Fragments may come one by one");
        end.is_open();
    });
}

#[test]
fn empty_fragments_add_nothing() {
    both(|mut end| {
        end.receives([text("data").not_final(), continuation("")]);
        end.delivers_text("data");
        end.receives([text("").not_final(), continuation("data")]);
        end.delivers_text("data");
        end.receives([text("").not_final(), continuation("").not_final(), continuation("")]);
        end.delivers_text("");
        end.is_open();
    });
}

#[test]
fn each_message_has_the_kind_of_its_first_fragment() {
    both(|mut end| {
        end.receives([
            text("A").not_final(),
            continuation("B"),
            binary("C").not_final(),
            continuation("D"),
            text("E"),
        ]);
        end.delivers_text("AB");
        end.delivers_binary("CD");
        end.delivers_text("E");
        end.is_open();
    });
}

#[test]
fn large_fragments_are_joined_byte_by_byte() {
    for (count, size) in [(4, 2048), (64, 4096), (3, 100_000)] {
        both(|mut end| {
            let fragments: Vec<_> = (0..count).map(|at| vec![b'A' + (at % 26) as u8; size]).collect();
            for (at, payload) in fragments.iter().enumerate() {
                let frame = if at == 0 { binary(payload) } else { continuation(payload) };
                end.receives([if at + 1 < count { frame.not_final() } else { frame }]);
            }
            end.delivers_binary(fragments.concat());
            end.is_open();
        });
    }
}

#[test]
fn a_control_frame_between_fragments_is_handled_at_once() {
    both(|mut end| {
        end.receives([text("Hel").not_final(), ping("ping"), pong("pong"), continuation("lo")]);
        end.delivers_ping(b"ping");
        end.delivers_pong(b"pong");
        end.delivers_text("Hello");
        end.sent_pong(b"ping");
        end.is_open();
    });
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_complete() {
    both(|mut end| {
        end.receives([binary("x").not_final()]);
        end.receives([ping("now")]);
        end.delivers_ping(b"now");
        end.sent_pong(b"now");
        end.receives([continuation("y")]);
        end.delivers_binary("xy");
    });
}

#[test]
fn a_close_between_fragments_ends_the_connection_and_the_message_is_lost() {
    both(|mut end| {
        end.receives([text("Hel").not_final(), close(1000, ""), continuation("lo")]);
        end.delivers_nothing();
        end.sent_close(1000);
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_continuation_without_a_message_is_answered_with_1002() {
    for bad in [continuation("x"), continuation(""), continuation("x").not_final()] {
        both(|mut end| {
            end.receives([bad.clone()]);
            end.fails_with(1002);
        });
        both(|mut end| {
            end.receives([text("whole"), bad.clone()]);
            end.delivers_text("whole");
            end.fails_with(1002);
        });
        both(|mut end| {
            end.receives([text("a").not_final(), ping(""), continuation("b"), bad.clone()]);
            end.delivers_ping(b"");
            end.delivers_text("ab");
            end.sent_pong(b"");
            end.fails_with(1002);
        });
    }
}

#[test]
fn a_message_inside_a_message_is_answered_with_1002() {
    for nested in [text("x"), binary("x"), text("x").not_final(), binary("").not_final()] {
        for first in [text("a").not_final(), binary("a").not_final(), text("").not_final()] {
            both(|mut end| {
                end.receives([first.clone(), nested.clone()]);
                end.fails_with(1002);
            });
        }
        both(|mut end| {
            end.receives([text("a").not_final(), continuation("b").not_final(), nested.clone()]);
            end.fails_with(1002);
        });
    }
}

#[test]
fn a_misplaced_frame_is_refused_at_its_header() {
    both(|mut end| {
        end.receives([continuation("").announcing(1_000_000)]);
        end.fails_with(1002);
    });
    both(|mut end| {
        end.receives([text("a").not_final(), text("").announcing(1_000_000)]);
        end.fails_with(1002);
    });
}

#[test]
fn a_message_is_sent_in_one_frame() {
    both(|mut end| {
        // The endpoint fixture refuses continuation frames and frames without FIN.
        end.sends_owned(vec![1; 1_000_000]);
        end.sent_binary(vec![1; 1_000_000]);
        end.sends_nothing();
    });
}

#[test]
fn a_masked_fragment_has_a_key_of_its_own() {
    let mut server = Endpoint::new(Role::Server);
    server.receives([
        text("one ").not_final().with_key([1, 2, 3, 4]),
        continuation("two ").not_final().with_key([250, 0, 17, 99]),
        continuation("three").with_key([0; 4]),
    ]);
    server.delivers_text("one two three");
}

#[test]
fn unmasking_continues_where_the_last_read_ended() {
    let mut server = Endpoint::new(Role::Server);
    let payload: String = ('a'..='z').cycle().take(1000).collect();
    let bytes = text(&payload).encode(true);
    for size in [1, 2, 3, 5, 7, 11, 13] {
        for piece in bytes.chunks(size) {
            server.receives_bytes(piece);
        }
        server.delivers_text(&payload);
    }
}
