//! Compressed messages (RFC 7692 sections 6 and 7.2).

use std::io::ErrorKind;

use bytes::Buf as _;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    CloseCode, Completion, Config, ConnectionState, MessageKind, Notify, PreparedMessage, ReceiveBuffer,
    Role, ValidConfig,
    deflate::{DeflateConfig, accept_answer, accept_offer},
    error::{ConnectionError, LimitExceeded, SendError},
    frame::RSV1,
    handshake::{Extensions, parse_extensions},
};

use super::{
    endpoint::{Endpoint, Seen, config},
    wire::{self, FIN, Frame, binary, close, continuation, ping, text},
};

pub(super) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const MIB: usize = 1024 * 1024;

/// Both sides keep their contexts, and every message is compressed.
pub(super) fn with_takeover() -> ValidConfig {
    with_deflate(|_, deflate| {
        deflate.send_takeover = true;
        deflate.receive_takeover = true;
    })
}

/// Each message is compressed independently.
pub(super) fn without_takeover() -> ValidConfig {
    with_deflate(|_, _| ())
}

fn limited(max_message_size: usize) -> ValidConfig {
    with_deflate(|config, _| config.limits.max_message_size = max_message_size)
}

pub(super) fn with_deflate(change: impl FnOnce(&mut Config, &mut DeflateConfig)) -> ValidConfig {
    config(|config| {
        let mut deflate = DeflateConfig::server();
        deflate.threshold = 0;
        change(config, &mut deflate);
        config.deflate = Some(deflate);
    })
}

fn agree(role: Role, config: &ValidConfig) -> Extensions {
    let deflate = config.shared_deflate().unwrap();
    let header = match (role, deflate.receive_takeover) {
        (Role::Client, false) => "permessage-deflate; server_no_context_takeover",
        _ => "permessage-deflate",
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(header));
    let list = parse_extensions(&headers).unwrap();
    let agreed = match role {
        Role::Server => accept_offer(deflate, &list).unwrap().0,
        Role::Client => accept_answer(deflate, &list).unwrap().unwrap(),
    };
    Extensions { deflate: Some(agreed) }
}

pub(super) fn endpoint(role: Role, config: &ValidConfig) -> Endpoint {
    let mut end = Endpoint::with(role, config);
    end.connection = end.connection.with_extensions(agree(role, config));
    end.outbound.may_compress = true;
    end
}

/// Checks a rule for both roles.
pub(super) fn both(config: &ValidConfig, check: impl Fn(Endpoint)) {
    for role in [Role::Server, Role::Client] {
        eprintln!("as {role:?}:");
        check(endpoint(role, config));
    }
}

pub(super) fn compressed(frame: Frame) -> Frame {
    frame.with_reserved_bits(RSV1)
}

/// Compresses with the library alone, at its highest level.
pub(super) fn deflated(payload: &[u8]) -> Vec<u8> {
    let mut raw = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(payload.len() + 1024);
    raw.compress_vec(payload, &mut out, FlushCompress::Sync).unwrap();
    assert_eq!(raw.total_in() as usize, payload.len());
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

/// Decompresses sent messages one by one, with the library alone.
pub(super) struct Reader {
    raw: Decompress,
    keeps_context: bool,
}

impl Reader {
    pub(super) fn new(config: &Config) -> Self {
        let keeps_context = config.deflate.as_ref().unwrap().send_takeover;
        Self { raw: Decompress::new(false), keeps_context }
    }

    /// Returns the next message with its frames joined, and the control frames between them.
    pub(super) fn read(&mut self, end: &mut Endpoint) -> (Vec<u8>, Vec<u8>) {
        let (mut payload, mut controls) = (Vec::new(), Vec::new());
        let mut first = true;
        loop {
            let sent = end.outbound.pop().expect("a frame of a message");
            if sent.opcode > wire::BINARY {
                controls.push(sent.opcode);
                continue;
            }
            if first {
                assert_eq!(sent.flags & RSV1, RSV1, "compressed");
            } else {
                assert_eq!(sent.opcode, wire::CONTINUATION);
            }
            first = false;
            payload.extend(&sent.payload);
            if sent.flags & FIN != 0 {
                return (self.inflate(&payload), controls);
            }
        }
    }

    fn inflate(&mut self, payload: &[u8]) -> Vec<u8> {
        if !self.keeps_context {
            self.raw.reset(false);
        }
        let input = [payload, &[0, 0, 0xff, 0xff]].concat();
        let (mut out, before) = (Vec::with_capacity(1024), self.raw.total_in());
        loop {
            let read = (self.raw.total_in() - before) as usize;
            self.raw.decompress_vec(&input[read..], &mut out, FlushDecompress::Sync).unwrap();
            if out.len() < out.capacity() {
                return out;
            }
            out.reserve(out.len());
        }
    }
}

pub(super) fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(step).collect()
}

