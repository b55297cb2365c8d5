//! Peers that are gone without having closed.

use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, attack};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_server::{Keepalive, Server};

const SILENT: Row = Row::new(18, "peers that vanish");

#[test]
fn a_silent_peer_is_detected_in_time() {
    attack(async || {
        // The peer's kernel still acknowledges what is sent. For the server, a peer whose kernel does not looks the
        // same: no bytes arrive.
        let interval = scaled(Duration::from_secs(2), Duration::from_millis(300));
        let count = scaled(1000, 20);
        let (mut earliest, mut latest) = (Duration::MAX, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().keepalive(Some(Keepalive::new(interval, interval))));
            let mut peers = JoinSet::new();
            for _ in 0..count {
                let (mut peer, last) = (server.open().await, Instant::now());
                peers.spawn(async move {
                    while peer.try_recv_frame().await.is_ok() {}
                    last.elapsed()
                });
            }
            while let Some(found) = peers.join_next().await {
                let found = found.unwrap();
                (earliest, latest) = (earliest.min(found), latest.max(found));
            }
            server.settled(0).await;
            server.stop().await;
        }
        // One tick of the timer wheel for each of the two deadlines, and a margin.
        let bound = 2 * interval + Duration::from_millis(scaled(500, 3000));
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        SILENT.line(
            &format!(
                "{} peers, ping after {}, as long for a pong: detected",
                number(4 * count),
                seconds(interval)
            ),
            format!("after {} to {}", seconds(earliest), seconds(latest)),
            format!("{} to {}", seconds(2 * interval), seconds(bound)),
            // The server reads the clock once per tick, so its start may be one tick before the peer's.
            earliest + Duration::from_millis(200) >= 2 * interval && latest <= bound,
        );
    });
}
