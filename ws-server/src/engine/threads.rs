//! One thread, one single-threaded runtime, one set of buffers each. Sockets are handed to the shard with the least
//! to do: the kernel's own distribution is uneven with few connections. A shard that is alone accepts them itself.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, thread};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc,
};
use ws_tokio::internal::guarded;

use crate::{
    admission::permits::Permit,
    engine::{Engine, Sharded, accept_loop::accept_loop},
    handshake::{self, Candidate, Step, try_immediately},
    net::{
        listener::{Incoming, Listener},
        runtime,
    },
    shard::{
        AbortOnDrop, LoadShare, Shard, ShutdownReport,
        server_state::{Phase, ServerState},
        shutdown::{ForceOnDrop, drain},
    },
};

/// How many tasks a shard polls before it asks the kernel for events.
const EVENT_INTERVAL: u32 = 256;

/// A socket on its way to a shard.
struct Handed {
    socket: Incoming,
    peer: Option<SocketAddr>,
    place: LoadShare,
    permit: Permit,
}

/// Where a shard's sockets come from.
enum Source {
    Handed(mpsc::UnboundedReceiver<Handed>),
    Own(Listener),
}

struct Worker {
    shard: Arc<Shard>,
    thread: thread::JoinHandle<io::Result<()>>,
}

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
        let worker = start(0, &server, app, Source::Own(listener))?;
        server.reached(Phase::Draining).await;
        vec![worker]
    } else {
        accept_for(listener, shards, &server, app).await?
    };
    let report = drain(&server).await;
    drop(force);
    let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
    let join =
        move || threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())));
    tokio::task::spawn_blocking(join).await.unwrap_or_else(|_| Err(panicked()))?;
    Ok(report)
}

/// Accepts, on this runtime, for several shards, until the hub drains.
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
    let (mut workers, mut ways) = (Vec::new(), Vec::new());
    for number in 0..shards {
        let (way, handed) = mpsc::unbounded_channel();
        workers.push(start(number, server, app.clone(), Source::Handed(handed))?);
        ways.push(way);
    }
    accept_loop(listener, server, |socket, peer, permit| {
        let least = workers.iter().zip(&ways).min_by_key(|(worker, _)| worker.shard.load());
        if let Some((worker, way)) = least {
            let place = LoadShare::new(&worker.shard);
            // A shard lives until the drain is over.
            let _ = way.send(Handed { socket, peer, place, permit });
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
    let (wake_table, call) = A::Engine::prepare(server);
    let shard = Shard::new(Arc::clone(server), wake_table);
    let thread = thread::Builder::new().name(format!("ws-shard-{number}")).spawn({
        let (shard, runtime) = (Arc::clone(&shard), build_runtime as fn() -> io::Result<LocalRuntime>);
        let server = Arc::clone(server);
        move || {
            let work = || runtime().and_then(|runtime| runtime.block_on(work(shard, call, source, app())));
            let worked = guarded(work).unwrap_or_else(|_| Err(panicked()));
            // A server that lacks one of its shards is none.
            worked.inspect_err(|_| server.enter(Phase::Draining))
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

/// A shard's main task: does, or starts, a handshake for each socket, until all is over.
async fn work<A: Sharded>(
    shard: Arc<Shard>,
    call: <A::Engine as Engine<A>>::Call,
    source: Source,
    app: A,
) -> io::Result<()> {
    shard.configure_thread();
    let engine = A::Engine::start(call)?;
    let server = Arc::clone(&shard.server);
    let clock = AbortOnDrop(tokio::task::spawn_local(
        Arc::clone(&shard).run_clock(ws_tokio::internal::trim_thread_pool),
    ));
    let reception = Reception { app: Rc::new(app), engine, server: Arc::clone(&server) };
    match source {
        Source::Handed(handed) => reception.take_handed(handed).await,
        Source::Own(listener) => {
            let (way, handed) = mpsc::unbounded_channel();
            let accepting = accept_loop(
                listener.start(server.options.expected_connections())?,
                &server,
                |socket, peer, permit| {
                    let _ = way.send(Handed { socket, peer, place: LoadShare::new(&shard), permit });
                },
            );
            // Sockets are looked at in the turn after the one in which they were accepted: most requests are there by
            // then.
            tokio::join!(reception.take_handed(handed), accepting);
        }
    }
    server.handshakes.wait_empty().await;
    server.connections.wait_empty().await;
    drop(clock);
    reception.engine.outcome()
}

/// Where sockets become connections.
struct Reception<A: Sharded> {
    app: Rc<A>,
    engine: A::Engine,
    server: Arc<ServerState>,
}

impl<A: Sharded> Reception<A> {
    async fn take_handed(&self, mut handed: mpsc::UnboundedReceiver<Handed>) {
        let draining = self.server.reached(Phase::Draining);
        tokio::pin!(draining);
        loop {
            let next = tokio::select! {
                next = handed.recv() => next,
                () = &mut draining => break,
            };
            let Some(next) = next else { break };
            // The destructors of what an application made may panic, too.
            if guarded(|| self.receive(next)).is_err() {
                // A subscriber may panic, too.
                let _ = guarded(|| tracing::error!("a handshake panicked"));
            }
        }
        // Sockets that were on their way hold slots, which go with the channel: the drain waits for them.
    }

    fn receive(&self, Handed { socket, peer, place, permit }: Handed) {
        let (app, engine) = (Rc::clone(&self.app), self.engine.clone());
        let launch = move |app: Rc<A>, established| engine.launch(&app, established);
        let candidate = Candidate { io: socket, peer, place, permit, received: Vec::new() };
        let candidate = match candidate.try_map_tcp() {
            Err(candidate) => candidate,
            Ok(candidate) => match try_immediately(&*self.app, &self.server, candidate) {
                Step::Established(established) => return self.engine.launch_std(&self.app, established),
                Step::Over => return,
                Step::Later(candidate) => candidate.map_io(Incoming::Tcp),
                Step::Refused(candidate, answer) => {
                    let Some(candidate) = registered(candidate.map_io(Incoming::Tcp)) else { return };
                    tokio::task::spawn_local(handshake::refuse(candidate, answer));
                    return;
                }
                Step::Writing(candidate, accepted, response) => {
                    let Some(candidate) = registered(candidate.map_io(Incoming::Tcp)) else { return };
                    tokio::task::spawn_local(handshake::finish(app, candidate, accepted, response, launch));
                    return;
                }
            },
        };
        if let Some(candidate) = registered(candidate) {
            tokio::task::spawn_local(handshake::run(app, candidate, launch));
        }
    }
}

fn registered(candidate: Candidate<Incoming>) -> Option<Candidate<crate::net::stream::ServerStream>> {
    candidate
        .try_map_io(Incoming::into_stream)
        .inspect_err(|error| tracing::warn!(%error, "a socket could not be registered"))
        .ok()
}
