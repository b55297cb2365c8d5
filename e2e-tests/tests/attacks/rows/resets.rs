//! Peers that reset, close or stop sending in each state of a connection.

use crate::measure::Memory;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, PATIENCE, TargetServer, attack};
use e2e_tests::leak::open_descriptors;
use e2e_tests::raw_peer::{Length, RawClient, RawFrame};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use ws_server::{Keepalive, Server, ServerBuilder};

const ENDS: Row = Row::new(20, "resets, closes and silence in every state");

/// The state of a connection.
#[derive(Debug, Clone, Copy)]
enum State {
    Connected,
    HalfARequest,
    AnswerUnread,
    Open,
    HalfAHeader,
    HalfAPayload,
    HalfAMessage,
    WrittenTo,
    CloseSent,
    CloseUnread,
}

impl State {
    const ALL: [Self; 10] = [
        Self::Connected,
        Self::HalfARequest,
        Self::AnswerUnread,
        Self::Open,
        Self::HalfAHeader,
        Self::HalfAPayload,
        Self::HalfAMessage,
        Self::WrittenTo,
        Self::CloseSent,
        Self::CloseUnread,
    ];

    /// A connection in this state.
    async fn reach(self, server: &TargetServer) -> RawClient {
        if matches!(self, Self::Connected | Self::HalfARequest | Self::AnswerUnread) {
            let mut peer = server.connect().await;
            let request = peer.request("/").to_bytes();
            let sent = match self {
                Self::Connected => &[],
                Self::HalfARequest => &request[..request.len() / 2],
                _ => &request[..],
            };
            peer.send_bytes(sent).await;
            return peer;
        }
        let mut peer = RawClient::connect_with_receive_buffer(server.addr, 4096).await;
        peer.upgrade("/").await;
        let frame = match self {
            Self::HalfAHeader => {
                peer.send_bytes([0x81]).await;
                return peer;
            }
            Self::HalfAPayload => RawFrame::binary("half").length(Length::Bits7(8)),
            Self::HalfAMessage => RawFrame::text("half").not_final(),
            // More than the kernel buffers for a peer that does not read.
            Self::WrittenTo => RawFrame::binary(vec![0; 300_000]),
            Self::CloseSent => RawFrame::close(1000, "bye"),
            Self::CloseUnread => RawFrame::new(3, "no such opcode"),
            _ => return peer,
        };
        // The server may end a large message with a reset.
        let bytes = peer.writer.encode(&frame);
        let _ = peer.writer.try_send_bytes(bytes).await;
        peer
    }
}

/// How the peer ends the connection.
#[derive(Debug, Clone, Copy)]
enum End {
    Fin,
    Rst,
    Silence,
}

/// A server with short deadlines: a peer that stops sending is given up within half a second.
fn with_short_deadlines() -> ServerBuilder {
    let time = Duration::from_millis(250);
    Server::builder()
        .handshake_timeout(time)
        .close_timeout(time)
        .write_timeout(Some(time))
        .keepalive(Some(Keepalive::new(time, time)))
}

/// Opens this many connections for each state and end. Returns their number.
async fn rounds(server: &TargetServer, each: usize) -> usize {
    let mut count = 0;
    for end in [End::Fin, End::Rst, End::Silence] {
        let mut silent = Vec::new();
        for state in State::ALL {
            for _ in 0..each {
                count += 1;
                let mut peer = state.reach(server).await.into_connection();
                match end {
                    End::Fin => {
                        // Already closed if the server was faster.
                        if state as u8 != State::CloseUnread as u8 {
                            peer.half_close().await;
                        }
                        silent.push(peer);
                    }
                    End::Rst => peer.reset(),
                    End::Silence => silent.push(peer),
                }
            }
        }
        server.settled(0).await;
        drop(silent);
    }
    count
}

/// Waits until the buffers of large messages are freed. That happens while a connection is open.
async fn given_back(server: &TargetServer, memory: &Memory, most: isize) -> isize {
    let (peer, start) = (server.open().await, Instant::now());
    while memory.grown() > most && start.elapsed() < PATIENCE / 6 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(peer);
    server.settled(0).await;
    server.quiet().await;
    memory.grown()
}

#[test]
fn connections_that_end_in_any_way_leave_nothing_behind() {
    attack(async || {
        // Allowance for the allocator and the tables. It does not grow with the number of rounds.
        const MOST: isize = 32 * 1024;
        let each = scaled(10_000 / 4 / 3 / State::ALL.len() + 1, 4);
        let (mut count, mut left, mut descriptors, mut unequal) = (0, 0, 0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(with_short_deadlines());
            rounds(&server, each).await;
            server.quiet().await;
            let (memory, open) = (Memory::start(), open_descriptors().len());
            count += rounds(&server, each).await;
            left = left.max(given_back(&server, &memory, MOST).await);
            descriptors += open_descriptors().len().abs_diff(open);
            let (opened, closed) = (server.counts.opened.load(SeqCst), server.counts.closed.load(SeqCst));
            unequal += opened.abs_diff(closed);
            server.stop().await;
        }
        let part = format!("{} rounds over 10 states and 3 ends", number(count));
        ENDS.exactly(&format!("{part}: descriptors left"), descriptors, 0, "");
        ENDS.exactly(&format!("{part}: connections whose end was reported not once"), unequal, 0, "");
        ENDS.at_most(
            &format!("{part}: memory left"),
            usize::try_from(left).unwrap_or(0),
            MOST.unsigned_abs(),
            "bytes",
        );
    });
}
