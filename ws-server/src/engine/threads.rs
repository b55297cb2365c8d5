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
    handshake::{self, GuardedFuture, Handshake, Unfinished, established::Established, guard_handshake},
    net::{
        listener::{Incoming, Listener},
        runtime,
        stream::{Detached, ServerStream},
    },
    shard::{
        AbortOnDrop, LoadShare, Shard, ShutdownReport,
        adoption::{Adoption, Door},
        server_state::{ServerState, ShutdownPhase},
        shutdown::{ForceOnDrop, drain, stop_accepting},
    },
    wait::{First, both, first},
};

use super::{Engine, Requests, Sharded, accept_loop::accept_loop};

/// Tasks that a shard's runtime polls before it asks the kernel for events.
const EVENT_INTERVAL: u32 = 256;

/// What a shard makes a connection of.
enum Arrival {
    /// An accepted socket and its handshake.
    Socket(Incoming, Handshake),
    /// A connection to adopt.
    Adoption(Box<Adoption>, LoadShare),
}

/// What a shard's thread gets.
struct Source {
    receiver: mpsc::UnboundedReceiver<Arrival>,
    /// The listener of a single shard, which accepts its sockets itself.
    listener: Option<Listener>,
}

struct Worker {
    shard: Arc<Shard>,
    sender: mpsc::UnboundedSender<Arrival>,
    thread: thread::JoinHandle<io::Result<()>>,
}

/// Runs a server on `shards` threads until its shutdown is complete.
pub(crate) async fn run<A, M>(
    listener: Option<Listener>,
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
        let workers = vec![start(0, &server, app, listener)?];
        server.open_door(door(&workers));
        stop_accepting(&server).await;
        workers
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
    listener: Option<Listener>,
    shards: usize,
    server: &Arc<ServerState>,
    app: M,
) -> io::Result<Vec<Worker>>
where
    A: Sharded,
    M: FnOnce() -> A + Clone + Send + 'static,
{
    let started = listener.map(|listener| listener.start(server.options.expected_connections()));
    let listener = started.transpose()?;
    let mut workers = Vec::new();
    for number in 0..shards {
        workers.push(start(number, server, app.clone(), None)?);
    }
    server.open_door(door(&workers));
    let on_accepted = |socket, peer, permit| {
        let least_loaded = workers.iter().min_by_key(|worker| worker.shard.load());
        if let Some(worker) = least_loaded {
            let handshake = Handshake::new(peer, LoadShare::new(&worker.shard), permit);
            // The receiver is dropped only when a shutdown ends handshakes.
            let _ = worker.sender.send(Arrival::Socket(socket, handshake));
        }
    };
    let accepting = async {
        if let Some(listener) = listener {
            accept_loop(listener, server, on_accepted).await;
        }
    };
    both!(accepting, stop_accepting(server));
    Ok(workers)
}

/// Sends each connection to adopt to the shard with the lowest load, as long as the server runs.
fn door(workers: &[Worker]) -> Door {
    // The state of the server owns the door, so the door must not own the shards.
    let shards: Vec<_> =
        workers.iter().map(|worker| (Arc::downgrade(&worker.shard), worker.sender.clone())).collect();
    Arc::new(move |adoption| {
        let running = shards.iter().filter_map(|(shard, sender)| Some((shard.upgrade()?, sender)));
        if let Some((shard, sender)) = running.min_by_key(|(shard, _)| shard.load()) {
            // The receiver is dropped when a shutdown ends handshakes.
            let _ = sender.send(Arrival::Adoption(adoption, LoadShare::new(&shard)));
        }
    })
}

fn panicked() -> io::Error {
    io::Error::other("a shard's thread panicked")
}

