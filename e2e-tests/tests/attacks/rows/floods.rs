//! Control frames and empty messages, as many as can be sent.

use crate::measure::{Cpu, Memory};
use crate::mouse::Mouse;
use crate::scale::{number, optimized, scaled};
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use ws_server::{Server, ServerBuilder};

const PINGS: Row = Row::new(13, "ping flood by a peer that does not read");
const CHEAP: Row = Row::new(14, "floods of what costs the sender little");

/// A peer that is not listened to any more says nothing for so long.
const STALLED: Duration = Duration::from_millis(300);

/// Without the limit on control frames in a second, which would end the flood before there is something to measure.
fn at_any_rate() -> ServerBuilder {
    Server::builder().protocol(|config| config.limits.max_control_frames_per_second = u32::MAX)
}

/// So many pings of a peer that does not read, or as many as the server takes.
async fn pings(server: &Victim, total: usize) -> usize {
    let batch = RawFrame::ping([b'x'; 125]).encode(Side::Client).repeat(500);
    let (_reader, mut writer) = server.open().await.into_connection().split();
    let mut taken = 0;
    while taken < total {
        // A server may as well stop listening.
        match tokio::time::timeout(STALLED, writer.try_send_bytes(&batch)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break,
        }
        taken += 500;
    }
    taken
}

#[test]
fn pings_of_a_peer_that_does_not_read_hold_up_nobody_and_do_not_pile_up() {
    attack(async || {
        let rounds = scaled(5, 3);
        let each = scaled(1_000_000, 60_000) / rounds;
        let (mut most, mut taken) = (0, 0);
        for kind in Kind::ALL {
            let (server, other) = (kind.echo(at_any_rate()), kind.echo(at_any_rate()));
            server.warm_up().await;
            other.warm_up().await;
            let mouse = Mouse::start(server.addr);
            mouse.echoes(50).await;
            let memory = Memory::start();
            let flood = async |server: &Victim| {
                taken += pings(server, each).await;
                mouse.echoes(20).await;
            };
            mouse.beside(rounds, &other, &server, flood).await;
            most = most.max(memory.peak());
            mouse.stop().check(&PINGS, &format!("others' echoes ({kind:?})"));
            server.stop().await;
            other.stop().await;
        }
        // What one turn answers before the socket takes no more.
        let part = format!("most memory beside {} pings of 125 bytes", number(taken));
        PINGS.at_most(&part, most, 64 * 1024, "bytes");
    });
}

#[test]
fn many_who_ping_and_do_not_read_take_a_few_kib_each() {
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
                // Much more than the kernel takes of the answers.
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
        PINGS.at_most(&format!("memory of each of {count} such peers"), most, 32 * 1024, "bytes");
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
        // A frame may be cut by a read, and then its payload waits on the heap: twice in 128 KiB at most.
        let cuts = total * 131 / (64 * 1024);
        CHEAP.at_most(
            &format!("allocations for {} pongs of 125 bytes", number(total)),
            requests,
            3 * cuts + 100,
            "",
        );
        CHEAP.micros("processor time of such a pong, reading included", slowest / 1e3, optimized(0.2));
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
            server.until("all", || server.counts.messages.load(SeqCst) == total).await;
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
fn more_control_frames_than_anybody_needs_are_answered_with_1008() {
    attack(async || {
        let mut otherwise = 0;
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
                otherwise += usize::from(code != 1008);
            }
            server.stop().await;
        }
        CHEAP.exactly("empty pings and pongs without end, not answered with 1008", otherwise, 0, "");
    });
}
