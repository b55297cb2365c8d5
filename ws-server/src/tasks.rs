//! A shard without a reactor: elsewhere than on Linux.

use std::{io, rc::Rc};

use tokio::net::TcpStream;

use crate::{
    app::{Connect, Established},
    host::Host,
    hub::Hub,
    stream::ServerStream,
    summons::Summons,
};

/// A task for each connection.
#[derive(Clone)]
pub(crate) struct Tasks;

impl<A: Connect<ServerStream>> Host<A> for Tasks {
    type Call = ();

    fn prepare(hub: &Hub) -> (Summons, ()) {
        (Summons::tasks(hub.options.initial_connections), ())
    }

    fn start((): ()) -> io::Result<Self> {
        Ok(Self)
    }

    fn launch(&self, app: &Rc<A>, established: Established<TcpStream, A::Accepted>) {
        if let Some(task) = app.connect(established.map_io(ServerStream::from)) {
            tokio::task::spawn_local(task);
        }
    }
}
