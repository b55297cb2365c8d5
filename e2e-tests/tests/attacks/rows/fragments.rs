//! Messages in very many fragments.

use crate::measure::{Cpu, Memory};
use crate::scale::{number, optimized, scaled};
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::sync::atomic::Ordering::SeqCst;
use ws_server::{Server, ServerBuilder};

const TINY: Row = Row::new(11, "floods of tiny fragments");

/// What a fragment of one byte takes on the wire: header, mask, payload.
const ON_THE_WIRE: usize = 7;

/// A message that comes in fragments of `size` bytes, the last of which ends it.
fn message(kind: u8, payload: &[u8], fragments: usize, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(fragments * (ON_THE_WIRE + size));
    for at in 0..fragments {
        let opcode = if at == 0 { kind } else { opcode::CONTINUATION };
        let part: Vec<u8> = (at * size..(at + 1) * size).map(|at| payload[at % payload.len()]).collect();
        let mut frame = RawFrame::new(opcode, part);
        frame.fin = at + 1 == fragments;
        bytes.extend(frame.encode(Side::Client));
    }
    bytes
}

fn without_limits(builder: ServerBuilder) -> ServerBuilder {
    builder.protocol(|config| config.limits.max_fragments = u32::MAX)
}

/// What fragments cost, of a message that is sent until there were so many of them.
struct Cost {
    nanos: f64,
    peak: usize,
}

async fn cost(server: &Victim, message: &[u8], repeat: usize, fragments: usize) -> Cost {
    let mut peer = server.open().await;
    server.quiet().await;
    let (cpu, memory, before) = (Cpu::start(), Memory::start(), server.counts.messages.load(SeqCst));
    for _ in 0..repeat {
        peer.send_bytes(message).await;
    }
    server.until("all messages", || server.counts.messages.load(SeqCst) == before + repeat).await;
    Cost { nanos: cpu.elapsed().as_nanos() as f64 / (repeat * fragments) as f64, peak: memory.peak() }
}

#[test]
fn a_million_fragments_cost_a_thousand_times_what_a_thousand_do() {
    attack(async || {
        let (few, many) = (1000, scaled(1_000_000, 50_000));
        let kinds: [(&str, u8, &[u8]); 2] = [
            ("binary", opcode::BINARY, b"x"),
            ("text whose characters are cut", opcode::TEXT, "€".as_bytes()),
        ];
        for (name, kind, payload) in kinds {
            // A whole number of characters.
            let [short, long] = [few, many].map(|count| count / payload.len() * payload.len());
            let (once, thousands) = (message(kind, payload, long, 1), message(kind, payload, short, 1));
            let (mut ratio, mut slowest, mut peak) = (0_f64, 0_f64, 0);
            for way in Kind::ALL {
                let server = way.sink(without_limits(Server::builder()));
                // Both several times, in turn, and the best one of each: other programs only ever add to it.
                let (mut one, mut other) = (f64::MAX, f64::MAX);
                for _ in 0..scaled(6, 2) {
                    let a = cost(&server, &thousands, many / few, short).await;
                    let b = cost(&server, &once, 1, long).await;
                    (one, other) = (one.min(a.nanos), other.min(b.nanos));
                    peak = peak.max(b.peak);
                }
                (ratio, slowest) = (ratio.max(other / one), slowest.max(other));
                server.stop().await;
            }
            let part = format!("{} of 1 byte, {name}", number(long));
            TINY.ratio(
                &format!("{part}: processor time of each, beside messages of 1,000"),
                ratio,
                // Few of them take too little time to be measured well; what grows with their square is far beyond.
                scaled(1.2, 8.0),
            );
            TINY.micros(
                &format!("{part}: processor time of each"),
                slowest / 1e3,
                scaled(1.0, optimized(1.0)),
            );
            let factor = peak as f64 / (long * ON_THE_WIRE) as f64;
            TINY.ratio(&format!("{part}: most memory, beside the bytes on the wire"), factor, 1.1);
            let factor = peak as f64 / long as f64;
            TINY.ratio(&format!("{part}: most memory, beside the payload"), factor, 2.1);
        }
    });
}

/// Sends, as long as the server takes it; the code of the Close that comes.
async fn until_closed(mut peer: RawClient, first: RawFrame, frames: &[u8]) -> u16 {
    peer.send(first).await;
    let (mut reader, mut writer) = peer.into_connection().split();
    let code = async { reader.recv_frame().await.close_code().map_or(0, |(code, _)| code) };
    let flood = async {
        while writer.try_send_bytes(frames).await.is_ok() {}
        std::future::pending().await
    };
    tokio::select! {
        code = code => code,
        () = flood => unreachable!("it never ends by itself"),
    }
}

#[test]
fn fragments_beyond_the_bounds_end_the_connection() {
    attack(async || {
        let (mut wrong, mut peak, mut tried) = (0, 0, 0);
        for way in Kind::ALL {
            let limit = scaled(16 << 20, 1 << 20);
            let server = way.sink(Server::builder().max_message_size(limit));
            let flood = |size: usize, count: usize| {
                RawFrame::continuation(vec![b'x'; size]).not_final().encode(Side::Client).repeat(count)
            };
            let cases = [
                // Empty ones, and such that are as small as can be: by their number.
                (RawFrame::binary("").not_final(), flood(0, 10_000), 1008),
                (RawFrame::text("x").not_final(), flood(1, 10_000), 1008),
                // Larger ones: by their size.
                (RawFrame::binary("x").not_final(), flood(1000, 100), 1009),
                (RawFrame::text("x").not_final(), flood(16_000, 10), 1009),
            ];
            for (first, frames, code) in cases {
                let peer = server.open().await;
                server.quiet().await;
                let memory = Memory::start();
                tried += 1;
                wrong += usize::from(until_closed(peer, first, &frames).await != code);
                peak = peak.max(memory.peak() / (limit / 1024));
            }
            server.stop().await;
        }
        TINY.exactly(&format!("{tried} floods that never end, not answered with 1008 or 1009"), wrong, 0, "");
        TINY.ratio("floods that never end: most memory, beside the limit", peak as f64 / 1024.0, 2.1);
    });
}
