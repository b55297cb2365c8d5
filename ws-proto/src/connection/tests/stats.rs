//! Each counter moves by what happened, and by no more.

use std::{io::IoSlice, time::Instant};

use bytes::Bytes;

use crate::{
    Connection, Message, MessageKind, Notify, PreparedMessage, Queued, Role, ValidConfig,
    error::SendError,
    memory::MESSAGE_OVERHEAD,
    stats::{CompressedStats, ConnectionStats, DirectionStats},
};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{Frame, binary, close, continuation, ping, pong, text},
};

const LARGE: usize = 100_000;

pub(super) fn counting() -> ValidConfig {
    config(|config| config.statistics = true)
}

impl Endpoint {
    pub(super) fn stats(&self) -> ConnectionStats {
        self.connection.stats(&self.tx).expect("the connection counts")
    }

    /// The bytes of these frames on their way to this side.
    pub(super) fn wire_len(&self, frames: &[Frame]) -> u64 {
        frames.iter().map(|frame| frame.encode(self.role() == Role::Server).len() as u64).sum()
    }

    /// Checks that all that was ever written counts.
    #[track_caller]
    pub(super) fn counts_what_was_written(&self) {
        assert_eq!(self.stats().sent.wire_bytes, self.outbound.bytes.len() as u64);
    }
}

/// Frames without control frames.
pub(super) fn direction(messages: u64, payload_bytes: u64, frames: u64, wire_bytes: u64) -> DirectionStats {
    DirectionStats { messages, payload_bytes, frames, wire_bytes, ..DirectionStats::default() }
}

#[test]
fn a_message_that_was_accepted_before_counts_once_it_is_sent() {
    let one = config(|config| {
        config.statistics = true;
        config.write_queue_messages = 1;
    });
    both_with(&one, |mut end| {
        end.transport_blocks();
        end.sends_text("first");
        let refused = end.connection.send_message(Message::text("second"), Notify::No, &mut end.tx);
        let Err(SendError::Full(message)) = refused else { panic!("{refused:?}") };
        end.connection.send_accepted(message, &mut end.tx).unwrap();
        let sent = end.stats().sent;
        assert_eq!((sent.messages, sent.payload_bytes), (2, 11));
        let traffic = end.tx.traffic.sent;
        assert_eq!((traffic.messages, traffic.payload_bytes), (2, 11));
    });
}

#[test]
fn a_connection_counts_only_if_it_is_configured() {
    both(|mut end| {
        end.receives([text("one")]);
        assert_eq!(end.connection.stats(&end.tx), None);
        assert_eq!(end.connection.recording(), None);
        assert!(!end.connection.wants_clock());
        let is_server = end.role() == Role::Server;
        assert_eq!(end.connection.rare.is_none(), is_server, "a server's connection has nothing more");
    });
    let recording = config(|config| config.recorder = Some(1));
    both_with(&recording, |end| assert_eq!(end.connection.stats(&end.tx), None));
}

#[test]
fn a_new_connection_has_counted_nothing() {
    let now = Instant::now();
    let connection = Connection::server(counting(), now);
    let stats = connection.stats(&crate::TransmitQueue::new()).unwrap();
    assert_eq!(stats, ConnectionStats::new(now));
    assert_eq!((stats.received, stats.sent), (DirectionStats::default(), DirectionStats::default()));
    assert_eq!(stats.sent.compressed, CompressedStats::default());
    assert_eq!(stats.age(now + super::endpoint::SECOND), super::endpoint::SECOND);
}

#[test]
fn received_messages_count_with_their_payloads_frames_and_bytes() {
    both_with(&counting(), |mut end| {
        let frames = [text("one"), binary([0; 126]), text(""), binary(vec![1; LARGE])];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        assert_eq!(end.stats().received, direction(4, 3 + 126 + LARGE as u64, 4, wire));
        assert_eq!(end.stats().sent, DirectionStats::default());
    });
}

#[test]
fn a_message_that_arrives_byte_by_byte_counts_once_when_it_is_complete() {
    both_with(&counting(), |mut end| {
        let bytes = binary([7; 200]).encode(end.role() == Role::Server);
        for (at, byte) in (1..).zip(&bytes) {
            end.receives_bytes(&[*byte]);
            let received = end.stats().received;
            assert_eq!(received.wire_bytes, at);
            let complete = u64::from(at == bytes.len() as u64);
            assert_eq!((received.messages, received.payload_bytes), (complete, complete * 200));
            let has_header = at >= bytes.len() as u64 - 200;
            assert_eq!(received.frames, u64::from(has_header), "at byte {at}");
        }
    });
}

