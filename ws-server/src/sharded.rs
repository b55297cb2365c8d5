//! One thread, one single-threaded runtime, one set of buffers each. Sockets are handed to the shard with the least
//! to do: the kernel's own distribution is uneven with few connections. A shard that is alone accepts them itself.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, thread};

use tokio::{
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc,
};
use ws_tokio::guarded;

use crate::{
    acceptor::accept_loop,
    handshake::{self, AtOnce, Candidate, try_at_once},
    host::{Host, Sharded},
    hub::{Hub, Phase},
    listener::{Incoming, Listener},
    runtime,
    server::AbortOnDrop,
    shard::{Place, Shard},
    shutdown::{ForceOnDrop, ShutdownReport, drain},
    slots::Slot,
};

/// How many tasks a shard polls before it asks the kernel for events.
const EVENT_INTERVAL: u32 = 256;

/// A socket on its way to a shard.
struct Handed {
    socket: Incoming,
    peer: Option<SocketAddr>,
    place: Place,
    slot: Slot,
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
    let hub = Arc::clone(&force.0);
    let workers = if shards <= 1 {
        let worker = start(0, &hub, app, Source::Own(listener))?;
        hub.reached(Phase::Draining).await;
        vec![worker]
    } else {
        accept_for(listener, shards, &hub, app).await?
    };
    let report = drain(&hub).await;
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
    hub: &Arc<Hub>,
    app: M,
) -> io::Result<Vec<Worker>>
where
    A: Sharded,
    M: FnOnce() -> A + Clone + Send + 'static,
{
    let listener = listener.start(hub.options.expected_connections())?;
    let (mut workers, mut ways) = (Vec::new(), Vec::new());
    for number in 0..shards {
        let (way, handed) = mpsc::unbounded_channel();
        workers.push(start(number, hub, app.clone(), Source::Handed(handed))?);
        ways.push(way);
    }
    accept_loop(listener, hub, |socket, peer, slot| {
        let least = workers.iter().zip(&ways).min_by_key(|(worker, _)| worker.shard.load());
        if let Some((worker, way)) = least {
            let place = Place::new(&worker.shard);
            // A shard lives until the drain is over.
            let _ = way.send(Handed { socket, peer, place, slot });
        }
    })
    .await;
    Ok(workers)
}

fn panicked() -> io::Error {
    io::Error::other("a shard's thread panicked")
}

fn start<A, M>(number: usize, hub: &Arc<Hub>, app: M, source: Source) -> io::Result<Worker>
where
    A: Sharded,
    M: FnOnce() -> A + Send + 'static,
{
    let (summons, call) = A::Host::prepare(hub);
    let shard = hub.new_shard(summons);
    let thread = thread::Builder::new().name(format!("ws-shard-{number}")).spawn({
        let (shard, runtime) = (Arc::clone(&shard), build_runtime as fn() -> io::Result<LocalRuntime>);
        let hub = Arc::clone(hub);
        move || {
            let work = || runtime().and_then(|runtime| runtime.block_on(work(shard, call, source, app())));
            let worked = guarded(work).unwrap_or_else(|_| Err(panicked()));
            // A server that lacks one of its shards is none.
            worked.inspect_err(|_| hub.enter(Phase::Draining))
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
    call: <A::Host as Host<A>>::Call,
    source: Source,
    app: A,
) -> io::Result<()> {
    shard.configure_thread();
    let host = A::Host::start(call)?;
    let hub = Arc::clone(&shard.hub);
    let clock =
        AbortOnDrop(tokio::task::spawn_local(Arc::clone(&shard).run_clock(ws_tokio::trim_thread_pool)));
    let reception = Reception { app: Rc::new(app), host, hub: Arc::clone(&hub) };
    match source {
        Source::Handed(handed) => reception.take_handed(handed).await,
        Source::Own(listener) => {
            let (way, handed) = mpsc::unbounded_channel();
            let accepting = accept_loop(
                listener.start(hub.options.expected_connections())?,
                &hub,
                |socket, peer, slot| {
                    let _ = way.send(Handed { socket, peer, place: Place::new(&shard), slot });
                },
            );
            // Sockets are looked at in the turn after the one in which they were accepted: most requests are there by
            // then.
            tokio::join!(reception.take_handed(handed), accepting);
        }
    }
    hub.handshakes.wait_empty().await;
    hub.connections.wait_empty().await;
    drop(clock);
    reception.host.outcome()
}

/// Where sockets become connections.
struct Reception<A: Sharded> {
    app: Rc<A>,
    host: A::Host,
    hub: Arc<Hub>,
}

impl<A: Sharded> Reception<A> {
    async fn take_handed(&self, mut handed: mpsc::UnboundedReceiver<Handed>) {
        let draining = self.hub.reached(Phase::Draining);
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

    fn receive(&self, Handed { socket, peer, place, slot }: Handed) {
        let (app, host) = (Rc::clone(&self.app), self.host.clone());
        let launch = move |app: Rc<A>, established| host.launch(&app, established);
        let candidate = Candidate { io: socket, peer, place, slot, received: Vec::new() };
        let candidate = match candidate.try_map_tcp() {
            Err(candidate) => candidate,
            Ok(candidate) => match try_at_once(&*self.app, &self.hub, candidate) {
                AtOnce::Established(established) => return self.host.launch_at_once(&self.app, established),
                AtOnce::Over => return,
                AtOnce::Later(candidate) => candidate.map_io(Incoming::Tcp),
                AtOnce::Refused(candidate, answer) => {
                    let Some(candidate) = registered(candidate.map_io(Incoming::Tcp)) else { return };
                    tokio::task::spawn_local(handshake::refuse(candidate, answer));
                    return;
                }
                AtOnce::Writing(candidate, accepted, response) => {
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

fn registered(candidate: Candidate<Incoming>) -> Option<Candidate<crate::stream::ServerStream>> {
    candidate
        .try_map_io(Incoming::into_stream)
        .inspect_err(|error| tracing::warn!(%error, "a socket could not be registered"))
        .ok()
}
