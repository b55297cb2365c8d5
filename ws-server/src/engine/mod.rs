//! Engines run the connections of a shard: as tasks, or in a reactor.

use std::{io, net::TcpStream, rc::Rc, sync::Arc};

mod accept_loop;
#[cfg(target_os = "linux")]
pub(crate) mod reactor;
pub(crate) mod tasks;
pub(crate) mod threads;

use ws_tokio::WebSocket;

use crate::{
    admission::Request,
    connection::{FunctionApp, Handler, HandlerApp},
    handshake::{
        Handshake, Unfinished,
        established::{Application, Established},
    },
    net::stream::ServerStream,
    shard::{server_state::ServerState, wake::WakeTable},
};

/// An application that can run on shards.
pub(crate) trait Sharded: Application + Sized {
    type Engine: Engine<Self>;
}

/// Runs the connections of a shard on the shard's thread, inside its runtime.
pub(crate) trait Engine<A: Application>: Clone + 'static {
    /// What [`start`](Self::start) needs. It is sent to the shard's thread.
    type Seed: Send + 'static;

    /// Creates the table of wakers before the shard's thread exists.
    fn prepare(server: &Arc<ServerState>) -> (WakeTable, Self::Seed);

    fn start(seed: Self::Seed) -> io::Result<Self>;

    /// An error if the engine has failed and runs no connections any more.
    fn outcome(&self) -> io::Result<()>;

    /// Does the handshake of an accepted socket that is not registered with the runtime, once its request arrives.
    /// Only for servers that [decide at once](crate::options::Options::decides_at_once).
    fn expect_request(&self, requests: Rc<dyn Requests<A>>, stream: TcpStream, handshake: Handshake);

    /// Starts a connection on a stream of the runtime.
    fn add_stream(&self, app: &Rc<A>, io: ServerStream, established: Established<A::Accepted>);

    /// Starts a connection on a socket that is not registered with the runtime.
    fn add_unregistered(&self, app: &Rc<A>, stream: TcpStream, established: Established<A::Accepted>);
}

/// The handshakes of a shard.
pub(crate) trait Requests<A: Application> {
    fn app(&self) -> &Rc<A>;

    /// Finishes a handshake in a task, because it cannot be done at once.
    fn finish_in_task(&self, stream: TcpStream, handshake: Unfinished<A::Accepted>);
}

impl<H: Handler> Sharded for HandlerApp<H> {
    #[cfg(target_os = "linux")]
    type Engine = reactor::Reactor<Self>;
    #[cfg(not(target_os = "linux"))]
    type Engine = tasks::Tasks;
}

impl<F, Fut> Sharded for FunctionApp<F>
where
    F: Fn(WebSocket<ServerStream>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    #[cfg(target_os = "linux")]
    type Engine = reactor::Reactor<Self>;
    #[cfg(not(target_os = "linux"))]
    type Engine = tasks::Tasks;
}