#[test]
fn fragments_are_frames_of_one_message() {
    both_with(&counting(), |mut end| {
        let frames =
            [text("ab").not_final(), continuation("c").not_final(), ping("in between"), continuation("")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let expected = DirectionStats { pings: 1, ..direction(1, 3, 4, wire) };
        assert_eq!(end.stats().received, expected);
    });
}

#[test]
fn control_frames_count_by_kind_in_both_directions() {
    both_with(&counting(), |mut end| {
        let frames = [ping("a"), ping(""), pong("unsolicited")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let received = DirectionStats { pings: 2, pongs: 1, ..direction(0, 0, 3, wire) };
        assert_eq!(end.stats().received, received);
        end.sends_ping(b"mine");
        end.connection.pong(b"mine too", &mut end.tx).unwrap();
        end.drive();
        let written = end.outbound.bytes.len() as u64;
        let sent = DirectionStats { pings: 1, pongs: 3, ..direction(0, 0, 4, written) };
        assert_eq!(end.stats().sent, sent);
        assert_eq!(end.stats().round_trip, None);
    });
}

#[test]
fn a_close_is_a_frame_in_each_direction() {
    both_with(&counting(), |mut end| {
        let frames = [close(1000, "bye")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let stats = end.stats();
        assert_eq!(stats.received, direction(0, 0, 1, wire));
        assert_eq!(stats.sent, direction(0, 0, 1, end.outbound.bytes.len() as u64));
    });
}

#[test]
fn held_messages_count_when_they_are_received_and_only_once() {
    both_with(&counting(), |mut end| {
        end.pauses();
        let frames =
            [text("one"), text("t").not_final(), continuation("wo"), ping("p"), binary(vec![0; LARGE])];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let expected = DirectionStats { pings: 1, ..direction(3, 6 + LARGE as u64, 5, wire) };
        assert_eq!(end.stats().received, expected);
        assert_eq!(end.connection.take_held(), Some(Message::text("one")));
        end.resumes();
        end.delivers_ping(b"p");
        end.delivers_text("two");
        assert_eq!(end.stats().received, expected);
    });
}

#[test]
fn text_that_is_not_utf8_is_a_frame_and_not_a_message() {
    both_with(&counting(), |mut end| {
        let frames = [text(b"\xff")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        assert_eq!(end.stats().received, direction(0, 0, 1, wire));
    });
}

#[test]
fn a_message_that_is_too_large_is_a_frame_and_not_a_message() {
    let limited = config(|config| {
        config.statistics = true;
        config.limits.max_message_size = 10;
    });
    both_with(&limited, |mut end| {
        end.receives([binary([0; 10]), binary([0; 11])]);
        let received = end.stats().received;
        assert_eq!((received.messages, received.payload_bytes, received.frames), (1, 10, 2));
    });
}

#[test]
fn messages_after_our_close_do_not_count_but_their_bytes_do() {
    both_with(&counting(), |mut end| {
        end.closes(1000, "");
        let frames = [text("late"), ping("late")];
        let wire = end.wire_len(&frames);
        end.receives(frames);
        let expected = DirectionStats { pings: 1, ..direction(0, 0, 2, wire) };
        assert_eq!(end.stats().received, expected);
        let frames = [close(1000, ""), text("discarded")];
        let all = wire + end.wire_len(&frames);
        end.receives(frames);
        assert_eq!(end.stats().received.wire_bytes, all);
        assert_eq!(end.stats().received.messages, 0);
    });
}

#[test]
fn each_kind_of_send_counts_its_payload() {
    both_with(&counting(), |mut end| {
        let (connection, tx) = (&mut end.connection, &mut end.tx);
        connection.send(MessageKind::Text, b"12345", tx).unwrap();
        connection.send_bytes(MessageKind::Binary, Bytes::from_static(b"123456"), Notify::No, tx).unwrap();
        connection.send_bytes(MessageKind::Binary, vec![0; LARGE].into(), Notify::Yes, tx).unwrap();
        connection.send_message(Message::text("1234567"), Notify::No, tx).unwrap();
        connection.send_prepared(&PreparedMessage::new(Message::text("12345678")), Notify::No, tx).unwrap();
        let large = PreparedMessage::uncompressed(Message::binary(vec![1; LARGE]));
        connection.send_prepared(&large, Notify::No, tx).unwrap();
        end.drive();
        let written = end.outbound.bytes.len() as u64;
        assert_eq!(end.stats().sent, direction(6, 5 + 6 + 7 + 8 + 2 * LARGE as u64, 6, written));
        assert_eq!((end.stats().queued, end.stats().cut_off), (Queued::default(), 0));
    });
}

#[test]
fn an_echo_counts_as_received_and_as_sent() {
    both_with(&counting(), |mut end| {
        end.echoes = true;
        end.receives([text("one"), binary(vec![0; LARGE])]);
        let stats = end.stats();
        assert_eq!((stats.sent.messages, stats.received.messages), (2, 2));
        assert_eq!(stats.sent.payload_bytes, stats.received.payload_bytes);
        end.counts_what_was_written();
    });
}

#[test]
fn a_payload_that_is_written_through_counts_as_far_as_the_transport_accepts_it() {
    let mut end = Endpoint::with(Role::Server, &counting());
    end.connection.send(MessageKind::Text, b"small", &mut end.tx).unwrap();
    let payload = vec![5; LARGE];
    let (connection, tx) = (&mut end.connection, &mut end.tx);
    // The small message, the header of the large one, and 1000 bytes of it.
    let taken = 7 + 10 + 1000;
    let write = |slices: &[IoSlice<'_>]| {
        let offered: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        end.outbound.push(&offered[..taken]);
        taken
    };
    connection.send_through(MessageKind::Binary, &payload, tx, write).unwrap();
    connection.handle_written(end.now);
    let stats = end.stats();
    assert_eq!(stats.sent, direction(2, 5 + LARGE as u64, 2, taken as u64));
    assert_eq!(stats.queued, Queued { messages: 1, bytes: LARGE - 1000 });
    assert_eq!(stats.queued_peak, Queued { messages: 1, bytes: LARGE - 1000 });
    end.drive();
    assert_eq!(end.stats().sent.wire_bytes, 7 + 10 + LARGE as u64);
    assert_eq!(end.stats().queued, Queued::default());
}

#[test]
fn wire_bytes_count_as_they_are_written() {
    both_with(&counting(), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![3; 1_000_003]);
        end.sends_text("behind");
        end.sends_ping(b"before it");
        for step in [0, 1, 1, 5, 1000, 70_000, 300_000, 1, 12] {
            end.transport_takes(step);
            end.counts_what_was_written();
            assert_eq!(end.stats().sent.messages, 2);
        }
        end.transport_flows();
        end.counts_what_was_written();
        let stats = end.stats();
        assert_eq!((stats.sent.frames, stats.sent.pings, stats.cut_off), (3, 1, 0));
    });
}

#[test]
fn the_queue_counts_now_and_at_its_peak() {
    both_with(&counting(), |mut end| {
        end.transport_blocks();
        end.sends_text("12345");
        let header = end.stats().queued.bytes - 5;
        assert_eq!(header, if end.role() == Role::Client { 6 } else { 2 });
        assert_eq!(end.stats().queued, Queued { messages: 1, bytes: header + 5 });
        end.sends_text("1234567");
        // The second message waits behind a blocked transport, so it is not encoded.
        let both = Queued { messages: 2, bytes: header + 5 + MESSAGE_OVERHEAD + 7 };
        assert_eq!((end.stats().queued, end.stats().queued_peak), (both, both));
        end.transport_takes(3);
        // With room in the transmit queue, the message is encoded.
        let less = end.connection.queued(&end.tx);
        assert_eq!((end.stats().queued, end.stats().queued_peak), (less, both));
        assert!(less.bytes < both.bytes);
        end.transport_flows();
        assert_eq!(end.stats().queued, Queued::default());
        assert_eq!(end.stats().queued_peak, both);
    });
}

#[test]
fn a_refused_message_does_not_count() {
    let one = config(|config| {
        config.statistics = true;
        config.write_queue_messages = 1;
    });
    both_with(&one, |mut end| {
        end.transport_blocks();
        end.sends_text("first");
        let refused = end.connection.send(MessageKind::Text, b"second", &mut end.tx);
        assert_eq!(refused, Err(SendError::Full(())));
        assert!(!end.connection.has_room(&end.tx));
        assert_eq!((end.stats().sent.messages, end.stats().sent.payload_bytes), (1, 5));
        end.transport_flows();
        end.closes(1000, "");
        assert_eq!(end.connection.send(MessageKind::Text, b"third", &mut end.tx), Err(SendError::Closed(())));
        assert_eq!((end.stats().sent.messages, end.stats().sent.payload_bytes), (1, 5));
    });
}
