//! What runs the connections of a shard that has a thread of its own.

use std::{io, rc::Rc, sync::Arc};

use crate::{
    app::{App, Established},
    hub::Hub,
    stream::ServerStream,
    summons::Summons,
};

/// An application that can run on shards.
pub(crate) trait Sharded: App + Sized {
    type Host: Host<Self>;
}

/// Runs connections, on the shard's thread and inside its runtime.
pub(crate) trait Host<A: App>: Clone + 'static {
    /// What it shares with its summons.
    type Call: Send + 'static;

    /// How its connections are called; made before the thread is.
    fn prepare(hub: &Arc<Hub>) -> (Summons, Self::Call);

    fn start(call: Self::Call) -> io::Result<Self>;

    /// Whether it still runs connections.
    fn outcome(&self) -> io::Result<()>;

    fn launch(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>);

    /// A connection that the runtime has never heard of.
    fn launch_at_once(&self, app: &Rc<A>, established: Established<std::net::TcpStream, A::Accepted>);
}
