//! The server, on its own thread, over loopback.

use crate::counting::allocations;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use e2e_tests::server::ServerRunner;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server, ServerStream, WebSocket};

const WARM_UP: usize = 50;
const ROUNDS: usize = 500;
/// The allocations that a run may have in addition to those for messages, for the runtime and the shard.
const PER_RUN: u64 = 4;
/// The allocations that a message in two pieces may have: one for its state and one for its bytes.
pub(crate) const PER_CUT: u64 = 2;

/// The number of allocations of the server's thread, as of the latest message.
type Gauge = Arc<AtomicU64>;

struct Echo(Gauge);

impl Handler for Echo {
    type Context = Gauge;

    fn accept(_request: &mut Request, gauge: &Gauge) -> Result<Self, Rejection> {
        Ok(Self(Arc::clone(gauge)))
    }

    fn on_message(&mut self, conn: &mut Conn<'_>, message: MessageRef<'_>) {
        self.0.store(allocations(), Ordering::Release);
        conn.send(message).expect("room for an echo");
    }
}

/// Messages of one kind, sent in batches.
struct Load {
    requests: Vec<u8>,
    replies: Vec<u8>,
}

impl Load {
    fn new(kind: u8, size: usize, depth: usize) -> Self {
        let frame = RawFrame::new(kind, vec![b'x'; size]);
        let repeated = |side| frame.encode(side).repeat(depth);
        Self { requests: repeated(Side::Client), replies: repeated(Side::Server) }
    }

    async fn round(&self, stream: &mut TcpStream, received: &mut [u8]) {
        stream.write_all(&self.requests).await.expect("the server reads");
        stream.read_exact(received).await.expect("the server answers");
        assert!(*received == self.replies, "not an echo");
    }

    /// Allocations of the server's thread in [`ROUNDS`] rounds.
    async fn measure(&self, stream: &mut TcpStream, gauge: &Gauge) -> u64 {
        let mut received = vec![0; self.replies.len()];
        for _ in 0..WARM_UP {
            self.round(stream, &mut received).await;
        }
        let before = gauge.load(Ordering::Acquire);
        for _ in 0..ROUNDS {
            self.round(stream, &mut received).await;
        }
        gauge.load(Ordering::Acquire) - before
    }
}

pub(crate) async fn upgraded(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    stream.set_nodelay(true).expect("a socket");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("the server answers"));
    }
    stream
}

async fn echo(mut ws: WebSocket<ServerStream>, gauge: Gauge) {
    while let Some(message) = ws.recv().await {
        gauge.store(allocations(), Ordering::Release);
        ws.send(message).await.expect("open");
    }
}

/// Calls `check` with the name and the number of allocations of each case.
async fn measure(
    server: ServerRunner,
    gauge: Gauge,
    sizes: &[usize],
    depth: usize,
    check: impl Fn(&str, u64),
) {
    let mut stream = upgraded(server.addr()).await;
    for (name, kind) in [("text", opcode::TEXT), ("binary", opcode::BINARY)] {
        for &size in sizes {
            let allocated = Load::new(kind, size, depth).measure(&mut stream, &gauge).await;
            let case = format!("{name}, {size} bytes, {depth} in flight: {allocated} allocations");
            println!("{case} in {} messages", ROUNDS * depth);
            check(&case, allocated);
        }
    }
    drop(stream);
    server.stop().await;
}

fn handler_api(sizes: &'static [usize], depth: usize, most: u64) {
    harness::run(async {
        let gauge = Gauge::default();
        let server =
            ServerRunner::serve_handler_on_shards::<Echo>(Server::builder(), 1, Arc::clone(&gauge)).await;
        measure(server, gauge, sizes, depth, |case, allocated| assert!(allocated <= most, "{case}")).await;
    });
}

#[test]
fn a_message_at_a_time_allocates_nothing() {
    handler_api(&[20, 1000], 1, PER_RUN);
}

#[test]
fn pipelined_messages_allocate_nothing() {
    handler_api(&[20, 125], 64, PER_RUN);
}

#[test]
fn larger_pipelined_messages_allocate_nothing() {
    handler_api(&[126, 1000], 16, PER_RUN);
}

/// A batch of this many bytes may arrive in several reads. A message that is cut in two waits on the heap for its rest.
#[test]
fn a_large_batch_allocates_for_the_messages_that_are_cut_and_no_other() {
    const CUTS_PER_BATCH: u64 = 2;
    handler_api(&[1000], 64, PER_RUN + ROUNDS as u64 * CUTS_PER_BATCH * PER_CUT);
}

/// A received message is owned under the async API, so it has its own allocation.
#[test]
fn the_async_api_allocates_once_per_message() {
    harness::run(async {
        let gauge = Gauge::default();
        let server = ServerRunner::serve_on_shards(Server::builder(), 1, {
            let gauge = Arc::clone(&gauge);
            move |ws, _request| echo(ws, Arc::clone(&gauge))
        })
        .await;
        let most = PER_RUN + ROUNDS as u64;
        measure(server, gauge, &[20, 1000], 1, |case, allocated| assert!(allocated <= most, "{case}")).await;
    });
}