pub(super) fn prose(len: usize) -> Vec<u8> {
    let words = noise(len / 4 + 1);
    words
        .iter()
        .flat_map(|byte| ["the ", "sea ", "was ", "wet "][usize::from(byte % 4)].bytes())
        .take(len)
        .collect()
}

#[track_caller]
fn is_too_big(end: &Endpoint, limit: usize) {
    let error = end.connection.close_info().and_then(|info| info.error);
    assert_eq!(error, Some(ConnectionError::Limit(LimitExceeded::MessageSize { limit })));
}

// Received messages.

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
    super::endpoint::both_with(&without_takeover(), |mut end| {
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

// Limits.

#[test]
fn a_message_of_exactly_the_limit_is_delivered_and_one_byte_more_is_not() {
    for limit in [1, 100, 65_535, 65_536, 65_537, 300_000, MIB, 3 * MIB / 2] {
        let config = limited(limit);
        both(&config, |mut end| {
            let exact = vec![b'x'; limit];
            end.receives([compressed(binary(deflated(&exact)))]);
            end.delivers_binary(&exact);
            end.is_open();
        });
        both(&config, |mut end| {
            end.receives([compressed(binary(deflated(&vec![b'x'; limit + 1])))]);
            is_too_big(&end, limit);
            end.fails_with(1009);
        });
        both(&config, |mut end| {
            let exact = noise(limit);
            let half = deflated(&exact);
            let (first, second) = half.split_at(half.len() / 2);
            end.receives([compressed(binary(first).not_final()), continuation(second)]);
            end.delivers_binary(&exact);
        });
    }
}

#[test]
fn a_decompression_bomb_is_stopped_at_the_limit_and_yields() {
    both(&limited(4 * MIB), |mut end| {
        // 512 MiB in 512 KiB.
        let mut raw = Compress::new(Compression::best(), false);
        let (zeros, mut bomb) = (vec![0; MIB], Vec::with_capacity(2 * MIB));
        for _ in 0..512 {
            raw.compress_vec(&zeros, &mut bomb, FlushCompress::None).unwrap();
        }
        end.receives([compressed(binary(&bomb))]);
        is_too_big(&end, 4 * MIB);
        assert!((14..=18).contains(&end.turns), "{} turns", end.turns);
        end.fails_with(1009);
    });
}

#[test]
fn input_without_output_yields_too() {
    both(&limited(2 * MIB), |mut end| {
        let nothing = [0, 0, 0, 0xff, 0xff].repeat(400_000);
        end.receives([compressed(binary(&nothing[..nothing.len() - 4]))]);
        end.delivers_binary("");
        assert!(end.turns >= 28, "{} turns", end.turns);
        end.is_open();
    });
}

#[test]
fn frames_after_a_large_message_wait_and_are_not_lost() {
    both(&without_takeover(), |mut end| {
        // A window that holds everything, so that much follows the first message.
        end.rx = ReceiveBuffer::new(256 * 1024, end.rx.pool().clone());
        let large = vec![b'y'; 3 * MIB];
        end.receives([
            compressed(binary(deflated(&large))),
            ping("p"),
            compressed(text(HELLO)),
            compressed(binary(deflated(&large))),
            text("last").not_final(),
        ]);
        end.receives([continuation("")]);
        end.delivers_binary(&large);
        end.delivers_ping(b"p");
        end.delivers_text("Hello");
        end.delivers_binary(&large);
        end.delivers_text("last");
        end.sent_pong(b"p");
        assert!(end.turns > 20, "{} turns", end.turns);
        end.is_open();
        assert!(end.connection.is_settled());
    });
}

#[test]
fn nothing_is_read_while_a_message_is_inflated() {
    let mut end = endpoint(Role::Server, &without_takeover());
    let frame = compressed(binary(deflated(&vec![b'y'; 3 * MIB]))).encode(true);
    end.connection.read_target(&mut end.rx)[..frame.len()].copy_from_slice(&frame);
    end.connection.handle_received(frame.len(), end.now, &mut end.rx);
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
    assert!(end.connection.wants_turn());
    assert!(!end.connection.wants_read());
    assert!(!end.connection.is_settled());
    end.drive();
    assert!(!end.connection.wants_turn());
    assert!(end.connection.wants_read());
    end.delivers_binary(vec![b'y'; 3 * MIB]);
}

#[test]
fn a_close_during_inflating_drops_the_message() {
    let mut end = endpoint(Role::Server, &without_takeover());
    let mut bytes = compressed(binary(deflated(&vec![b'y'; 3 * MIB]))).encode(true);
    bytes.extend(close(1000, "").encode(true));
    end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
    end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
    assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
    assert!(end.connection.wants_turn());
    end.closes(1001, "");
    end.peer_hangs_up();
    end.sent_close(1001);
    let Some(Seen::Closed(info)) = end.seen.pop_front() else { panic!("it is over") };
    assert!(info.is_clean(), "{info:?}");
}

#[test]
fn a_message_being_inflated_is_delivered_after_a_failed_write_and_after_close_and_receive() {
    for fails in [true, false] {
        both(&with_takeover(), |mut end| {
            let large = vec![b'y'; 3 * MIB];
            let frames = [binary(deflated(&large)), binary(deflated(b"small"))].map(compressed);
            let masked = end.role() == Role::Server;
            let mut bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(masked)).collect();
            bytes.extend(close(1000, "").encode(masked));
            end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
            end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
            assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
            assert!(end.connection.wants_turn());
            if fails {
                end.connection.handle_write_error(ErrorKind::BrokenPipe, end.now, &mut end.tx);
            } else {
                end.connection.close_and_receive(CloseCode::NORMAL, "", end.now, &mut end.tx);
            }
            end.drive();
            end.delivers_binary(&large);
            end.delivers_binary("small");
            end.peer_hangs_up();
            assert_eq!(end.is_finished().code(), 1000);
        });
    }
}

#[test]
fn the_end_of_the_stream_waits_for_the_message_being_inflated() {
    both(&without_takeover(), |mut end| {
        let large = vec![b'y'; 3 * MIB];
        let bytes = compressed(binary(deflated(&large))).encode(end.role() == Role::Server);
        end.connection.read_target(&mut end.rx)[..bytes.len()].copy_from_slice(&bytes);
        end.connection.handle_received(bytes.len(), end.now, &mut end.rx);
        assert!(end.connection.poll_event(&mut end.rx, &mut end.tx).is_none());
        end.connection.handle_eof(end.now);
        end.drive();
        end.delivers_binary(&large);
        assert!(matches!(end.seen.pop_front(), Some(Seen::Closed(_))));
    });
}

#[test]
fn inflating_stops_while_the_application_is_paused() {
    let config = with_deflate(|config, _| config.limits.max_held_bytes = 100_000);
    both(&config, |mut end| {
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        let payload = vec![b'z'; 60_000];
        let frame = compressed(binary(deflated(&payload)));
        end.pauses();
        end.receives(vec![frame; 500]);
        end.delivers_nothing();
        assert!(!end.connection.wants_turn(), "it must wait for the application");
        assert!(!end.connection.wants_read());
        assert_eq!(end.seen.len(), 0);
        let held = end.connection.inbox.as_ref().map_or(0, |inbox| inbox.bytes());
        assert!((100_000..=180_000).contains(&held), "{held} bytes held");
        end.resumes();
        for _ in 0..500 {
            end.delivers_binary(&payload);
        }
        end.delivers_nothing();
        end.is_open();
    });
}

#[test]
fn many_small_bombs_in_one_read_yield_too() {
    both(&without_takeover(), |mut end| {
        end.rx = ReceiveBuffer::new(128 * 1024, end.rx.pool().clone());
        let payload = vec![0; 60_000];
        let bytes: Vec<u8> = (0..500)
            .flat_map(|_| compressed(binary(deflated(&payload))).encode(end.role() == Role::Server))
            .collect();
        assert!(bytes.len() < 128 * 1024, "everything must fit in one read");
        end.receives_bytes(&bytes);
        assert_eq!(end.seen.len(), 500);
        assert!((95..=125).contains(&end.turns), "{} turns for 30 MB", end.turns);
        while let Some(seen) = end.seen.pop_front() {
            assert!(seen == Seen::Binary(payload.clone()));
        }
        end.is_open();
        assert!(end.connection.is_settled());
    });
}

#[test]
fn a_message_in_two_parts_leaves_the_connection_settled() {
    both(&without_takeover(), |mut end| {
        end.receives([compressed(text(&HELLO[..3]).not_final()), continuation(&HELLO[3..])]);
        end.delivers_text("Hello");
        assert!(end.connection.is_settled());
        for half in compressed(text(HELLO)).encode(end.role() == Role::Server).chunks(5) {
            end.receives_bytes(half);
        }
        end.delivers_text("Hello");
        assert!(end.connection.is_settled());
    });
}

#[test]
fn waiting_bytes_continue_in_a_smaller_buffer() {
    let config = with_deflate(|config, _| config.limits.max_held_bytes = 100_000);
    both(&config, |mut end| {
        end.rx = ReceiveBuffer::new(64 * 1024, end.rx.pool().clone());
        let payload = vec![b'z'; 60_000];
        end.pauses();
        let bytes: Vec<u8> = (0..300)
            .flat_map(|_| compressed(binary(deflated(&payload))).encode(end.role() == Role::Server))
            .collect();
        end.receives_bytes(&bytes);
        end.delivers_nothing();
        // The buffer of another thread.
        end.rx = ReceiveBuffer::new(1024, end.rx.pool().clone());
        end.resumes();
        for _ in 0..300 {
            end.delivers_binary(&payload);
        }
        end.is_open();
    });
}

#[test]
fn memory_stays_bounded_while_messages_arrive_and_are_delivered() {
    both(&without_takeover(), |mut end| {
        let payload = vec![b'q'; 40_000];
        let frame = compressed(binary(deflated(&payload))).encode(end.role() == Role::Server);
        end.pauses();
        for _ in 0..2 {
            end.receives_bytes(&frame);
        }
        let mut most = 0;
        for _ in 0..200 {
            assert_eq!(end.connection.take_held().unwrap().len(), 40_000);
            end.receives_bytes(&frame);
            most = most.max(end.connection.inbox.as_ref().map_or(0, |inbox| inbox.capacity()));
        }
        assert!(most < 400_000, "{most} bytes for two messages of 40,000");
    });
}

// Sent messages.

#[test]
fn messages_are_compressed() {
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            let mut reader = Reader::new(&config);
            for len in [1000, 5000, 70_000, 200_000] {
                let payload = prose(len);
                end.connection.send(MessageKind::Text, &payload, &mut end.tx).unwrap();
                end.sends_owned(payload.clone());
                assert_eq!(reader.read(&mut end).0, payload);
                assert_eq!(reader.read(&mut end).0, payload);
            }
            assert!(end.outbound.bytes.len() < 400_000);
            end.sends_nothing();
            assert_eq!(end.completions.len(), 4);
        });
    }
}

