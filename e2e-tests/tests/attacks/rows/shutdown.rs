//! A shutdown with many open connections.

use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_server::Server;

const SHUTDOWN: Row = Row::new(32, "shutdown under load");

/// Echoes until the server closes. Returns whether it answered all messages that it received and then sent 1001.
async fn closed_with_1001(mut peer: RawClient, busy: bool) -> bool {
    loop {
        if busy && peer.writer.try_send_bytes(RawFrame::text("busy").encode(Side::Client)).await.is_err() {
            return false;
        }
        let Ok(frame) = peer.try_recv_frame().await else { return false };
        if frame.opcode == opcode::CLOSE {
            let _ = peer.writer.try_send_bytes(RawFrame::close(1001, "").encode(Side::Client)).await;
            return frame.close_code().map(|(code, _)| code) == Some(1001);
        }
    }
}

#[test]
fn every_connection_gets_1001_and_the_shutdown_ends_in_time() {
    attack(async || {
        let (count, busy) = (connections(10_000, 200), scaled(100, 20));
        let grace = scaled(Duration::from_secs(5), Duration::from_secs(10));
        let (mut wrong, mut unclean, mut longest) = (0, 0, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().close_timeout(grace));
            let peers = server.open_many(count).await;
            let mut told_all = JoinSet::new();
            for (number, peer) in peers.into_iter().enumerate() {
                told_all.spawn(closed_with_1001(peer, number < busy));
            }
            server
                .until("echoes", || {
                    server.counts.messages.load(std::sync::atomic::Ordering::SeqCst) > 10 * busy
                })
                .await;
            let start = Instant::now();
            let report = server.handle.shutdown(grace).await;
            longest = longest.max(start.elapsed());
            wrong += told_all.join_all().await.into_iter().filter(|told| !told).count();
            unclean += report.unclean;
            server.stop().await;
        }
        let part = format!("{} connections, {busy} of them busy", number(count));
        SHUTDOWN.exactly(&format!("{part}: not closed with 1001"), wrong, 0, "");
        SHUTDOWN.exactly(&format!("{part}: cut off"), unclean, 0, "");
        SHUTDOWN.line(
            &format!("{part}: ended"),
            format!("after {:.2} s", longest.as_secs_f64()),
            format!("≤ {} s", grace.as_secs()),
            longest <= grace,
        );
    });
}

#[test]
fn peers_that_do_not_answer_do_not_delay_a_shutdown() {
    attack(async || {
        let count = connections(10_000, 200);
        let grace = Duration::from_secs(1);
        let (mut longest, mut wrong) = (Duration::ZERO, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let mut peers = server.open_many(count).await;
            let start = Instant::now();
            let report = server.handle.shutdown(grace).await;
            longest = longest.max(start.elapsed());
            assert!(report.forced);
            for peer in &mut peers {
                let told = matches!(peer.try_recv_frame().await, Ok(frame) if frame.close_code() == Some((1001, "")));
                wrong += usize::from(!told);
            }
            server.stop().await;
        }
        // The kernel needs more than 100 ms to close 10,000 sockets on one thread.
        let margin = Duration::from_millis(scaled(100, 3000)) + Duration::from_micros(100) * count as u32;
        let part = format!("{} peers that do not answer", number(count));
        SHUTDOWN.exactly(&format!("{part}: not closed with 1001"), wrong, 0, "");
        SHUTDOWN.line(
            &format!("{part}, grace period of 1 s: ended"),
            format!("after {:.3} s", longest.as_secs_f64()),
            format!("≤ {:.1} s", (grace + margin).as_secs_f64()),
            longest <= grace + margin,
        );
    });
}
