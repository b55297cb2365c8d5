//! A task for each connection of a shard: for those that no reactor watches.

use std::rc::Rc;

use crate::{
    connection::BuildTask, engine::Contained, handshake::established::Established, net::stream::ServerStream,
};

#[derive(Clone)]
pub(crate) struct Tasks;

impl Tasks {
    pub(crate) fn launch<A>(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>)
    where
        A: BuildTask<ServerStream>,
    {
        if let Some(task) = app.build_task(established) {
            tokio::task::spawn_local(Contained::new(task));
        }
    }
}

/// On other systems than Linux, all connections of a shard are tasks.
#[cfg(not(target_os = "linux"))]
mod without_reactor {
    use std::{io, rc::Rc, sync::Arc};

    use super::Tasks;
    use crate::{
        connection::BuildTask,
        engine::Engine,
        handshake::established::Established,
        net::ServerStream,
        shard::{server_state::ServerState, wake::WakeTable},
    };

    impl<A: BuildTask<ServerStream>> Engine<A> for Tasks {
        type Call = ();

        fn prepare(server: &Arc<ServerState>) -> (WakeTable, ()) {
            (WakeTable::tasks(server.options.initial_connections), ())
        }

        fn start((): ()) -> io::Result<Self> {
            Ok(Self)
        }

        fn outcome(&self) -> io::Result<()> {
            Ok(())
        }

        fn launch(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>) {
            Self::launch(self, app, established);
        }

        fn launch_std(&self, app: &Rc<A>, established: Established<std::net::TcpStream, A::Accepted>) {
            let registered = established.try_map_io(tokio::net::TcpStream::from_std);
            match registered {
                Ok(established) => Self::launch(self, app, established.map_io(ServerStream::from)),
                Err(error) => tracing::warn!(%error, "a socket could not be registered"),
            }
        }
    }
}
