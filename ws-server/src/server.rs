use std::{future::Future, io, net::SocketAddr, sync::Arc};

use ws_tokio::WebSocket;

use crate::{
    admission::Request,
    connection::{FunctionApp, Handler, HandlerApp},
    engine::{tasks, threads},
    net::{listener::Listener, stream::ServerStream},
    shard::{ShutdownHandle, ShutdownReport, server_state::ServerState, shutdown::ForceOnDrop},
};

/// A WebSocket server that listens.
///
/// There are two ways to serve connections: an async function per connection ([`serve`](Self::serve)), or callbacks
/// ([`run`](Self::run)). Both run on your runtime, or on threads of the server's own
/// ([`serve_sharded`](Self::serve_sharded), [`run_sharded`](Self::run_sharded)). Each of these threads is a shard: it
/// has a single-threaded runtime, and futures and handlers there need not be `Send`.
///
/// All four methods return once a [`ShutdownHandle`] has ended the server.
///
/// # Cancel safety
///
/// If the future of one of these methods is dropped, all connections are cut off.
///
/// # Runtime
///
/// A server is bound and run in a tokio runtime with I/O and timers (`enable_all`). It may be bound in one runtime and
/// run in another. In a runtime without I/O or timers, [`serve`](Self::serve) and [`run`](Self::run) log an error and
/// return at once; the sharded methods return [`io::ErrorKind::Unsupported`].
///
/// When the runtime is shut down, it drops the server's future, if that runs as a task, and all connections are cut
/// off: peers see the end of the stream or a reset, without a Close, and a [`ShutdownHandle`] reports `forced`.
/// Handlers in that runtime get no `on_close`; handlers on threads of the server's own still get it. To end connections
/// with a Close, use [`ShutdownHandle::shutdown`] first.
pub struct Server {
    listener: Listener,
    /// Also ends a server that is dropped before it runs.
    state: ForceOnDrop,
}

impl Server {
    pub(crate) const fn new(listener: Listener, server: Arc<ServerState>) -> Self {
        Self { listener, state: ForceOnDrop(server) }
    }

    /// The address that the server listens on.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket; otherwise the error of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle that ends the server. It can be cloned, and used in other tasks and threads.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(Arc::clone(&self.state.0))
    }

    /// Serves connections with an async function, on this runtime. `serve` is called for each connection.
    ///
    /// The connection is closed with 1000 when the future that `serve` returns completes, and with 1011 if it panics.
    pub async fn serve<F, Fut>(self, serve: F) -> ShutdownReport
    where
        F: Fn(WebSocket<ServerStream>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.serve_with_request(move |ws, _request| serve(ws)).await
    }

    /// As [`serve`](Self::serve), with a function that also gets the request.
    pub async fn serve_with_request<F, Fut>(self, serve: F) -> ShutdownReport
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, FunctionApp(serve)).await
    }

    /// Serves connections with a [`Handler`], on this runtime. `context` is passed to [`Handler::accept`].
    pub async fn run<H>(self, context: H::Context) -> ShutdownReport
    where
        H: Handler + Unpin + Send,
        H::Context: Sync,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, HandlerApp::<H>::new(context)).await
    }

    /// As [`serve_with_request`](Self::serve_with_request), on `shards` threads of the server's own.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, if a shard fails, or if this runtime lacks I/O or timers.
    pub async fn serve_sharded<F, Fut>(self, shards: usize, serve: F) -> io::Result<ShutdownReport>
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Self { listener, state } = self;
        threads::run(listener, state, shards, move || FunctionApp(serve.clone())).await
    }

    /// As [`run`](Self::run), on `shards` threads of the server's own.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, if a shard fails, or if this runtime lacks I/O or timers.
    pub async fn run_sharded<H>(self, shards: usize, context: H::Context) -> io::Result<ShutdownReport>
    where
        H: Handler + Unpin,
    {
        let Self { listener, state } = self;
        threads::run(listener, state, shards, move || HandlerApp::<H>::new(context.clone())).await
    }
}
