//! Applications that panic or block at a peer's message.

use crate::measure::Memory;
use crate::probe_client::ProbeClient;
use crate::scale::{number, scaled};
use crate::table::Row;
use crate::target_server::{BOOM, Counts, Kind, PATIENCE, TargetServer, attack};
use e2e_tests::raw_peer::RawFrame;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

const PANICS: Row = Row::new(26, "panics in the application");
const BLOCKED: Row = Row::new(27, "a handler that blocks");

#[test]
fn panics_end_their_connections_and_nothing_else() {
    attack(async || {
        let rounds = scaled(10_000 / 4, 50);
        let (mut wrong, mut left) = (0, 0);
        for kind in Kind::ALL {
            // The deadline of a closed connection takes a few bytes until it passes.
            let close_timeout = Duration::from_millis(250);
            let server = kind.panicking(Server::builder().keepalive(None).close_timeout(close_timeout));
            let mut bystander = server.open().await;
            let mut panic = async || {
                let mut peer = server.open().await;
                peer.send(RawFrame::text(BOOM)).await;
                let code = peer.recv_frame().await.close_code().map(|(code, _)| code);
                bystander.send(RawFrame::text("still here")).await;
                bystander.expect_text("still here").await;
                usize::from(code != Some(1011))
            };
            for _ in 0..rounds / 10 {
                panic().await;
            }
            server.settled(1).await;
            server.quiet().await;
            let memory = Memory::start();
            for _ in 0..rounds {
                wrong += panic().await;
            }
            server.settled(1).await;
            server.quiet().await;
            let start = Instant::now();
            while memory.grown() > 4096 && start.elapsed() < PATIENCE / 6 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            left = left.max(memory.grown());
            drop(bystander);
            server.stop().await;
        }
        let part = format!("{} panics", number(4 * rounds));
        PANICS.exactly(&format!("{part}: not answered with 1011"), wrong, 0, "");
        PANICS.at_most(&format!("{part}: memory left"), usize::try_from(left).unwrap_or(0), 4096, "bytes");
    });
}

/// Echoes, and blocks its thread at [`BOOM`], as a handler that reads a file would.
struct Blocking;

/// The threads of the connections, in the order in which they were opened.
type Threads = Arc<Mutex<Vec<String>>>;

const BLOCK: Duration = Duration::from_millis(300);

impl Handler for Blocking {
    type Context = Threads;

    fn accept(_request: &mut Request, threads: &Threads) -> Result<Self, Rejection> {
        threads.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        Ok(Self)
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        if message.as_bytes() == BOOM.as_bytes() {
            std::thread::sleep(BLOCK);
        }
        let _ = conn.send(message);
    }
}

#[test]
fn a_handler_that_blocks_delays_only_its_own_thread() {
    attack(async || {
        let threads = Threads::default();
        let context = Arc::clone(&threads);
        let server = TargetServer::start(Server::builder(), Arc::<Counts>::default(), |server| async {
            server.sharded(2).serve_handler::<Blocking>(context).await.unwrap()
        });
        let probe = ProbeClient::start(server.addr);
        probe.echoes(200).await;
        // The server assigns it to the shard with the lowest load, which is the other one.
        let mut blocked = server.open().await;
        let threads = threads.lock().unwrap().clone();
        assert_ne!(threads[0], threads[1]);
        for _ in 0..scaled(10, 3) {
            probe.attacked(true);
            blocked.send(RawFrame::text(BOOM)).await;
            blocked.expect_text(BOOM).await;
            probe.attacked(false);
            probe.echoes(50).await;
        }
        probe
            .stop()
            .check(&BLOCKED, &format!("for {} ms, p99 of echoes on another shard", BLOCK.as_millis()));
        drop(blocked);
        server.stop().await;
    });
}