#[test]
fn each_message_is_compressed_independently_without_takeover() {
    let sizes = |config: &ValidConfig| {
        let mut end = endpoint(Role::Server, config);
        let payload = noise(1000);
        let mut size = || {
            let before = end.outbound.bytes.len();
            end.connection.send(MessageKind::Binary, &payload, &mut end.tx).unwrap();
            end.drive();
            end.outbound.bytes.len() - before
        };
        (size(), size())
    };
    let (first, second) = sizes(&without_takeover());
    assert_eq!(first, second);
    let (first, second) = sizes(&with_takeover());
    assert!(second < first / 4, "{second} behind {first}");
}

#[test]
fn small_and_incompressible_messages_are_sent_uncompressed() {
    let config = with_deflate(|_, deflate| deflate.threshold = 100);
    both(&config, |mut end| {
        let small = "x".repeat(99);
        end.sends_text(&small);
        end.sent_text(&small);
        end.sends_owned(noise(1000));
        end.sent_binary(noise(1000));
        end.sends_text(&"x".repeat(100));
        let sent = end.outbound.pop().unwrap();
        assert_eq!((sent.flags, sent.payload.len() < 100), (FIN | RSV1, true));
    });
}

#[test]
fn with_takeover_an_incompressible_message_is_sent_compressed() {
    let config = with_takeover();
    both(&config, |mut end| {
        let mut reader = Reader::new(&config);
        for payload in [noise(500), prose(500), noise(500)] {
            end.sends_owned(payload.clone());
            assert_eq!(reader.read(&mut end).0, payload);
        }
    });
}

