//! More connections than there is room for.

use crate::measure::Memory;
use crate::mouse::Mouse;
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::victim::{Kind, Victim, attack};
use e2e_tests::raw_peer::RawClient;
use std::sync::atomic::Ordering::SeqCst;
use tokio::task::JoinSet;
use ws_server::Server;

const FULL: Row = Row::new(28, "more connections than the server may have");

/// How many knock at the same time.
const AT_ONCE: usize = 50;

/// How many of those who knock at the same time get another answer than 503.
async fn knock(server: &Victim) -> usize {
    let mut knocking = JoinSet::new();
    for _ in 0..AT_ONCE {
        let addr = server.addr;
        knocking.spawn(async move {
            let mut peer = RawClient::connect(addr).await;
            let request = peer.request("/").to_bytes();
            peer.upgrade_with(request).await.status()
        });
    }
    knocking.join_all().await.into_iter().filter(|status| *status != 503).count()
}

#[test]
fn a_full_server_says_so_and_serves_those_it_has() {
    attack(async || {
        let room = connections(2000, 50);
        let (rounds, mut otherwise, mut peak) = (scaled(10_000, 800) / AT_ONCE / 4, 0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().max_connections(room));
            server.warm_up().await;
            let peers = server.open_many(room - 1).await;
            let other = kind.echo(Server::builder().max_connections(1));
            other.warm_up().await;
            let only = other.open().await;
            server.until("it is full", || other.handle.connections() == 1).await;
            let mouse = Mouse::start(server.addr);
            mouse.echoes(100).await;
            // Once for what is made once.
            otherwise += knock(&server).await + knock(&other).await;
            server.quiet().await;
            let memory = Memory::start();
            mouse.beside(rounds, &other, &server, async |server| otherwise += knock(server).await).await;
            peak = peak.max(memory.peak());
            otherwise += server.counts.opened.load(SeqCst) - room - 1;
            drop((peers, only));
            other.stop().await;
            mouse.stop().check(&FULL, &format!("others' echoes ({kind:?})"));
            server.stop().await;
        }
        let part = format!("{} beyond {}", number(4 * (rounds + 1) * AT_ONCE), number(room));
        FULL.exactly(&format!("{part}, not answered with 503"), otherwise, 0, "");
        // Those of the round before may still be there.
        FULL.at_most(&format!("{part}: memory for {AT_ONCE} at once"), peak, 2 * AT_ONCE * 4096, "bytes");
    });
}
