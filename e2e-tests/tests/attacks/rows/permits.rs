//! More connections than the server's limit allows.

use crate::measure::Memory;
use crate::probe_client::ProbeClient;
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Kind, TargetServer, attack};
use e2e_tests::raw_peer::RawClient;
use std::sync::atomic::Ordering::SeqCst;
use tokio::task::JoinSet;
use ws_server::Server;

const FULL: Row = Row::new(28, "more connections than the limit");

/// The number of simultaneous requests.
const AT_ONCE: usize = 50;

/// Sends [`AT_ONCE`] requests at the same time. Returns the number that are not answered with 503.
async fn try_to_open(server: &TargetServer) -> usize {
    let mut requests = JoinSet::new();
    for _ in 0..AT_ONCE {
        let addr = server.addr;
        requests.spawn(async move {
            let mut peer = RawClient::connect(addr).await;
            let request = peer.request("/").to_bytes();
            peer.upgrade_with(request).await.status()
        });
    }
    requests.join_all().await.into_iter().filter(|status| *status != 503).count()
}

#[test]
fn a_full_server_answers_503_and_serves_its_connections() {
    attack(async || {
        let room = connections(2000, 50);
        let (rounds, mut wrong, mut peak) = (scaled(10_000, 800) / AT_ONCE / 4, 0, 0);
        for kind in Kind::ALL {
            let server = kind.echo(Server::builder().max_connections(room));
            server.warm_up().await;
            let peers = server.open_many(room - 1).await;
            let other = kind.echo(Server::builder().max_connections(1));
            other.warm_up().await;
            let only = other.open().await;
            server.until("it is full", || other.handle.connections() == 1).await;
            let probe = ProbeClient::start(server.addr);
            probe.echoes(100).await;
            // Once before, for what the server allocates once.
            wrong += try_to_open(&server).await + try_to_open(&other).await;
            server.quiet().await;
            let memory = Memory::start();
            probe.beside(rounds, &other, &server, async |server| wrong += try_to_open(server).await).await;
            peak = peak.max(memory.peak());
            wrong += server.counts.opened.load(SeqCst) - room - 1;
            drop((peers, only));
            other.stop().await;
            probe.stop().check(&FULL, &format!("p99 of others' echoes ({kind:?})"));
            server.stop().await;
        }
        let part = format!("{} more than the limit of {}", number(4 * (rounds + 1) * AT_ONCE), number(room));
        FULL.exactly(&format!("{part}: not answered with 503"), wrong, 0, "");
        // Requests of the round before may still hold memory.
        FULL.at_most(&format!("{part}: memory of {AT_ONCE} at once"), peak, 2 * AT_ONCE * 4096, "bytes");
    });
}
