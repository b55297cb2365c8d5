//! Servers under test. Each is bound to a free port, runs on the test's own runtime, and ends with a graceful shutdown
//! that has to succeed.
//!
//! - [`ServerRunner`] runs an async function or a [`Handler`], on the test's runtime or on shards.
//! - [`echo_test`] runs one test body against an echo server of each [`Api`].
//! - [`Script`] makes a handler out of closures.
//!
//! Echo servers and scripts report what happens as [`Event`]s that a test can wait for.

mod echo;
mod observed;
mod script;

pub use echo::{Api, Echo, echo_test, echo_test_with, start_echo, start_sharded_echo};
pub use observed::{Event, ObservedServer, Reporter};
pub use script::Script;

use crate::harness::on_shards;
use crate::raw_peer::{DEADLINE, RawClient};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use ws_server::{
    Handler, Request, Server, ServerBuilder, ServerStream, ShutdownHandle, ShutdownReport, WebSocket,
    adopt::Adopter,
    stats::{ServerStats, StatsHandle},
};

/// How long connections may take to end after a test. It only bounds a failure: a peer that is gone, or answers a
/// Close, ends its connection at once.
pub const GRACE: Duration = Duration::from_secs(60);

/// A running server. End it with [`stop`](Self::stop).
#[derive(Debug)]
#[must_use]
pub struct ServerRunner {
    addr: SocketAddr,
    adopter: Adopter,
    handle: ShutdownHandle,
    stats: StatsHandle,
    task: JoinHandle<io::Result<ShutdownReport>>,
}

impl ServerRunner {
    /// [`Server::serve`]; in the second run of a test [`ShardedServer::serve`](ws_server::ShardedServer::serve), with
    /// one shard.
    pub async fn serve<F, Fut>(builder: ServerBuilder, serve: F) -> Self
    where
        F: Fn(WebSocket<ServerStream>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if on_shards() {
            let serve = Arc::new(serve);
            return Self::serve_on_shards(builder, 1, move |ws, _request| serve(ws)).await;
        }
        Self::start(bind(builder).await, |server| async {
            Ok(server.serve(move |ws, _request| serve(ws)).await)
        })
    }

