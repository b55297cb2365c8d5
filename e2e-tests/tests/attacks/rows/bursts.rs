//! Memory that the server needs during a burst and gives back after it.

use crate::measure::Memory;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use ws_server::Server;

const BURST: Row = Row::new(33, "memory after a burst");

const MIB: usize = 1 << 20;

/// One echo of 1 MiB on each connection, all at the same time.
async fn burst(server: &TargetServer, peers: Vec<RawClient>) -> Vec<RawClient> {
    let frame = std::sync::Arc::new(RawFrame::binary(vec![1; MIB]).encode(Side::Client));
    let mut echoes = JoinSet::new();
    for mut peer in peers {
        let frame = std::sync::Arc::clone(&frame);
        echoes.spawn(async move {
            peer.send_bytes(&**frame).await;
            assert_eq!(peer.recv_frame().await.payload.len(), MIB);
            peer
        });
    }
    let peers = echoes.join_all().await;
    server.settled(peers.len()).await;
    peers
}

#[test]
fn memory_returns_to_its_level_after_a_burst() {
    attack(async || {
        let (count, patience) = (scaled(500, 20), Duration::from_secs(10));
        let (mut worst, mut highest, mut longest) = (0_f64, 0, Duration::ZERO);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder());
            let peers = server.open_many(count).await;
            server.quiet().await;
            let (before, memory) = (Memory::held(), Memory::start());
            let peers = burst(&server, peers).await;
            highest = highest.max(memory.peak());
            let start = Instant::now();
            let factor = || Memory::held() as f64 / before as f64;
            while factor() > 1.2 && start.elapsed() < patience {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (worst, longest) = (worst.max(factor()), longest.max(start.elapsed()));
            drop(peers);
            server.stop().await;
        }
        let part = format!("{} echoes of 1 MiB at once, peak of {} MiB", number(count), highest / MIB);
        BURST.ratio(
            &format!("{part}: memory {:.1} s later, relative to before", longest.as_secs_f64()),
            worst,
            1.2,
        );
    });
}
