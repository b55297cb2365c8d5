//! A shutdown in the middle of it all.

use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::victim::{Kind, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side, opcode};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_server::Server;

const SHUTDOWN: Row = Row::new(32, "shutdown under load");

/// Echoes until the server closes; whether it said 1001, after an answer to everything it had taken.
async fn told(mut peer: RawClient, busy: bool) -> bool {
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
fn everybody_is_told_and_it_is_over_in_time() {
    attack(async || {
        let (count, busy) = (connections(10_000, 200), scaled(100, 20));
        let grace = scaled(Duration::from_secs(5), Duration::from_secs(10));
        let (mut untold, mut unclean, mut longest) = (0, 0, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().close_timeout(grace));
            let peers = server.open_many(count).await;
            let mut told_all = JoinSet::new();
            for (number, peer) in peers.into_iter().enumerate() {
                told_all.spawn(told(peer, number < busy));
            }
            server
                .until("echoes", || {
                    server.counts.messages.load(std::sync::atomic::Ordering::SeqCst) > 10 * busy
                })
                .await;
            let start = Instant::now();
            let report = server.handle.shutdown(grace).await;
            longest = longest.max(start.elapsed());
            untold += told_all.join_all().await.into_iter().filter(|told| !told).count();
            unclean += report.unclean;
            server.stop().await;
        }
        let part = format!("{} connections, {busy} of them busy", number(count));
        SHUTDOWN.exactly(&format!("{part}, not told 1001"), untold, 0, "");
        SHUTDOWN.exactly(&format!("{part}, cut off"), unclean, 0, "");
        SHUTDOWN.line(
            &format!("{part}: over"),
            format!("after {:.2} s", longest.as_secs_f64()),
            format!("≤ {} s", grace.as_secs()),
            longest <= grace,
        );
    });
}

#[test]
fn peers_that_do_not_answer_hold_up_no_shutdown() {
    attack(async || {
        let count = connections(10_000, 200);
        let grace = Duration::from_secs(1);
        let (mut longest, mut untold) = (Duration::ZERO, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let mut peers = server.open_many(count).await;
            let start = Instant::now();
            let report = server.handle.shutdown(grace).await;
            longest = longest.max(start.elapsed());
            assert!(report.forced);
            for peer in &mut peers {
                let told = matches!(peer.try_recv_frame().await, Ok(frame) if frame.close_code() == Some((1001, "")));
                untold += usize::from(!told);
            }
            server.stop().await;
        }
        // Closing a socket takes the kernel its time: 10,000 of them are not closed in 100 ms on one thread.
        let margin = Duration::from_millis(scaled(100, 3000)) + Duration::from_micros(100) * count as u32;
        let part = format!("{} peers that do not answer", number(count));
        SHUTDOWN.exactly(&format!("{part}, not told 1001"), untold, 0, "");
        SHUTDOWN.line(
            &format!("{part}, 1 s of grace: over"),
            format!("after {:.3} s", longest.as_secs_f64()),
            format!("≤ {:.1} s", (grace + margin).as_secs_f64()),
            longest <= grace + margin,
        );
    });
}
