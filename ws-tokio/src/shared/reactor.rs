//! Connections that a reactor of the server runs.

use super::{
    mode::{Mode, ServerTask},
    state::SharedState,
};
use crate::{
    driver::Driver,
    feed::{Home, OnReactor},
};

impl<S> SharedState<S> {
    pub(crate) const fn set_reactor(&mut self, home: Home, release: fn(S) -> S) {
        if let Mode::ServerTask(task) = &mut self.mode {
            task.reactor = Some(OnReactor { home, release });
        }
    }

    pub(super) const fn home(&self) -> Option<Home> {
        match &self.mode {
            Mode::ServerTask(ServerTask { reactor: Some(reactor), .. }) => Some(reactor.home),
            _ => None,
        }
    }

    /// Makes the transport one that the application can use outside of the connection.
    pub(super) fn release_transport(&self, driver: Driver<S>) -> Driver<S> {
        match &self.mode {
            Mode::ServerTask(ServerTask { reactor: Some(reactor), .. }) => driver.map_io(reactor.release),
            _ => driver,
        }
    }
}
