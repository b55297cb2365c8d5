//! Reactors whose connections are doubles.

mod faults;
mod turns;

use std::{marker::PhantomData, sync::Arc};

use ws_proto::{Config, handshake::Rejection};

use super::*;
use crate::{handshake::FailOnDrop, options::Options};

/// An application whose connections are doubles of a kind.
struct Doubles<T>(PhantomData<T>);

struct Accepted;

impl FailOnDrop for Accepted {
    fn on_failure(&mut self) {}
}

impl<T: 'static> App for Doubles<T> {
    type Accepted = Accepted;

    fn protocol(hub: &Hub) -> &Arc<Config> {
        &hub.protocol
    }

    fn accept(&self, _request: &mut Request) -> Result<Accepted, Rejection> {
        Ok(Accepted)
    }
}

impl<T: Resident + 'static> Settle for Doubles<T> {
    type Resident = T;

    fn settle(&self, _: Established<Socket, Accepted>, _: &Arc<Notices>) -> Option<T> {
        None
    }
}

fn hub() -> Arc<Hub> {
    let config = Config::default().build().unwrap();
    Hub::new(Options::default(), Arc::clone(&config), config)
}

fn call(hub: &Arc<Hub>) -> Call {
    Call { notices: Arc::default(), hub: Arc::clone(hub) }
}

/// A reactor without connections.
fn shared<T: Resident + 'static>(hub: &Arc<Hub>) -> Shared<Doubles<T>> {
    Shared::new(epoll::create(CreateFlags::CLOEXEC).unwrap(), call(hub)).unwrap()
}