fn start<A, M>(
    number: usize,
    server: &Arc<ServerState>,
    app: M,
    listener: Option<Listener>,
) -> io::Result<Worker>
where
    A: Sharded,
    M: FnOnce() -> A + Send + 'static,
{
    let (wake_table, seed) = A::Engine::prepare(server);
    let shard = Shard::new(Arc::clone(server), wake_table);
    let (sender, receiver) = mpsc::unbounded_channel();
    let source = Source { receiver, listener };
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
    Ok(Worker { shard, sender, thread })
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
    let handshakes = Rc::new(Handshakes { app: Rc::new(app), engine, server: Arc::clone(&server) });
    let Source { receiver, listener } = source;
    match listener {
        None => handshakes.start_all(receiver).await,
        Some(listener) => {
            let accepting = accept_loop(
                listener.start(server.options.expected_connections())?,
                &server,
                |socket, peer, permit| {
                    let handshake = Handshake::new(peer, LoadShare::new(&shard), permit);
                    handshakes.start_guarded(Arrival::Socket(socket, handshake));
                },
            );
            both!(handshakes.start_all(receiver), accepting);
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
    /// Starts a handshake for each arrival until a shutdown ends handshakes. Those that are still in the channel are
    /// then dropped with it, and so are their permits, for which the drain waits.
    async fn start_all(self: &Rc<Self>, mut receiver: mpsc::UnboundedReceiver<Arrival>) {
        let end = self.server.handshakes_end();
        tokio::pin!(end);
        loop {
            let First::Right(Some(arrival)) = first!(&mut end, receiver.recv()) else { break };
            self.start_guarded(arrival);
        }
    }

    fn start_guarded(self: &Rc<Self>, arrival: Arrival) {
        guard_handshake(&self.server, || self.start(arrival));
    }

    fn start(self: &Rc<Self>, arrival: Arrival) {
        match arrival {
            Arrival::Socket(Incoming::Tcp(stream), handshake) if self.server.options.decides_at_once() => {
                let requests = Rc::<Self>::clone(self);
                self.engine.expect_request(requests, stream, handshake);
            }
            Arrival::Socket(socket @ Incoming::Tcp(_), handshake) => self.spawn_handshake(socket, handshake),
            #[cfg(unix)]
            Arrival::Socket(socket @ Incoming::Unix(_), handshake) => self.spawn_handshake(socket, handshake),
            Arrival::Adoption(adoption, load) => self.spawn_adoption(adoption, load),
        }
    }

    fn spawn_adoption(&self, adoption: Box<Adoption>, load: LoadShare) {
        let (app, engine, server) = (Rc::clone(&self.app), self.engine.clone(), Arc::clone(&self.server));
        let start = move |app: Rc<A>, stream: Detached, established| match stream {
            Detached::Tcp(stream) => engine.add_unregistered(&app, stream, established),
            other => match other.attach() {
                Ok(io) => engine.add_stream(&app, io, established),
                Err(error) => server.note_lost_socket(&error),
            },
        };
        let adopting = handshake::adopt(app, adoption, load, start);
        tokio::task::spawn_local(GuardedFuture::new(Box::pin(adopting)));
    }

    fn spawn_handshake(&self, socket: Incoming, handshake: Handshake) {
        if let Some(io) = self.register(socket) {
            let app = Rc::clone(&self.app);
            tokio::task::spawn_local(handshake::run(app, io, handshake, self.on_established()));
        }
    }

    /// Registers a socket with the runtime of this thread.
    fn register(&self, socket: Incoming) -> Option<ServerStream> {
        socket.into_stream().inspect_err(|error| self.server.note_lost_socket(error)).ok()
    }

    fn on_established(&self) -> impl FnOnce(Rc<A>, ServerStream, Established<A::Accepted>) + use<A> {
        let engine = self.engine.clone();
        move |app, io, established| engine.add_stream(&app, io, established)
    }
}

impl<A: Sharded> Requests<A> for Handshakes<A> {
    fn app(&self) -> &Rc<A> {
        &self.app
    }

    fn finish_in_task(&self, stream: TcpStream, handshake: Unfinished<A::Accepted>) {
        match handshake {
            Unfinished::Accepted(handshake, accepted) => {
                if let Some(io) = self.register(Incoming::Tcp(stream)) {
                    let (app, start) = (Rc::clone(&self.app), self.on_established());
                    tokio::task::spawn_local(handshake::finish(app, io, handshake, accepted, start));
                }
            }
            Unfinished::Rejected(handshake, refusal) => {
                if let Some(io) = self.register(Incoming::Tcp(stream)) {
                    tokio::task::spawn_local(handshake::reject(io, handshake, refusal));
                }
            }
            Unfinished::Undecided(handshake) => self.spawn_handshake(Incoming::Tcp(stream), handshake),
        }
    }
}
