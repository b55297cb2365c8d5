//! The counters of compressed messages (RFC 7692).

use crate::{
    Message, MessageKind, Notify, PreparedMessage, Role, ValidConfig,
    stats::{CompressedStats, ConnectionStats},
};

use super::{
    compression::{HELLO, both, compressed, deflated, endpoint, with_deflate},
    stats::direction,
    wire::{binary, continuation, text},
};

const LARGE: usize = 1_000_000;

fn counting(takeover: bool) -> ValidConfig {
    with_deflate(|config, deflate| {
        config.statistics = true;
        (deflate.send_takeover, deflate.receive_takeover) = (takeover, takeover);
    })
}

fn stats(messages: u64, payload_bytes: u64, compressed_bytes: u64) -> CompressedStats {
    let mut stats = CompressedStats::default();
    (stats.messages, stats.payload_bytes, stats.compressed_bytes) =
        (messages, payload_bytes, compressed_bytes);
    stats
}

#[test]
fn a_received_message_counts_inflated_and_as_on_the_wire() {
    both(&counting(false), |mut end| {
        let frames = [compressed(text(HELLO)), text("plain")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let received = end.stats().received;
        assert_eq!(received.compressed, stats(1, 5, HELLO.len() as u64));
        assert_eq!((received.messages, received.payload_bytes, received.wire_bytes), (2, 10, wire));
    });
}

#[test]
fn a_large_received_message_counts_once() {
    both(&counting(true), |mut end| {
        let payload = vec![b'x'; LARGE];
        let small = deflated(&payload);
        let (first, rest) = small.split_at(small.len() / 2);
        end.receives([compressed(binary(first)).not_final(), continuation(rest)]);
        end.delivers_binary(&payload);
        assert!(end.turns > 0, "it was inflated in slices");
        let received = end.stats().received;
        assert_eq!((received.messages, received.frames, received.payload_bytes), (1, 2, LARGE as u64));
        assert_eq!(received.compressed, stats(1, LARGE as u64, small.len() as u64));
    });
}

/// The compressed bytes of the frames that were sent.
fn sent_on_the_wire(end: &mut super::endpoint::Endpoint) -> (u64, u64) {
    let frames: Vec<_> = std::iter::from_fn(|| end.outbound.pop()).collect();
    (frames.len() as u64, frames.iter().map(|sent| sent.payload.len() as u64).sum())
}

#[test]
fn sent_messages_count_before_and_after_compression() {
    for takeover in [false, true] {
        both(&counting(takeover), |mut end| {
            // A small one, one that fits a frame, and one that is sent in several.
            for len in [500, 100_000, LARGE] {
                end.connection.send(MessageKind::Binary, &vec![b'y'; len], &mut end.tx).unwrap();
            }
            end.drive();
            let payload = 100_500 + LARGE as u64;
            let (frames, compressed) = sent_on_the_wire(&mut end);
            let sent = end.stats().sent;
            assert_eq!(sent.compressed, stats(3, payload, compressed));
            assert_eq!((sent.messages, sent.payload_bytes, sent.frames), (3, payload, frames));
            end.counts_what_was_written();
        });
    }
}

#[test]
fn a_prepared_message_counts_as_it_is_sent() {
    both(&counting(false), |mut end| {
        let prepared = PreparedMessage::new(Message::binary(vec![b'z'; 10_000]));
        for _ in 0..2 {
            end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).unwrap();
        }
        end.drive();
        let (_, compressed) = sent_on_the_wire(&mut end);
        assert_eq!(end.stats().sent.compressed, stats(2, 20_000, compressed));
        end.counts_what_was_written();
    });
}

#[test]
fn a_message_that_does_not_shrink_is_not_compressed() {
    let mut end = endpoint(Role::Server, &counting(false));
    end.connection.send(MessageKind::Binary, b"x", &mut end.tx).unwrap();
    end.drive();
    assert_eq!(end.stats().sent, direction(1, 1, 1, 3));
}

#[test]
fn a_large_message_that_is_cut_off_is_not_complete() {
    both(&counting(true), |mut end| {
        end.transport_blocks();
        let noise: Vec<u8> = std::iter::successors(Some(1), |state: &u32| {
            Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
        })
        .map(|state| (state >> 24) as u8)
        .take(LARGE)
        .collect();
        end.connection.send(MessageKind::Binary, &noise, &mut end.tx).unwrap();
        end.drive();
        end.transport_takes(100_000);
        end.connection.abort(&mut end.tx);
        end.drive();
        let ConnectionStats { sent, cut_off, .. } = end.stats();
        assert_eq!((sent.messages, cut_off, sent.compressed.messages), (1, 1, 0));
        assert_eq!(sent.wire_bytes, 100_000);
    });
}

#[test]
fn the_ratio_is_payload_by_compressed_bytes() {
    assert_eq!(CompressedStats::default().ratio(), None);
    assert_eq!(stats(2, 400, 100).ratio(), Some(4.0));
}