#[test]
fn control_frames_are_never_compressed() {
    both(&without_takeover(), |mut end| {
        end.sends_ping(&[b'x'; 125]);
        end.sent_ping(&[b'x'; 125]);
        end.closes(1000, &"x".repeat(123));
        assert_eq!(end.sent_close(1000), "x".repeat(123));
    });
}

#[test]
fn compression_can_be_switched_off_for_a_message() {
    both(&with_takeover(), |mut end| {
        let payload = "y".repeat(1000);
        end.connection.set_compression(false);
        end.sends_text(&payload);
        end.sent_text(&payload);
        end.connection.set_compression(true);
        end.sends_text(&payload);
        assert_eq!(end.outbound.pop().unwrap().flags, FIN | RSV1);
    });
}

#[test]
fn a_waiting_message_is_compressed_when_it_is_encoded() {
    let config = with_takeover();
    both(&config, |mut end| {
        let mut reader = Reader::new(&config);
        end.transport_blocks();
        let payloads = [prose(3000), prose(300_000), prose(1000)];
        for payload in &payloads {
            end.sends_owned(payload.clone());
        }
        end.sends_ping(b"overtakes");
        end.transport_flows();
        assert_eq!(reader.read(&mut end).0, payloads[0]);
        end.sent_ping(b"overtakes");
        assert_eq!(reader.read(&mut end).0, payloads[1]);
        assert_eq!(reader.read(&mut end).0, payloads[2]);
        assert_eq!(end.completions, [Completion::Written; 3]);
    });
}

