//! Shards on threads of the server's own. Each has a thread, a single-threaded runtime and one set of buffers.
//!
//! The caller's runtime accepts sockets and sends each to the shard with the lowest load: the kernel's own
//! distribution is uneven with few connections. A single shard accepts its sockets itself.

use std::{io, net::TcpStream, rc::Rc, sync::Arc, thread};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc,
};
use ws_tokio::internal::guarded;

use crate::{
    handshake::{self, Handshake, Step, established::Established, try_immediately},
    net::{
        listener::{Incoming, Listener},
        runtime,
        stream::ServerStream,
    },
    shard::{
        AbortOnDrop, LoadShare, Shard, ShutdownReport,
        server_state::{ServerState, ShutdownPhase},
        shutdown::{ForceOnDrop, drain},
    },
};

use super::{Engine, Sharded, accept_loop::accept_loop};

/// Tasks that a shard's runtime polls before it asks the kernel for events.
const EVENT_INTERVAL: u32 = 256;

/// An accepted socket and its handshake.
type Accepted = (Incoming, Handshake);

/// Where a shard's sockets come from.
enum Source {
    /// The caller's runtime accepts them.
    Channel(mpsc::UnboundedReceiver<Accepted>),
    /// The shard accepts them.
    Listener(Listener),
}

struct Worker {
    shard: Arc<Shard>,
    thread: thread::JoinHandle<io::Result<()>>,
}

/// Runs a server on `shards` threads until its shutdown is complete.
pub(crate) async fn run<A, M>(
    listener: Listener,
    force: ForceOnDrop,
    shards: usize,
    app: M,
) -> io::Result<ShutdownReport>
where
    A: Sharded,
    M: FnOnce() -> A + Clone + Send + 'static,
{
    runtime::check()?;
    let server = Arc::clone(&force.0);
    let workers = if shards <= 1 {
        let worker = start(0, &server, app, Source::Listener(listener))?;
        server.reached(ShutdownPhase::Draining).await;
        vec![worker]
    } else {
        accept_for(listener, shards, &server, app).await?
    };
    let report = drain(&server).await;
    drop(force);
    let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
    let join =
        move || threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())));
    // Fails if this runtime is shut down meanwhile. The shards have ended by then; their threads only return.
    tokio::task::spawn_blocking(join).await.unwrap_or(Ok(()))?;
    Ok(report)
}

/// Starts the shards and accepts for them on this runtime, until the server drains.
async fn accept_for<A, M>(
    listener: Listener,
    shards: usize,
    server: &Arc<ServerState>,
    app: M,
) -> io::Result<Vec<Worker>>
where
    A: Sharded,
    M: FnOnce() -> A + Clone + Send + 'static,
{
    let listener = listener.start(server.options.expected_connections())?;
    let (mut workers, mut senders) = (Vec::new(), Vec::new());
    for number in 0..shards {
        let (sender, receiver) = mpsc::unbounded_channel();
        workers.push(start(number, server, app.clone(), Source::Channel(receiver))?);
        senders.push(sender);
    }
    accept_loop(listener, server, |socket, peer, permit| {
        let least_loaded = workers.iter().zip(&senders).min_by_key(|(worker, _)| worker.shard.load());
        if let Some((worker, sender)) = least_loaded {
            // The receiver is dropped only when the server drains.
            let _ = sender.send((socket, Handshake::new(peer, LoadShare::new(&worker.shard), permit)));
        }
    })
    .await;
    Ok(workers)
}

fn panicked() -> io::Error {
    io::Error::other("a shard's thread panicked")
}

fn start<A, M>(number: usize, server: &Arc<ServerState>, app: M, source: Source) -> io::Result<Worker>
where
    A: Sharded,
    M: FnOnce() -> A + Send + 'static,
{
    let (wake_table, seed) = A::Engine::prepare(server);
    let shard = Shard::new(Arc::clone(server), wake_table);
    let thread = thread::Builder::new().name(format!("ws-shard-{number}")).spawn({
        let (shard, runtime) = (Arc::clone(&shard), build_runtime as fn() -> io::Result<LocalRuntime>);
        let server = Arc::clone(server);
        move || {
            let work = || runtime().and_then(|runtime| runtime.block_on(work(shard, seed, source, app())));
            let worked = guarded(work).unwrap_or_else(|_| Err(panicked()));
            // Without one of its shards, the server ends.
            worked.inspect_err(|_| server.enter(ShutdownPhase::Draining))
        }
    })?;
    Ok(Worker { shard, thread })
}

