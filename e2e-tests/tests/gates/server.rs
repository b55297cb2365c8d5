//! The server, on a thread of its own, over loopback.

use crate::counting::allocations;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, Side, opcode};
use e2e_tests::server::ServerRunner;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use ws_server::{Conn, Handler, MessageRef, Rejection, Request, Server};

const WARM_UP: usize = 50;
const ROUNDS: usize = 500;
/// What a run may allocate beside its messages: the runtime's and the shard's own housekeeping.
const PER_RUN: u64 = 4;

/// What the server's thread has allocated, as of the message that was handled last.
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

/// Messages of one kind, so many at a time.
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

async fn upgraded(addr: SocketAddr) -> TcpStream {
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

/// The most allocations of the cases with these sizes and this depth, over all messages of a case.
fn measure(sizes: &'static [usize], depth: usize, check: impl Fn(&str, u64)) {
    harness::run(async {
        let gauge = Gauge::default();
        let server = ServerRunner::run_sharded::<Echo>(Server::builder(), 1, Arc::clone(&gauge)).await;
        let mut stream = upgraded(server.addr()).await;
        for (name, kind) in [("text", opcode::TEXT), ("binary", opcode::BINARY)] {
            for &size in sizes {
                let allocated = Load::new(kind, size, depth).measure(&mut stream, &gauge).await;
                let case = format!("{name}, {size} bytes, {depth} in flight");
                println!("{case}: {allocated} allocations in {} messages", ROUNDS * depth);
                check(&case, allocated);
            }
        }
        drop(stream);
        server.stop().await;
    });
}

#[test]
fn a_message_at_a_time_allocates_nothing() {
    measure(&[20, 1000], 1, |case, allocated| assert!(allocated <= PER_RUN, "{case}: {allocated}"));
}

#[test]
fn pipelined_messages_allocate_nothing() {
    measure(&[20, 1000], 64, |case, allocated| assert!(allocated <= PER_RUN, "{case}: {allocated}"));
}