    /// As [`serve`](Self::serve), with a function that also gets the request.
    pub async fn serve_with_request<F, Fut>(builder: ServerBuilder, serve: F) -> Self
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if on_shards() {
            let serve = Arc::new(serve);
            return Self::serve_on_shards(builder, 1, move |ws, request| serve(ws, request)).await;
        }
        Self::start(bind(builder).await, |server| async { Ok(server.serve(serve).await) })
    }

    /// [`Server::serve_handler`]; in the second run of a test
    /// [`ShardedServer::serve_handler`](ws_server::ShardedServer::serve_handler), with one shard.
    pub async fn serve_handler<H>(builder: ServerBuilder, context: H::Context) -> Self
    where
        H: Handler + Send,
        H::Context: Sync,
    {
        if on_shards() {
            return Self::serve_handler_on_shards::<H>(builder, 1, context).await;
        }
        Self::start(bind(builder).await, |server| async { Ok(server.serve_handler::<H>(context).await) })
    }

    /// [`ShardedServer::serve`](ws_server::ShardedServer::serve).
    pub async fn serve_on_shards<F, Fut>(builder: ServerBuilder, shards: usize, serve: F) -> Self
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        Self::start(bind(builder).await, move |server| server.sharded(shards).serve(serve))
    }

    /// [`ShardedServer::serve_handler`](ws_server::ShardedServer::serve_handler).
    pub async fn serve_handler_on_shards<H>(
        builder: ServerBuilder,
        shards: usize,
        context: H::Context,
    ) -> Self
    where
        H: Handler,
    {
        Self::start(bind(builder).await, move |server| server.sharded(shards).serve_handler::<H>(context))
    }

    /// Runs a server that is already bound.
    ///
    /// # Panics
    /// When it has no address.
    pub fn start<Fut>(server: Server, run: impl FnOnce(Server) -> Fut) -> Self
    where
        Fut: Future<Output = io::Result<ShutdownReport>> + Send + 'static,
    {
        let addr = server.local_addr().expect("a bound listener");
        let (adopter, handle, stats) = (server.adopter(), server.shutdown_handle(), server.stats_handle());
        Self { addr, adopter, handle, stats, task: tokio::spawn(run(server)) }
    }

    /// The address that the server listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The handle that gives connections to the server.
    pub fn adopter(&self) -> &Adopter {
        &self.adopter
    }

    /// The handle that shuts the server down and counts its connections.
    pub fn handle(&self) -> &ShutdownHandle {
        &self.handle
    }

    /// What the server has counted so far.
    pub fn stats(&self) -> ServerStats {
        self.stats.snapshot()
    }

    /// The handle of [`stats`](Self::stats), which outlives the server.
    pub fn stats_handle(&self) -> StatsHandle {
        self.stats.clone()
    }

    /// Waits until the server has counted what `reached` asks for.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_for_stats(&self, reached: impl Fn(&ServerStats) -> bool) -> ServerStats {
        self.wait_until("statistics", || reached(&self.stats())).await;
        self.stats()
    }

    /// A client that has sent nothing yet.
    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.addr).await
    }

    /// A client whose handshake is done.
    pub async fn open(&self) -> RawClient {
        RawClient::open(self.addr, "/").await
    }

    /// A client whose handshake is done and whose kernel buffers little. When it does not read, the server's writes
    /// stop soon.
    pub async fn open_slow(&self) -> RawClient {
        let mut client = RawClient::connect_with_receive_buffer(self.addr, 4096).await;
        client.upgrade("/").await;
        client
    }

    /// Waits until the server has exactly `count` connections.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_for_connections(&self, count: usize) {
        self.wait_until("connections", || self.handle().connections() == count).await;
    }

    /// Waits until the server has exactly `count` handshakes under way.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn wait_for_handshakes(&self, count: usize) {
        self.wait_until("handshakes", || self.handle().handshakes() == count).await;
    }

    async fn wait_until(&self, what: &str, reached: impl Fn() -> bool) {
        let look = async {
            while !reached() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let seen = timeout(DEADLINE, look).await;
        assert!(seen.is_ok(), "{DEADLINE:?} passed while waiting for {what}: {:?}", self.handle);
    }

    /// Checks that the server still accepts a connection and closes it with 1000.
    pub async fn expect_alive(&self) {
        close_normally(self.open().await).await;
    }

    /// A graceful shutdown within [`GRACE`].
    ///
    /// # Panics
    /// When it takes longer or a connection was cut off.
    pub async fn stop(self) -> ShutdownReport {
        let report = self.stop_within(GRACE).await;
        assert!(!report.forced, "the shutdown cut a connection off: {report:?}");
        report
    }

    /// A shutdown that cuts off the connections that are left at the end of `grace`.
    ///
    /// # Panics
    /// When it takes much longer than that.
    pub async fn stop_within(self, grace: Duration) -> ShutdownReport {
        let Self { handle, task, .. } = self;
        let both = async { (handle.shutdown(grace).await, task.await) };
        let (reported, returned) = timeout(grace + DEADLINE, both).await.expect("the shutdown ends in time");
        let returned = returned.expect("the server does not panic").expect("its shards end well");
        assert_eq!(reported, returned, "the handle and the server's future return the same report");
        reported
    }
}

/// What a report counts: connections that ended cleanly, and otherwise; and whether any was cut off.
pub fn counts(report: ShutdownReport) -> (usize, usize, bool) {
    (report.clean, report.unclean, report.forced)
}

/// Binds the server to a free port of 127.0.0.1.
///
/// # Panics
/// When that fails.
pub async fn bind(builder: ServerBuilder) -> Server {
    builder.bind("127.0.0.1:0").await.expect("a server on a free port")
}

/// Sets a close timeout of 60 s, in which even a slow machine reads all that is left to read.
pub fn patient(builder: ServerBuilder) -> ServerBuilder {
    builder.close_timeout(Duration::from_secs(60))
}

/// Completes the closing handshake from the client's side, with 1000.
pub async fn close_normally(mut client: RawClient) {
    client.send(crate::raw_peer::RawFrame::close(1000, "")).await;
    client.expect_close(1000).await;
    client.expect_eof().await;
}

/// Completes the closing handshake that the server starts with `code`.
pub async fn answer_close(mut client: RawClient, code: u16) {
    client.expect_close(code).await;
    client.send(crate::raw_peer::RawFrame::close(code, "")).await;
    client.expect_eof().await;
}
