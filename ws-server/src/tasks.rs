//! A task for each connection of a shard: for those that no reactor watches.

use std::rc::Rc;

use crate::{
    app::{Connect, Established},
    contained::Contained,
    stream::ServerStream,
};

#[derive(Clone)]
pub(crate) struct Tasks;

impl Tasks {
    pub(crate) fn launch<A>(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>)
    where
        A: Connect<ServerStream>,
    {
        if let Some(task) = app.connect(established) {
            tokio::task::spawn_local(Contained::new(task));
        }
    }
}

/// Elsewhere than on Linux all are.
#[cfg(not(target_os = "linux"))]
mod host {
    use std::{io, rc::Rc, sync::Arc};

    use super::Tasks;
    use crate::{
        app::{Connect, Established},
        host::Host,
        hub::Hub,
        stream::ServerStream,
        summons::Summons,
    };

    impl<A: Connect<ServerStream>> Host<A> for Tasks {
        type Call = ();

        fn prepare(hub: &Arc<Hub>) -> (Summons, ()) {
            (Summons::tasks(hub.options.initial_connections), ())
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

        fn launch_at_once(&self, app: &Rc<A>, established: Established<std::net::TcpStream, A::Accepted>) {
            let registered = established.try_map_io(tokio::net::TcpStream::from_std);
            match registered {
                Ok(established) => Self::launch(self, app, established.map_io(ServerStream::from)),
                Err(error) => tracing::warn!(%error, "a socket could not be registered"),
            }
        }
    }
}