fn build_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default())
}

/// A shard's main task. It does or starts a handshake for each socket, and ends after the last connection.
async fn work<A: Sharded>(
    shard: Arc<Shard>,
    seed: <A::Engine as Engine<A>>::Seed,
    source: Source,
    app: A,
) -> io::Result<()> {
    shard.configure_thread();
    let engine = A::Engine::start(seed)?;
    let server = Arc::clone(&shard.server);
    let clock = AbortOnDrop(tokio::task::spawn_local(
        Arc::clone(&shard).run_clock(ws_tokio::internal::trim_thread_pool),
    ));
    let handshakes = Handshakes { app: Rc::new(app), engine, server: Arc::clone(&server) };
    match source {
        Source::Channel(receiver) => handshakes.start_all(receiver).await,
        Source::Listener(listener) => {
            let (sender, receiver) = mpsc::unbounded_channel();
            let accepting = accept_loop(
                listener.start(server.options.expected_connections())?,
                &server,
                |socket, peer, permit| {
                    let _ = sender.send((socket, Handshake::new(peer, LoadShare::new(&shard), permit)));
                },
            );
            // The channel delays each handshake by one poll. By then most requests have arrived.
            tokio::join!(handshakes.start_all(receiver), accepting);
        }
    }
    server.handshakes.wait_empty().await;
    server.connections.wait_empty().await;
    drop(clock);
    handshakes.engine.outcome()
}

/// Starts the handshakes of a shard, and hands their connections to its engine.
struct Handshakes<A: Sharded> {
    app: Rc<A>,
    engine: A::Engine,
    server: Arc<ServerState>,
}

impl<A: Sharded> Handshakes<A> {
    /// Starts a handshake for each socket until the server drains. Sockets that are still in the channel are then
    /// dropped with it, and so are their permits, for which the drain waits.
    async fn start_all(&self, mut receiver: mpsc::UnboundedReceiver<Accepted>) {
        let draining = self.server.reached(ShutdownPhase::Draining);
        tokio::pin!(draining);
        loop {
            let next = tokio::select! {
                next = receiver.recv() => next,
                () = &mut draining => break,
            };
            let Some((socket, handshake)) = next else { break };
            // Destructors of the application's values may panic.
            if guarded(|| self.start(socket, handshake)).is_err() {
                // So may a `tracing` subscriber.
                let _ = guarded(|| tracing::error!("a handshake panicked"));
            }
        }
    }

    fn start(&self, socket: Incoming, handshake: Handshake) {
        match socket {
            Incoming::Tcp(stream) => self.start_tcp(stream, handshake),
            #[cfg(unix)]
            Incoming::Unix(_) => self.spawn_handshake(socket, handshake),
        }
    }

    fn start_tcp(&self, stream: TcpStream, handshake: Handshake) {
        match try_immediately(&*self.app, &self.server, &stream, handshake) {
            Step::Established(established) => self.engine.add_unregistered(&self.app, stream, established),
            Step::Accepted(handshake, accepted) => {
                if let Some(io) = register(Incoming::Tcp(stream)) {
                    let app = Rc::clone(&self.app);
                    tokio::task::spawn_local(handshake::finish(
                        app,
                        io,
                        handshake,
                        accepted,
                        self.on_established(),
                    ));
                }
            }
            Step::Rejected(handshake, response) => {
                if let Some(io) = register(Incoming::Tcp(stream)) {
                    tokio::task::spawn_local(handshake::reject(io, handshake, response));
                }
            }
            Step::Wait(handshake) => self.spawn_handshake(Incoming::Tcp(stream), handshake),
            Step::Gone => {}
        }
    }

    fn spawn_handshake(&self, socket: Incoming, handshake: Handshake) {
        if let Some(io) = register(socket) {
            let app = Rc::clone(&self.app);
            tokio::task::spawn_local(handshake::run(app, io, handshake, self.on_established()));
        }
    }

    fn on_established(&self) -> impl FnOnce(Rc<A>, ServerStream, Established<A::Accepted>) + use<A> {
        let engine = self.engine.clone();
        move |app, io, established| engine.add_stream(&app, io, established)
    }
}

/// Registers a socket with the runtime of this thread.
fn register(socket: Incoming) -> Option<ServerStream> {
    socket
        .into_stream()
        .inspect_err(|error| tracing::warn!(%error, "registering a socket with the runtime failed"))
        .ok()
}
