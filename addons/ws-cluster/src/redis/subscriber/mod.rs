//! The connections that subscribe. One task decides which topic belongs to which server; each connection has a task.

mod link;
mod probe;
mod registry;
mod requests;
mod supervisor;
mod waiters;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{commands::Commands, endpoint::Connecting, names::Names, topology::Topology};
use crate::{
    backplane::{Health, Interest},
    error::BackplaneError,
    event::EventQueue,
};
use supervisor::Supervisor;

/// Calls of `watch` that wait for the task.
const CALLS: usize = 64;

/// What all connections need.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) topology: Arc<Topology>,
    pub(super) commands: Arc<Commands>,
    pub(super) connecting: Connecting,
    pub(super) names: Names,
    pub(super) events: EventQueue,
    pub(super) probe_interval: Duration,
    pub(super) probe_timeout: Duration,
}

/// The way to the task.
#[derive(Debug)]
pub(super) struct Subscriber {
    calls: mpsc::Sender<Call>,
    health: Arc<AtomicU8>,
}

#[derive(Debug)]
enum Call {
    Watch(Interest, oneshot::Sender<Result<(), BackplaneError>>),
    Stop(oneshot::Sender<()>),
}

impl Subscriber {
    /// Starts the task. It ends with [`stop`](Self::stop) or when this value is dropped.
    pub(super) fn start(context: Context) -> Self {
        let (calls, receiver) = mpsc::channel(CALLS);
        let health = Arc::new(AtomicU8::new(code(Health::Disconnected)));
        tokio::spawn(Supervisor::new(context, receiver, Arc::clone(&health)).run());
        Self { calls, health }
    }

    pub(super) async fn watch(&self, interest: Interest) -> Result<(), BackplaneError> {
        let (reply, result) = oneshot::channel();
        self.calls.send(Call::Watch(interest, reply)).await.map_err(|_| BackplaneError::Closed)?;
        result.await.unwrap_or(Err(BackplaneError::Closed))
    }

    /// Ends the connections. Returns once they are gone.
    pub(super) async fn stop(&self) {
        let (reply, stopped) = oneshot::channel();
        if self.calls.send(Call::Stop(reply)).await.is_ok() {
            // An error says the same: the task has ended.
            let _ = stopped.await;
        }
    }

    pub(super) fn health(&self) -> Health {
        match self.health.load(Ordering::Relaxed) {
            0 => Health::Healthy,
            1 => Health::Disconnected,
            _ => Health::Deaf,
        }
    }
}

fn code(health: Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Disconnected => 1,
        Health::Deaf => 2,
    }
}
