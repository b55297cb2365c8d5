//! Connections as tokio tasks: all of a server on the caller's runtime, and those of a shard that no reactor runs.

use std::{rc::Rc, sync::Arc};

use tokio::runtime::Handle;

use crate::{
    connection::BuildTask,
    handshake::{self, GuardedFuture, Handshake, established::Established},
    net::{
        listener::{Incoming, Listener},
        runtime,
        stream::{Detached, ServerStream},
    },
    shard::{
        AbortOnDrop, LoadShare, Shard, ShutdownReport,
        adoption::{Adoption, Door},
        shutdown::{ForceOnDrop, drain, end_unserved, stop_accepting},
        wake::WakeTable,
    },
    wait::both,
};

use super::accept_loop::accept_loop;

/// Runs a server on the caller's runtime until its shutdown is complete.
pub(crate) async fn run<A>(listener: Option<Listener>, force: ForceOnDrop, app: A) -> ShutdownReport
where
    A: BuildTask<ServerStream> + Send + Sync,
    A::Accepted: Send,
    A::Task: Send,
{
    let (server, app) = (Arc::clone(&force.0), Arc::new(app));
    if let Err(error) = runtime::check() {
        tracing::error!(%error, "the server needs a tokio runtime with timers");
        return end_unserved(&server);
    }
    let shard = Shard::new(Arc::clone(&server), WakeTable::tasks(server.options.initial_connections));
    let clock =
        AbortOnDrop(tokio::spawn(Arc::clone(&shard).run_clock(ws_tokio::internal::trim_default_pools)));
    let started = listener.map(|listener| listener.start(server.options.expected_connections()));
    let listener = match started.transpose() {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "registering the listener with the runtime failed");
            return end_unserved(&server);
        }
    };
    server.open_door(door(&app, &shard));
    let on_accepted = |socket: Incoming, peer, permit| {
        let io = match socket.into_stream() {
            Ok(io) => io,
            Err(error) => return server.note_lost_socket(&error),
        };
        let handshake = Handshake::new(peer, LoadShare::new(&shard), permit);
        let start = |app: Arc<A>, io, established| spawn_connection(&*app, io, established);
        tokio::spawn(handshake::run(Arc::clone(&app), io, handshake, start));
    };
    let accepting = async {
        if let Some(listener) = listener {
            accept_loop(listener, &server, on_accepted).await;
        }
    };
    both!(accepting, stop_accepting(&server));
    let report = drain(&server).await;
    drop((clock, force));
    report
}

/// Starts a connection as a task of this runtime.
fn spawn_connection<A>(app: &A, io: ServerStream, established: Established<A::Accepted>)
where
    A: BuildTask<ServerStream>,
    A::Task: Send,
{
    if let Some(task) = app.build_task(io, established) {
        tokio::spawn(GuardedFuture::new(task));
    }
}

/// Adopts connections in this runtime, as long as the server runs.
fn door<A>(app: &Arc<A>, shard: &Arc<Shard>) -> Door
where
    A: BuildTask<ServerStream> + Send + Sync,
    A::Accepted: Send,
    A::Task: Send,
{
    // The state of the server owns the door, so the door must not own the shard, nor the application.
    let (app, shard, runtime) = (Arc::downgrade(app), Arc::downgrade(shard), Handle::current());
    Arc::new(move |adoption: Box<Adoption>| {
        let Some((shard, app)) = shard.upgrade().zip(app.upgrade()) else { return };
        let server = Arc::clone(&shard.server);
        let start = move |app: Arc<A>, stream: Detached, established| {
            let io = match stream.attach() {
                Ok(io) => io,
                Err(error) => return server.note_lost_socket(&error),
            };
            spawn_connection(&*app, io, established);
        };
        let adopting = handshake::adopt(app, adoption, LoadShare::new(&shard), start);
        runtime.spawn(GuardedFuture::new(Box::pin(adopting)));
    })
}

/// Runs each connection of a shard as a task of the shard's thread.
#[derive(Clone)]
pub(crate) struct Tasks;

impl Tasks {
    pub(crate) fn spawn<A>(&self, app: &Rc<A>, io: ServerStream, established: Established<A::Accepted>)
    where
        A: BuildTask<ServerStream>,
    {
        if let Some(task) = app.build_task(io, established) {
            tokio::task::spawn_local(GuardedFuture::new(task));
        }
    }
}

/// There is no reactor on systems other than Linux. All connections of a shard are tasks.
#[cfg(not(target_os = "linux"))]
mod without_reactor {
    use std::{io, net::TcpStream, rc::Rc, sync::Arc};

    use super::Tasks;
    use crate::{
        connection::BuildTask,
        engine::{Engine, Requests},
        handshake::{Handshake, Step, established::Established, try_immediately},
        net::ServerStream,
        shard::{server_state::ServerState, wake::WakeTable},
    };

    impl<A: BuildTask<ServerStream>> Engine<A> for Tasks {
        type Seed = ();

        fn prepare(server: &Arc<ServerState>) -> (WakeTable, ()) {
            (WakeTable::tasks(server.options.initial_connections), ())
        }

        fn start((): ()) -> io::Result<Self> {
            Ok(Self)
        }

        fn outcome(&self) -> io::Result<()> {
            Ok(())
        }

        fn expect_request(&self, requests: Rc<dyn Requests<A>>, stream: TcpStream, handshake: Handshake) {
            let (app, server) = (requests.app(), Arc::clone(&handshake.load.shard().server));
            match try_immediately(&**app, &server, &stream, handshake, None) {
                Step::Established { established, .. } => self.add_unregistered(app, stream, established),
                Step::Unfinished(handshake) => requests.finish_in_task(stream, handshake),
                Step::Gone => {}
            }
        }

        fn add_stream(&self, app: &Rc<A>, io: ServerStream, established: Established<A::Accepted>) {
            self.spawn(app, io, established);
        }

        fn add_unregistered(&self, app: &Rc<A>, stream: TcpStream, established: Established<A::Accepted>) {
            match tokio::net::TcpStream::from_std(stream) {
                Ok(stream) => self.spawn(app, stream.into(), established),
                Err(error) => established.registration.shard().server.note_lost_socket(&error),
            }
        }
    }
}
