use std::{fmt, future::Future, io, net::SocketAddr, sync::Arc};

use ws_tokio::WebSocket;

use crate::{
    admission::Request,
    connection::{FunctionApp, Handler, HandlerApp},
    engine::{tasks, threads},
    handshake::Adopter,
    net::{listener::Listener, stream::ServerStream},
    shard::{ShutdownHandle, ShutdownReport, StatsHandle, server_state::ServerState, shutdown::ForceOnDrop},
    topics::Topics,
};

/// A WebSocket server that listens.
///
/// There are two ways to serve connections: an async function per connection ([`serve`](Self::serve)), or a
/// [`Handler`] with callbacks ([`serve_handler`](Self::serve_handler)). Both run in the caller's runtime, or on threads
/// of the server's own: [`sharded`](Self::sharded) returns a [`ShardedServer`] with the same two methods.
///
/// All of these methods return once a [`ShutdownHandle`] has ended the server.
///
/// # Cancel safety
///
/// If the future of one of these methods is dropped, all connections are cut off.
///
/// # Runtime
///
/// A server is bound and run in a tokio runtime with I/O and timers (`enable_all`). It may be bound in one runtime and
/// run in another. In a runtime without I/O or timers, [`serve`](Self::serve) and
/// [`serve_handler`](Self::serve_handler) log an error and return at once; the methods of [`ShardedServer`] return
/// [`io::ErrorKind::Unsupported`].
///
/// When the runtime is shut down, it drops the server's future, if that runs as a task, and all connections are cut
/// off: peers see the end of the stream or a reset, without a Close, and a [`ShutdownHandle`] reports `forced`.
/// Handlers in that runtime get no `on_close`; handlers on threads of the server's own still get it. To end connections
/// with a Close, use [`ShutdownHandle::shutdown`] first.
pub struct Server {
    /// `None` if all connections are adopted.
    listener: Option<Listener>,
    /// Also ends a server that is dropped before it runs.
    state: ForceOnDrop,
}

impl Server {
    pub(crate) const fn new(listener: Option<Listener>, server: Arc<ServerState>) -> Self {
        Self { listener, state: ForceOnDrop(server) }
    }

    /// The address that the server listens on.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket and without a listener; otherwise the error of the operating
    /// system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.listener {
            Some(listener) => listener.local_addr(),
            None => Err(io::Error::new(io::ErrorKind::Unsupported, "the server has no listener")),
        }
    }

    /// A handle that ends the server. It can be cloned, and used in other tasks and threads.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(Arc::clone(&self.state.0))
    }

    /// A handle that reads the server's statistics. It can be cloned, and used in other tasks and threads.
    #[must_use]
    pub fn stats_handle(&self) -> StatsHandle {
        StatsHandle::new(Arc::clone(&self.state.0))
    }

    /// A handle that gives connections to the server whose handshake is done elsewhere, inside axum or hyper for
    /// example.
    #[must_use]
    pub fn adopter(&self) -> Adopter {
        Adopter::new(Arc::clone(&self.state.0))
    }

    /// The topics of the server's connections. Clone the handle to publish from elsewhere.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.state.0.topics
    }

    /// Moves the server to `shards` threads of its own. Each thread is a shard: it has a single-threaded runtime, and
    /// its connections stay on it, so futures and handlers need not be `Send`. 0 counts as 1.
    pub const fn sharded(self, shards: usize) -> ShardedServer {
        ShardedServer { server: self, shards }
    }

    /// Serves connections with an async function, in this runtime. `serve` is called for each connection, with the
    /// request that opened it. The request is answered: what is set for the response has no effect any more. To choose
    /// a subprotocol, add response headers or reject, use
    /// [`ServerBuilder::on_request`](crate::ServerBuilder::on_request).
    ///
    /// The connection is closed with 1000 when the future that `serve` returns completes, and with 1011 if it panics.
    ///
    /// # Cancel safety
    /// Dropping the future cuts all connections off.
    pub async fn serve<F, Fut>(self, serve: F) -> ShutdownReport
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, FunctionApp(serve)).await
    }

    /// Serves connections with a [`Handler`], in this runtime. `context` is passed to [`Handler::accept`].
    ///
    /// # Cancel safety
    /// Dropping the future cuts all connections off.
    pub async fn serve_handler<H>(self, context: H::Context) -> ShutdownReport
    where
        H: Handler + Send,
        H::Context: Sync,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, HandlerApp::<H>::new(context)).await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("local_addr", &self.local_addr().ok()).finish_non_exhaustive()
    }
}

/// A [`Server`] that serves its connections on threads of its own, from [`Server::sharded`].
#[derive(Debug)]
#[must_use]
pub struct ShardedServer {
    server: Server,
    shards: usize,
}

impl ShardedServer {
    /// Serves connections with an async function, as [`Server::serve`] does.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, if a shard fails, or if this runtime lacks I/O or timers.
    ///
    /// # Cancel safety
    /// Dropping the future cuts all connections off and ends the threads.
    pub async fn serve<F, Fut>(self, serve: F) -> io::Result<ShutdownReport>
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Server { listener, state } = self.server;
        threads::run(listener, state, self.shards, move || FunctionApp(serve.clone())).await
    }

    /// Serves connections with a [`Handler`], as [`Server::serve_handler`] does.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, if a shard fails, or if this runtime lacks I/O or timers.
    ///
    /// # Cancel safety
    /// Dropping the future cuts all connections off and ends the threads.
    pub async fn serve_handler<H: Handler>(self, context: H::Context) -> io::Result<ShutdownReport> {
        let Server { listener, state } = self.server;
        threads::run(listener, state, self.shards, move || HandlerApp::<H>::new(context.clone())).await
    }
}
