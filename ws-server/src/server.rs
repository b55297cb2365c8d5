use std::{future::Future, io, net::SocketAddr, sync::Arc};

use ws_tokio::WebSocket;

use crate::{
    admission::Request,
    connection::{FunctionApp, Handler, HandlerApp},
    engine::{tasks, threads},
    net::{listener::Listener, stream::ServerStream},
    shard::{ShutdownHandle, ShutdownReport, server_state::ServerState, shutdown::ForceOnDrop},
};

/// A WebSocket server, listening.
///
/// It serves with an async function per connection ([`serve`](Self::serve)) or with callbacks
/// ([`run`](Self::run)), on the caller's runtime or on threads of its own, one single-threaded runtime each
/// ([`serve_sharded`](Self::serve_sharded), [`run_sharded`](Self::run_sharded)); there futures and handlers need not be
/// `Send`. All four return once a [`ShutdownHandle`] has ended the server; dropping their future cuts everybody off.
///
/// # Runtime
///
/// A server is bound and run in a tokio runtime with I/O and timers (`enable_all`), which need not be the same one.
/// [`serve`](Self::serve) and [`run`](Self::run) return at once, and log an error, where the runtime lacks either; the
/// sharded ones return [`io::ErrorKind::Unsupported`].
///
/// A runtime that is shut down drops the server's future, if that is one of its tasks, and all connections are cut off: peers
/// see the end of the stream, or a reset, without a Close, and a [`ShutdownHandle`] reports `forced`. Connections in that
/// runtime are dropped, so their handlers get no `on_close`; those on threads of the server's own still get it. End the server
/// with [`ShutdownHandle::shutdown`] first.
pub struct Server {
    listener: Listener,
    /// Also ends a server that is dropped without having run.
    state: ForceOnDrop,
}

impl Server {
    pub(crate) const fn new(listener: Listener, server: Arc<ServerState>) -> Self {
        Self { listener, state: ForceOnDrop(server) }
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket, else what the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What ends the server; clones of it may wait in other tasks.
    #[must_use]
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        ShutdownHandle::new(Arc::clone(&self.state.0))
    }

    /// Serves each connection with a future of its own, on this runtime. The connection is closed with 1000 when the
    /// future is done, and with 1011 if it panics.
    pub async fn serve<F, Fut>(self, serve: F) -> ShutdownReport
    where
        F: Fn(WebSocket<ServerStream>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.serve_with_request(move |ws, _request| serve(ws)).await
    }

    /// As [`serve`](Self::serve); the function also gets the request.
    pub async fn serve_with_request<F, Fut>(self, serve: F) -> ShutdownReport
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, FunctionApp(serve)).await
    }

    /// Serves each connection with a [`Handler`], on this runtime.
    pub async fn run<H>(self, context: H::Context) -> ShutdownReport
    where
        H: Handler + Unpin + Send,
        H::Context: Sync,
    {
        let Self { listener, state } = self;
        tasks::run(listener, state, HandlerApp::<H>::new(context)).await
    }

    /// As [`serve_with_request`](Self::serve_with_request), on `shards` threads of its own.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, or this runtime lacks I/O or timers.
    pub async fn serve_sharded<F, Fut>(self, shards: usize, serve: F) -> io::Result<ShutdownReport>
    where
        F: Fn(WebSocket<ServerStream>, Request) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let Self { listener, state } = self;
        threads::run(listener, state, shards, move || FunctionApp(serve.clone())).await
    }

    /// As [`run`](Self::run), on `shards` threads of its own.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, or this runtime lacks I/O or timers.
    pub async fn run_sharded<H>(self, shards: usize, context: H::Context) -> io::Result<ShutdownReport>
    where
        H: Handler + Unpin,
    {
        let Self { listener, state } = self;
        threads::run(listener, state, shards, move || HandlerApp::<H>::new(context.clone())).await
    }
}
