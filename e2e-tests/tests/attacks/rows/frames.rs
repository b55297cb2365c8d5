//! Frames with illegal headers, and announced lengths without a payload.

use crate::machine::Machine;
use crate::measure::Memory;
use crate::scale::{connections, number};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{Length, Mask, RawFrame, Side, opcode};
use std::sync::atomic::Ordering::SeqCst;
use ws_proto::Config;
use ws_server::Server;

const MASKING: Row = Row::new(8, "frames with the wrong masking");
const LENGTHS: Row = Row::new(9, "lengths that are wrong or too large");
const ANNOUNCED: Row = Row::new(10, "an announced length without a payload");

const OPCODES: [u8; 6] =
    [opcode::CONTINUATION, opcode::TEXT, opcode::BINARY, opcode::CLOSE, opcode::PING, opcode::PONG];

/// Gives the machine one byte after another. Returns the number of bytes after which it has sent a Close with that
/// code.
fn refused_after(mut machine: Machine, bytes: &[u8], code: u16) -> Option<usize> {
    bytes
        .iter()
        .position(|byte| {
            machine.receive(&[*byte]);
            machine.close_code() == Some(code)
        })
        .map(|at| at + 1)
}

#[test]
fn a_frame_with_the_wrong_masking_is_refused_at_its_second_byte() {
    attack(async || {
        let config = Config::default().validate().unwrap();
        let (mut tried, mut later) = (0, 0);
        for opcode in OPCODES {
            for fin in [true, false] {
                // A fragmented control frame is already refused at its first byte.
                if !fin && opcode >= opcode::CLOSE {
                    continue;
                }
                for payload in [0, 1, 125, 126, 70_000] {
                    if payload > 125 && opcode >= opcode::CLOSE {
                        continue;
                    }
                    let mut frame = RawFrame::new(opcode, vec![0; payload]);
                    frame.fin = fin;
                    let unmasked = frame.encode(Side::Server);
                    let masked = frame.encode(Side::Client);
                    tried += 2;
                    later +=
                        usize::from(refused_after(Machine::server(&config), &unmasked[..2], 1002) != Some(2));
                    later +=
                        usize::from(refused_after(Machine::client(&config), &masked[..2], 1002) != Some(2));
                }
            }
        }
        let mut others = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            for opcode in OPCODES {
                let mut peer = server.open().await;
                let frame = RawFrame::new(opcode, *b"12345").mask(Mask::Absent);
                peer.send_bytes(&frame.encode(Side::Client)[..2]).await;
                let code = peer.recv_frame().await.close_code().map(|(code, _)| code);
                (tried, others) = (tried + 1, others + usize::from(code != Some(1002)));
            }
            others += server.counts.messages.load(SeqCst);
            server.stop().await;
        }
        MASKING.exactly(
            &format!("{tried} frames: not refused with 1002 at the second byte"),
            later + others,
            0,
            "",
        );
    });
}

/// Headers, each with the code that it must be refused with before a byte of its payload.
fn bad_lengths(limit: u64) -> Vec<(RawFrame, u16)> {
    let frame = |opcode, length| RawFrame::new(opcode, []).length(length);
    let mut list = Vec::new();
    for opcode in [opcode::TEXT, opcode::BINARY] {
        list.extend([0, 1, 100, 125].map(|length| (frame(opcode, Length::Bits16(length)), 1002)));
        list.extend([0, 125, 126, 65_535].map(|length| (frame(opcode, Length::Bits64(length)), 1002)));
        // With the top bit set.
        list.extend(
            [1 << 63, u64::MAX, (1 << 63) + 5].map(|length| (frame(opcode, Length::Bits64(length)), 1002)),
        );
        let large = [limit + 1, 1 << 31, 1 << 32, (1 << 32) + 5, 1 << 40, 1 << 53, (1 << 63) - 1];
        list.extend(large.map(|length| (frame(opcode, Length::Bits64(length)), 1009)));
    }
    for opcode in [opcode::CLOSE, opcode::PING, opcode::PONG] {
        list.push((frame(opcode, Length::Bits16(126)), 1002));
        list.push((frame(opcode, Length::Bits64(1 << 40)), 1002));
    }
    // A frame with a reserved opcode is refused at once, whatever length it announces.
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        list.push((frame(opcode, Length::Bits64(1 << 40)), 1002));
    }
    list
}

#[test]
fn a_wrong_length_is_refused_at_the_header() {
    attack(async || {
        let (mut tried, mut wrong, mut most) = (0, 0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            server.warm_up().await;
            for (frame, code) in bad_lengths(16 << 20) {
                let mut peer = server.open().await;
                let memory = Memory::start();
                peer.send(frame).await;
                let answer = peer.recv_frame().await;
                most = most.max(memory.peak());
                tried += 1;
                wrong += usize::from(answer.close_code().map(|(code, _)| code) != Some(code));
            }
            server.stop().await;
        }
        LENGTHS.exactly(&format!("{tried} headers: not refused before their payload"), wrong, 0, "");
        LENGTHS.at_most("peak memory for one", most, 4096, "bytes");
    });
}

#[test]
fn announcing_16_mib_and_sending_nothing_costs_bytes() {
    attack(async || {
        let count = connections(10_000, 300);
        let mut most = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let mut peers = server.open_many(count).await;
            server.quiet().await;
            let memory = Memory::start();
            for peer in &mut peers {
                // The pong arrives after the server has processed the bytes that arrived with the ping.
                let announced = RawFrame::binary([0; 1]).length(Length::Bits64(16 << 20));
                peer.send_together(&[RawFrame::ping(""), announced]).await;
            }
            for peer in &mut peers {
                peer.expect_pong(b"").await;
            }
            server.quiet().await;
            most = most.max(usize::try_from(memory.grown()).unwrap_or(0));
            drop(peers);
            server.stop().await;
        }
        let part = format!("16 MiB announced on each of {} connections", number(count));
        ANNOUNCED.at_most(&format!("{part}: memory per connection"), most / count, 64 * 1024, "bytes");
        ANNOUNCED.at_most(&format!("{part}: memory in total"), most / 1024, 100_000 * count / 10_000, "KiB");
    });
}
