//! Messages with very many fragments.

use crate::measure::{Cpu, Memory};
use crate::scale::{number, optimized, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::sync::atomic::Ordering::SeqCst;
use ws_server::{Server, ServerBuilder};

const TINY: Row = Row::new(11, "floods of tiny fragments");

/// The size of a one-byte fragment on the wire: header, mask and payload.
const ON_THE_WIRE: usize = 7;

/// A message in fragments of `size` bytes.
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

/// Processor time per fragment in nanoseconds, and peak memory in bytes.
struct Cost {
    nanos: f64,
    peak: usize,
}

async fn cost(server: &TargetServer, message: &[u8], repeat: usize, fragments: usize) -> Cost {
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
fn a_million_fragments_cost_a_thousand_times_as_much_as_a_thousand() {
    attack(async || {
        let (few, many) = (1000, scaled(1_000_000, 50_000));
        let kinds: [(&str, u8, &[u8]); 2] =
            [("binary", opcode::BINARY, b"x"), ("text cut inside characters", opcode::TEXT, "€".as_bytes())];
        for (name, kind, payload) in kinds {
            // A whole number of characters.
            let [short, long] = [few, many].map(|count| count / payload.len() * payload.len());
            let (once, thousands) = (message(kind, payload, long, 1), message(kind, payload, short, 1));
            let (mut ratio, mut slowest, mut peak) = (0_f64, 0_f64, 0);
            for way in Kind::ALL {
                let server = way.sink(without_limits(Server::builder()));
                // Both are measured several times in turn, and the shortest time counts: other programs can only add to
                // it.
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
            let part = format!("{} fragments of 1 byte, {name}", number(long));
            TINY.ratio(
                &format!("{part}: processor time per fragment, relative to messages of 1,000 fragments"),
                ratio,
                // Few fragments take too little time for an exact measurement. Quadratic cost would be far above the
                // bound.
                scaled(1.2, 8.0),
            );
            TINY.micros(
                &format!("{part}: processor time per fragment"),
                slowest / 1e3,
                scaled(1.0, optimized(1.0)),
            );
            let factor = peak as f64 / (long * ON_THE_WIRE) as f64;
            TINY.ratio(&format!("{part}: peak memory, relative to the bytes on the wire"), factor, 1.1);
            let factor = peak as f64 / long as f64;
            TINY.ratio(&format!("{part}: peak memory, relative to the payload"), factor, 2.1);
        }
    });
}

/// Sends until the server closes. Returns the code of its Close.
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
        () = flood => unreachable!("the flood ends only with the connection"),
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
                // Empty fragments and fragments of 1 byte exceed the limit on their number.
                (RawFrame::binary("").not_final(), flood(0, 10_000), 1008),
                (RawFrame::text("x").not_final(), flood(1, 10_000), 1008),
                // Larger fragments exceed the limit on the message's size.
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
        TINY.exactly(&format!("{tried} endless floods: not answered with 1008 or 1009"), wrong, 0, "");
        TINY.ratio("endless floods: peak memory, relative to the limit", peak as f64 / 1024.0, 2.1);
    });
}