#[test]
fn a_large_message_is_sent_in_fragments_with_control_frames_in_between() {
    let config = with_deflate(|config, _| config.write_queue_bytes = 10 * MIB);
    both(&config, |mut end| {
        let mut reader = Reader::new(&config);
        let payload = noise(2 * MIB);
        end.transport_takes(1000);
        end.sends_owned(payload.clone());
        end.sends_ping(b"1");
        end.sends_text("behind");
        end.transport_takes(300_000);
        end.sends_ping(b"2");
        end.transport_flows();
        let (received, controls) = reader.read(&mut end);
        assert!(received == payload);
        assert_eq!(controls, [wire::PING; 2]);
        assert_eq!(end.completions, [Completion::Written]);
        let behind = end.outbound.pop().unwrap();
        assert_eq!(behind.payload, b"behind");
    });
}

#[test]
fn a_highly_compressible_large_message_is_compressed_in_steps() {
    let config = with_deflate(|config, _| config.write_queue_bytes = 20 * MIB);
    both(&config, |mut end| {
        let mut reader = Reader::new(&config);
        let payload: Vec<u8> = (0..8 * MIB).map(|at| (at / 7 % 13) as u8 + b'a').collect();
        end.transport_blocks();
        end.sends_ping(b"before");
        end.sends_owned(payload.clone());
        let (mut waiting, mut steps) = (end.connection.queued(&end.tx).bytes, 0);
        while end.connection.queued(&end.tx).messages > 0 {
            // The transport takes everything.
            let chunk = end.tx.chunk().to_vec();
            end.outbound.push(&chunk);
            end.tx.advance(chunk.len());
            end.connection.pump(&mut end.tx);
            assert!(!end.tx.is_empty() || end.connection.queued(&end.tx).messages == 0);
            let left = end.connection.queued(&end.tx).bytes;
            assert!(waiting - left <= 4 * MIB + 512 * 1024, "{}", waiting - left);
            (waiting, steps) = (left, steps + 1);
        }
        assert!(steps > 4, "{steps}");
        let (received, controls) = reader.read(&mut end);
        assert_eq!(controls, [wire::PING]);
        assert!(received == payload);
    });
}

#[test]
fn a_close_from_the_peer_cuts_off_a_large_message_between_fragments() {
    both(&without_takeover(), |mut end| {
        end.transport_takes(100_000);
        end.sends_owned(noise(2 * MIB));
        end.receives([close(1000, "bye")]);
        end.transport_flows();
        let mut last = end.outbound.pop().unwrap();
        assert_eq!(last.flags, RSV1, "an unfinished fragment");
        while let Some(next) = end.outbound.pop() {
            last = next;
        }
        assert_eq!(last.opcode, wire::CLOSE);
        assert_eq!(end.completions, [Completion::CutOff]);
        end.peer_hangs_up();
        assert!(matches!(end.seen.pop_front(), Some(Seen::Closed(_))));
    });
}

#[test]
fn our_own_close_waits_for_a_large_message() {
    let config = without_takeover();
    both(&config, |mut end| {
        let mut reader = Reader::new(&config);
        end.transport_takes(100_000);
        end.sends_owned(prose(MIB));
        end.closes(1000, "");
        end.transport_flows();
        assert_eq!(reader.read(&mut end).0, prose(MIB));
        end.sent_close(1000);
    });
}

