//! What runs the connections of a shard that has a thread of its own.

use std::{io, rc::Rc, sync::Arc};

pub(crate) mod accept_loop;
mod contained;
#[cfg(target_os = "linux")]
pub(crate) mod reactor;
pub(crate) mod tasks;
pub(crate) mod threads;

pub(crate) use contained::Contained;

use ws_tokio::WebSocket;

use crate::{
    admission::Request,
    connection::{FunctionApp, Handler, HandlerApp},
    handshake::established::{Application, Established},
    net::stream::ServerStream,
    shard::{server_state::ServerState, wake::WakeTable},
};

/// An application that can run on shards.
pub(crate) trait Sharded: Application + Sized {
    type Engine: Engine<Self>;
}

/// Runs connections, on the shard's thread and inside its runtime.
pub(crate) trait Engine<A: Application>: Clone + 'static {
    /// What it shares with its summons.
    type Call: Send + 'static;

    /// How its connections are called; made before the thread is.
    fn prepare(server: &Arc<ServerState>) -> (WakeTable, Self::Call);

    fn start(call: Self::Call) -> io::Result<Self>;

    /// Whether it still runs connections.
    fn outcome(&self) -> io::Result<()>;

    fn launch(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>);

    /// A connection that the runtime has never heard of.
    fn launch_std(&self, app: &Rc<A>, established: Established<std::net::TcpStream, A::Accepted>);
}

impl<H: Handler + Unpin> Sharded for HandlerApp<H> {
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
