//! Reactors with test connections.

mod due;
mod faults;
mod requests;
mod schedule;

use std::{marker::PhantomData, sync::Arc};

use ws_proto::{Config, ValidConfig, handshake::Rejection};

use crate::engine::reactor::*;
use crate::{handshake::established::HandshakeFailed, options::Options};

/// An application with test connections. The tests insert them into the table themselves.
struct TestApp<T>(PhantomData<T>);

struct Accepted;

impl HandshakeFailed for Accepted {
    fn on_failure(&mut self) {}
}

impl<T: 'static> Application for TestApp<T> {
    type Accepted = Accepted;

    fn protocol(server: &ServerState) -> &ValidConfig {
        &server.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Accepted, Rejection> {
        Ok(Accepted)
    }
}

impl<T: ReactorConn + 'static> BuildConn for TestApp<T> {
    type Conn = T;

    fn build_conn(
        &self,
        _: Socket,
        _: Established<Accepted>,
        _: &Arc<WakeQueue>,
        _: &Arc<AsyncFd<OwnedFd>>,
    ) -> Option<T> {
        None
    }
}

fn server() -> Arc<ServerState> {
    let config = Config::default().validate().unwrap();
    ServerState::new(Options::default(), config.clone(), config)
}

fn seed(server: &Arc<ServerState>) -> Seed {
    Seed { wake_queue: Arc::default(), server: Arc::clone(server) }
}

/// A reactor without connections.
fn reactor<T: ReactorConn + 'static>(server: &Arc<ServerState>) -> ReactorState<TestApp<T>> {
    ReactorState::new(epoll::create(CreateFlags::CLOEXEC).unwrap(), seed(server)).unwrap()
}
