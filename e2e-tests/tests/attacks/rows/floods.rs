//! Floods of control frames and empty messages.

use crate::measure::{Cpu, Memory};
use crate::probe_client::ProbeClient;
use crate::scale::{number, optimized, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use ws_server::{Server, ServerBuilder};

const PINGS: Row = Row::new(13, "ping flood by a peer that does not read");
const CHEAP: Row = Row::new(14, "floods of small frames");

/// The flood ends when the server has not read for this long.
const STALLED: Duration = Duration::from_millis(300);

/// Lifts the limit on control frames per second, which would end the flood before there is anything to measure.
fn at_any_rate() -> ServerBuilder {
    Server::builder().protocol(|config| config.limits.max_control_frames_per_second = u32::MAX)
}

/// Sends this many pings from a peer that does not read, or as many as the server reads.
async fn pings(server: &TargetServer, total: usize) -> usize {
    let batch = RawFrame::ping([b'x'; 125]).encode(Side::Client).repeat(500);
    let (_reader, mut writer) = server.open().await.into_connection().split();
    let mut taken = 0;
    while taken < total {
        // The server may stop reading.
        match tokio::time::timeout(STALLED, writer.try_send_bytes(&batch)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        taken += 500;
    }
    taken
}

#[test]
fn pings_of_a_peer_that_does_not_read_delay_no_other_connection_and_do_not_pile_up() {
    attack(async || {
        let rounds = scaled(5, 3);
        let each = scaled(1_000_000, 60_000) / rounds;
        let (mut most, mut taken) = (0, 0);
        for kind in Kind::ALL {
            let (server, other) = (kind.echo(at_any_rate()), kind.echo(at_any_rate()));
            server.warm_up().await;
            other.warm_up().await;
            let probe = ProbeClient::start(server.addr);
            probe.echoes(50).await;
            let memory = Memory::start();
            let flood = async |server: &TargetServer| {
                let before = server.handle.connections();
                taken += pings(server, each).await;
                probe.echoes(20).await;
                // Two floods must not count together.
                server.settled(before).await;
            };
            probe.beside(rounds, &other, &server, flood).await;
            most = most.max(memory.peak());
            probe.stop().check(&PINGS, &format!("p99 of others' echoes ({kind:?})"));
            server.stop().await;
            other.stop().await;
        }
        // The answers of one turn, before the socket is full.
        let part = format!("peak memory with {} pings of 125 bytes", number(taken));
        PINGS.at_most(&part, most, 64 * 1024, "bytes");
    });
}

#[test]
fn peers_that_ping_and_do_not_read_take_a_few_kib_each() {
    attack(async || {
        let count = scaled(200, 20);
        let mut most = 0;
        for kind in Kind::ALL {
            let server = kind.echo(at_any_rate());
            let mut peers = Vec::new();
            for _ in 0..count {
                let mut peer = RawClient::connect_with_receive_buffer(server.addr, 4096).await;
                peer.upgrade("/").await;
                peers.push(peer);
            }
            server.quiet().await;
            let memory = Memory::start();
            let batch = RawFrame::ping([b'x'; 125]).encode(Side::Client).repeat(500);
            for peer in &mut peers {
                // Many more than the kernel can buffer answers for.
                for _ in 0..scaled(40, 10) {
                    let sent = tokio::time::timeout(STALLED, peer.writer.try_send_bytes(&batch)).await;
                    if sent.is_err() {
                        break;
                    }
                }
            }
            server.quiet().await;
            most = most.max(usize::try_from(memory.grown()).unwrap_or(0) / count);
            drop(peers);
            server.stop().await;
        }
        PINGS.at_most(&format!("memory per peer, {count} peers"), most, 32 * 1024, "bytes");
    });
}

#[test]
fn unsolicited_pongs_allocate_nothing_and_cost_little() {
    attack(async || {
        let total = scaled(1_000_000, 50_000);
        let (mut requests, mut slowest) = (0, 0_f64);
        for kind in Kind::ALL {
            let server = kind.sink(at_any_rate());
            let mut peer = server.open().await;
            let frame = RawFrame::pong([b'x'; 125]);
            let batch = frame.encode(Side::Client).repeat(500);
            let mut flood = async |count: usize| {
                for _ in 0..count / 500 {
                    peer.send_bytes(&batch).await;
                }
                peer.send(RawFrame::ping("done")).await;
                peer.expect_pong(b"done").await;
            };
            flood(10_000).await;
            server.quiet().await;
            let (memory, cpu) = (Memory::start(), Cpu::start());
            flood(total).await;
            slowest = slowest.max(cpu.elapsed().as_nanos() as f64 / total as f64);
            requests = requests.max(memory.requests());
            server.stop().await;
        }
        // A read may end inside a frame. Its payload then waits on the heap. That happens at most twice per 128 KiB.
        let cuts = total * 131 / (64 * 1024);
        CHEAP.at_most(
            &format!("allocations for {} pongs of 125 bytes", number(total)),
            requests,
            3 * cuts + 100,
            "",
        );
        CHEAP.micros("processor time of one such pong, including the read", slowest / 1e3, optimized(0.2));
    });
}

#[test]
fn empty_messages_cost_little() {
    attack(async || {
        let total = scaled(5_000_000, 100_000);
        let mut slowest = [0_f64; 2];
        for kind in Kind::ALL {
            let server = kind.sink(Server::builder());
            let mut peer = server.open().await;
            let batch = RawFrame::text("").encode(Side::Client).repeat(10_000);
            let cpu = Cpu::start();
            for _ in 0..total / 10_000 {
                peer.send_bytes(&batch).await;
            }
            server.until("all messages arrive", || server.counts.messages.load(SeqCst) == total).await;
            let slowest = &mut slowest[usize::from(matches!(kind, Kind::AsyncTasks | Kind::AsyncShard))];
            *slowest = slowest.max(cpu.elapsed().as_nanos() as f64 / total as f64);
            drop(peer);
            server.stop().await;
        }
        let part = |api: &str| format!("processor time of an empty message, {api}");
        CHEAP.micros(&part("handler"), slowest[0] / 1e3, optimized(0.2));
        CHEAP.micros(&part("async function"), slowest[1] / 1e3, optimized(0.4));
    });
}

#[test]
fn more_control_frames_than_the_limit_are_answered_with_1008() {
    attack(async || {
        let mut wrong = 0;
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            for frame in [RawFrame::ping(""), RawFrame::pong("")] {
                let (mut reader, mut writer) = server.open().await.into_connection().split();
                let batch = frame.encode(Side::Client).repeat(20_000);
                let flood = async {
                    while writer.try_send_bytes(&batch).await.is_ok() {}
                    std::future::pending::<()>().await
                };
                let closed = async {
                    loop {
                        let frame = reader.recv_frame().await;
                        if let Some((code, _)) = frame.close_code() {
                            return code;
                        }
                    }
                };
                let code = tokio::select! { code = closed => code, () = flood => 0 };
                wrong += usize::from(code != 1008);
            }
            server.stop().await;
        }
        CHEAP.exactly("endless empty pings and pongs: not answered with 1008", wrong, 0, "");
    });
}
