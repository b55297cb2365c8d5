//! Reactors whose connections are doubles.

mod faults;
mod schedule;

use std::{marker::PhantomData, sync::Arc};

use ws_proto::{Config, handshake::Rejection};

use crate::engine::reactor::*;
use crate::{handshake::established::HandshakeFailed, options::Options};

/// An application whose connections are doubles of a kind.
struct Doubles<T>(PhantomData<T>);

struct Accepted;

impl HandshakeFailed for Accepted {
    fn on_failure(&mut self) {}
}

impl<T: 'static> Application for Doubles<T> {
    type Accepted = Accepted;

    fn protocol(server: &ServerState) -> &Arc<Config> {
        &server.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Accepted, Rejection> {
        Ok(Accepted)
    }
}

impl<T: ReactorConn + 'static> BuildConn for Doubles<T> {
    type Conn = T;

    fn build_conn(&self, _: Socket, _: Established<Accepted>, _: &Arc<WakeQueue>) -> Option<T> {
        None
    }
}

fn server() -> Arc<ServerState> {
    let config = Config::default().build().unwrap();
    ServerState::new(Options::default(), Arc::clone(&config), config)
}

fn seed(server: &Arc<ServerState>) -> Seed {
    Seed { wake_queue: Arc::default(), server: Arc::clone(server) }
}

/// A reactor without connections.
fn shared<T: ReactorConn + 'static>(server: &Arc<ServerState>) -> Shared<Doubles<T>> {
    Shared::new(epoll::create(CreateFlags::CLOEXEC).unwrap(), seed(server)).unwrap()
}