#[test]
fn large_messages_that_peers_do_not_read_have_a_budget() {
    let config = with_deflate(|_, deflate| deflate.codec_budget = 500_000);
    let stalled = || {
        let mut end = endpoint(Role::Server, &config);
        end.transport_takes(1000);
        end.sends_owned(prose(MIB));
        end
    };
    let (mut first, mut second) = (stalled(), stalled());
    first.transport_flows();
    assert_eq!(first.outbound.pop().unwrap().flags, RSV1, "compressed and fragmented");
    second.transport_flows();
    second.sent_binary(prose(MIB));
    let mut third = stalled();
    third.transport_flows();
    assert_eq!(third.outbound.pop().unwrap().flags, RSV1, "released memory can be reserved again");
}

// Prepared messages.

#[test]
fn a_prepared_message_is_compressed_once() {
    let config = without_takeover();
    for len in [1000, 100_000] {
        let prepared = PreparedMessage::new(String::from_utf8(prose(len)).unwrap());
        let mut wires = Vec::new();
        for _ in 0..2 {
            let mut end = endpoint(Role::Server, &config);
            end.connection.send_prepared(&prepared, Notify::Yes, &mut end.tx).unwrap();
            end.drive();
            wires.push(end.outbound.bytes.clone());
            assert_eq!(Reader::new(&config).read(&mut end).0, prose(len));
            assert_eq!(end.completions, [Completion::Written]);
        }
        assert_eq!(wires[0], wires[1]);
    }
}

#[test]
fn a_prepared_message_can_be_sent_on_every_connection() {
    let message = String::from_utf8(prose(5000)).unwrap();
    let prepared = PreparedMessage::new(message.as_str());
    let send = |end: &mut Endpoint| {
        end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
        end.drive();
    };
    // Both roles with takeover, without takeover, and without compression.
    for config in [with_takeover(), without_takeover()] {
        both(&config, |mut end| {
            let mut reader = Reader::new(&config);
            for _ in 0..2 {
                send(&mut end);
                assert_eq!(reader.read(&mut end).0, prose(5000));
            }
        });
    }
    super::endpoint::both(|mut end| {
        send(&mut end);
        end.sent_text(&message);
        end.transport_blocks();
        send(&mut end);
        end.transport_flows();
        end.sent_text(&message);
    });
    let config = without_takeover();
    both(&config, |mut end| {
        end.connection.set_compression(false);
        send(&mut end);
        end.sent_text(&message);
        end.connection.set_compression(true);
        end.transport_blocks();
        send(&mut end);
        end.transport_flows();
        assert_eq!(Reader::new(&config).read(&mut end).0, prose(5000));
    });
}

#[test]
fn a_prepared_message_may_stay_uncompressed() {
    both(&without_takeover(), |mut end| {
        for payload in [prose(1000), prose(100_000)] {
            let prepared = PreparedMessage::uncompressed(payload.clone());
            end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
            end.drive();
            end.sent_binary(payload);
        }
        let noise = PreparedMessage::new(noise(1000));
        end.connection.send_prepared(&noise, Notify::No, &mut end.tx).unwrap();
        end.drive();
        end.sent_binary(noise.payload());
    });
}

#[test]
fn a_prepared_message_is_refused_like_any_other() {
    both(&without_takeover(), |mut end| {
        end.closes(1000, "");
        let prepared = PreparedMessage::new("late");
        let error = end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap_err();
        assert_eq!(error, SendError::Closed(()));
    });
}

// Both sides together.

#[test]
fn each_side_receives_what_the_other_sends() {
    for (ours, theirs) in [(with_takeover(), with_takeover()), (without_takeover(), without_takeover())] {
        let mut client = endpoint(Role::Client, &ours);
        let mut server = endpoint(Role::Server, &theirs);
        server.echoes = true;
        for len in [0, 1, 200, 5000, 65_536, 100_000, 262_144, 262_145, MIB] {
            for payload in [prose(len), noise(len)] {
                let before = (client.outbound.bytes.len(), server.outbound.bytes.len());
                client.connection.send(MessageKind::Binary, &payload, &mut client.tx).unwrap();
                client.drive();
                server.receives_bytes(&client.outbound.bytes[before.0..]);
                server.delivers_binary(&payload);
                client.receives_bytes(&server.outbound.bytes[before.1..]);
                client.delivers_binary(&payload);
            }
        }
        assert_eq!(client.connection.state(), ConnectionState::Open);
        assert_eq!(server.connection.state(), ConnectionState::Open);
    }
}
