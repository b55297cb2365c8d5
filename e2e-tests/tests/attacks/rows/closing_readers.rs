//! Peers that read slowly, or stop reading, the messages that were accepted before a close.

use crate::measure::Memory;
use crate::scale::{connections, number, scaled};
use crate::table::Row;
use crate::target_server::{Counts, Kind, TargetServer, attack};
use e2e_tests::raw_peer::{RawClient, RawFrame};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use ws_server::{CloseCode, CloseInfo, Conn, Handler, Message, MessageRef, Rejection, Request, Server};

const CLOSING: Row = Row::new(38, "a large message before a close");

/// Sends its message and closes when a message arrives.
struct Farewell(Context);

#[derive(Clone)]
struct Context {
    counts: Arc<Counts>,
    size: usize,
}

impl Handler for Farewell {
    type Context = Context;

    fn accept(_request: &mut Request, context: &Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, _conn: &mut Conn<'_>) {
        self.0.counts.opened.fetch_add(1, SeqCst);
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, _message: MessageRef<'_>) {
        conn.send_message(Message::from(vec![b'x'; self.0.size])).unwrap();
        conn.close(CloseCode::NORMAL, "");
    }

    fn on_close(&mut self, _conn: &mut Conn<'_>, info: &CloseInfo) {
        // Counts clean closing handshakes.
        self.0.counts.messages.fetch_add(usize::from(info.is_clean()), SeqCst);
        self.0.counts.closed.fetch_add(1, SeqCst);
    }
}

const HEADER: usize = 10;
/// In seconds. It is shorter than the message takes. At the reduced scale, it only has to be long enough for an answer on
/// a machine that stands still now and then.
const CLOSE_TIMEOUT: (u64, u64) = (1, 10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

async fn open_and_wait_for_start(server: &TargetServer) -> RawClient {
    let mut peer = RawClient::connect_with_receive_buffer(server.addr, 4096).await;
    peer.upgrade("/").await;
    peer.send(RawFrame::text("")).await;
    peer
}

/// Reads at most 1.5 MB/s. Returns the number of bytes received, and whether a Close follows.
async fn read_slowly(mut peer: RawClient, size: usize) -> usize {
    let mut left = HEADER + size;
    while left > 0 {
        left -= peer.reader.recv_bytes(left.min(15 * 1024)).await.len();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    peer.expect_close(1000).await;
    peer.send(RawFrame::close(1000, "")).await;
    peer.expect_eof().await;
    size
}

/// Peers that stop reading inside the message. The server ends their connections and frees their memory.
async fn stop_reading(server: &TargetServer, kind: Kind, size: usize) -> Vec<RawClient> {
    let count = connections(50, 10);
    server.quiet().await;
    let memory = Memory::start();
    let mut peers = Vec::new();
    for _ in 0..count {
        let mut peer = open_and_wait_for_start(server).await;
        // It stops inside the message.
        peer.reader.recv_bytes(HEADER + size / 64).await;
        peers.push(peer);
    }
    let stopped = Instant::now();
    server.until("given up", || server.counts.closed.load(SeqCst) == 2 + count).await;
    let (given_up, bound) = (stopped.elapsed(), WRITE_TIMEOUT * 17 / 16 + Duration::from_secs(scaled(1, 3)));
    CLOSING.line(
        &format!("{} peers that stop reading, {kind:?}: all ended", number(count)),
        format!("after {:.2} s", given_up.as_secs_f64()),
        format!("≤ {:.2} s", bound.as_secs_f64()),
        given_up <= bound,
    );
    server.quiet().await;
    let left = usize::try_from(memory.grown()).unwrap_or(0) / count;
    CLOSING.at_most(
        &format!("{} peers that stop reading, {kind:?}: memory left per peer", number(count)),
        left,
        4096,
        "bytes",
    );
    peers
}

#[test]
fn a_message_before_a_close_reaches_each_reader_and_waits_for_no_other_connection() {
    attack(async || {
        let size = scaled(16 << 20, 6 << 20);
        for kind in [Kind::HandlerTasks, Kind::HandlerShard] {
            let context = Context { counts: Arc::default(), size };
            let builder = Server::builder()
                .close_timeout(Duration::from_secs(scaled(CLOSE_TIMEOUT.0, CLOSE_TIMEOUT.1)))
                .write_timeout(Some(WRITE_TIMEOUT))
                .keepalive(None);
            let server =
                kind.serve_handler::<Farewell>(builder, Arc::clone(&context.counts), context.clone());
            let start = Instant::now();
            let (one, two) = tokio::join!(
                read_slowly(open_and_wait_for_start(&server).await, size),
                read_slowly(open_and_wait_for_start(&server).await, size)
            );
            CLOSING.exactly(
                &format!(
                    "{kind:?}: bytes received at 1.5 MB/s in {:.0} s, then a Close",
                    start.elapsed().as_secs_f64()
                ),
                one.min(two),
                size,
                "bytes",
            );
            server.until("closed", || server.counts.closed.load(SeqCst) == 2).await;
            CLOSING.exactly(
                &format!("{kind:?}: of these, clean closing handshakes"),
                server.counts.messages.load(SeqCst),
                2,
                "",
            );
            let peers = stop_reading(&server, kind, size).await;
            drop(peers);
            server.stop().await;
        }
    });
}
