//! Sent messages, and what both sides make of them together.

use bytes::Buf as _;

use crate::{Completion, ConnectionState, MessageKind, Role, ValidConfig, frame::RSV1};

use super::{
    super::{
        endpoint::Seen,
        wire::{self, FIN, close},
    },
    MIB, Reader, both, endpoint, noise, prose, with_deflate, with_takeover, without_takeover,
};

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
