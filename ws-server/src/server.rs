use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::{net::ToSocketAddrs, task::JoinHandle};
use ws_tokio::WebSocket;

use crate::{
    acceptor::accept_loop,
    app::{Connect, HandlerApp, ServeApp},
    builder::ServerBuilder,
    contained::Contained,
    handler::Handler,
    handshake::{self, Candidate},
    hub::Hub,
    listener::{Incoming, Listener},
    request::Request,
    runtime,
    shard::{Place, Shard},
    sharded,
    shutdown::{ForceOnDrop, ShutdownHandle, ShutdownReport, drain, end_unserved},
    stream::ServerStream,
    summons::Summons,
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
    hub: ForceOnDrop,
}

impl Server {
    /// Listens on `addr` with the defaults: 16 MiB per message, handshake deadline 10 s, keepalive 30 s, same-host
    /// origins only.
    ///
    /// # Errors
    /// As [`ServerBuilder::bind`].
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::builder().bind(addr).await
    }

    /// A server with other settings.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    pub(crate) const fn new(listener: Listener, hub: Arc<Hub>) -> Self {
        Self { listener, hub: ForceOnDrop(hub) }
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
        ShutdownHandle::new(Arc::clone(&self.hub.0))
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
        self.on_this_runtime(ServeApp(serve)).await
    }

    /// Serves each connection with a [`Handler`], on this runtime.
    pub async fn run<H>(self, context: H::Context) -> ShutdownReport
    where
        H: Handler + Unpin + Send,
        H::Context: Sync,
    {
        self.on_this_runtime(HandlerApp::<H>::new(context)).await
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
        let Self { listener, hub } = self;
        sharded::run(listener, hub, shards, move || ServeApp(serve.clone())).await
    }

    /// As [`run`](Self::run), on `shards` threads of its own.
    ///
    /// # Errors
    /// If a thread or its runtime cannot be made, or this runtime lacks I/O or timers.
    pub async fn run_sharded<H>(self, shards: usize, context: H::Context) -> io::Result<ShutdownReport>
    where
        H: Handler + Unpin,
    {
        let Self { listener, hub } = self;
        sharded::run(listener, hub, shards, move || HandlerApp::<H>::new(context.clone())).await
    }

    async fn on_this_runtime<A>(self, app: A) -> ShutdownReport
    where
        A: Connect<ServerStream> + Send + Sync,
        A::Accepted: Send,
        A::Task: Send,
    {
        let Self { listener, hub: force } = self;
        let (hub, app) = (Arc::clone(&force.0), Arc::new(app));
        if let Err(error) = runtime::check() {
            tracing::error!(%error, "the server cannot run here");
            return end_unserved(&hub);
        }
        let shard = hub.new_shard(Summons::tasks(hub.options.initial_connections));
        let clock = AbortOnDrop(tokio::spawn(Arc::clone(&shard).run_clock(ws_tokio::trim_default_pools)));
        let listener = match listener.start(hub.options.expected_connections()) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the listener could not be registered");
                return end_unserved(&hub);
            }
        };
        accept_loop(listener, &hub, |socket: Incoming, peer, slot| {
            let io = match socket.into_stream() {
                Ok(io) => io,
                Err(error) => return tracing::warn!(%error, "a socket could not be registered"),
            };
            let candidate = Candidate { io, peer, place: Place::new(&shard), slot, received: Vec::new() };
            tokio::spawn(handshake::run(Arc::clone(&app), candidate, |app, established| {
                if let Some(task) = app.connect(established) {
                    tokio::spawn(Contained::new(task));
                }
            }));
        })
        .await;
        let report = drain(&hub).await;
        drop((clock, force));
        report
    }
}

/// Ends a shard's clock with the server.
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shard {
    /// Makes this thread's buffers as the options say.
    pub(crate) fn configure_thread(&self) {
        let options = &self.hub.options;
        ws_tokio::configure_thread(options.receive_buffer, ws_proto::BufferPool::new(options.pool()));
    }
}
