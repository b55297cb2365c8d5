//! One thread, one single-threaded runtime, one set of buffers each. Sockets are handed to the shard with the least
//! to do: the kernel's own distribution is uneven with few connections.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc, thread};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, LocalOptions, LocalRuntime},
    sync::mpsc,
};

use crate::{
    acceptor::accept_loop,
    handshake::{self, Candidate},
    host::{Host, Sharded},
    hub::{Hub, Phase},
    server::AbortOnDrop,
    shard::{Place, Shard},
    shutdown::{ForceOnDrop, ShutdownReport, drain},
    slots::Slot,
};

/// How many tasks a shard polls before it asks the kernel for events.
const EVENT_INTERVAL: u32 = 256;

/// A socket on its way to a shard.
struct Handed {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    place: Place,
    slot: Slot,
}

struct Worker {
    shard: Arc<Shard>,
    sockets: mpsc::UnboundedSender<Handed>,
    thread: thread::JoinHandle<()>,
}

pub(crate) async fn run<A, M>(
    listener: TcpListener,
    force: ForceOnDrop,
    shards: usize,
    app: M,
) -> io::Result<ShutdownReport>
where
    A: Sharded,
    M: FnOnce() -> A + Clone + Send + 'static,
{
    let hub = Arc::clone(&force.0);
    let workers: Vec<Worker> =
        (0..shards.max(1)).map(|number| start(number, &hub, app.clone())).collect::<io::Result<_>>()?;
    accept_loop(listener, &hub, |stream, peer, slot| {
        let least = workers.iter().min_by_key(|worker| worker.shard.load());
        if let (Some(worker), Ok(stream)) = (least, stream.into_std()) {
            let place = Place::new(&worker.shard);
            // A shard lives until the drain is over.
            let _ = worker.sockets.send(Handed { stream, peer, place, slot });
        }
    })
    .await;
    let report = drain(&hub).await;
    drop(force);
    let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
    let joined =
        tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(thread::JoinHandle::join));
    match joined.await {
        Ok(Ok(())) => Ok(report),
        _ => Err(io::Error::other("a shard's thread panicked")),
    }
}

fn start<A, M>(number: usize, hub: &Arc<Hub>, app: M) -> io::Result<Worker>
where
    A: Sharded,
    M: FnOnce() -> A + Send + 'static,
{
    let (summons, call) = A::Host::prepare(hub);
    let shard = hub.new_shard(summons);
    let (sockets, handed) = mpsc::unbounded_channel();
    let thread = thread::Builder::new().name(format!("ws-shard-{number}")).spawn({
        let (shard, runtime) = (Arc::clone(&shard), build_runtime as fn() -> io::Result<LocalRuntime>);
        move || match runtime() {
            Ok(runtime) => runtime.block_on(work(shard, call, handed, app())),
            Err(error) => tracing::error!(%error, "a shard has no runtime"),
        }
    })?;
    Ok(Worker { shard, sockets, thread })
}

fn build_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .event_interval(EVENT_INTERVAL)
        .build_local(LocalOptions::default())
}

/// A shard's main task: starts a handshake for each socket that is handed over, until all is over.
async fn work<A: Sharded>(
    shard: Arc<Shard>,
    call: <A::Host as Host<A>>::Call,
    mut handed: mpsc::UnboundedReceiver<Handed>,
    app: A,
) {
    shard.configure_thread();
    let host = match A::Host::start(call) {
        Ok(host) => host,
        Err(error) => return tracing::error!(%error, "a shard cannot wait for its sockets"),
    };
    let app = Rc::new(app);
    let hub = Arc::clone(&shard.hub);
    let clock = AbortOnDrop(tokio::task::spawn_local(shard.run_clock(ws_tokio::trim_thread_pool)));
    let draining = hub.reached(Phase::Draining);
    tokio::pin!(draining);
    loop {
        let next = tokio::select! {
            next = handed.recv() => next,
            () = &mut draining => break,
        };
        let Some(Handed { stream, peer, place, slot }) = next else { break };
        match TcpStream::from_std(stream) {
            Ok(io) => {
                let candidate = Candidate { io, peer: Some(peer), place, slot };
                let host = host.clone();
                let launch = move |app: Rc<A>, established| host.launch(&app, established);
                tokio::task::spawn_local(handshake::run(Rc::clone(&app), candidate, launch));
            }
            Err(error) => tracing::warn!(%error, "a socket could not be registered"),
        }
    }
    // Sockets that were on their way hold slots; without them the drain below could not end.
    drop(handed);
    hub.handshakes.wait_empty().await;
    hub.connections.wait_empty().await;
    drop(clock);
}
