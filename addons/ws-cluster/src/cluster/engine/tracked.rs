//! The state of one topic.

use std::sync::Arc;

use tokio::sync::oneshot;
use ws_server::topics::Beginning;

use super::{Hold, Refusal, Watched, log::Log};
use crate::Position;

#[derive(Debug)]
pub(super) struct Tracked {
    /// Differs each time that the topic is tracked, so that late answers are recognised.
    pub(super) generation: u64,
    pub(super) watch: Watch,
    /// Set if it is logged.
    pub(super) log: Option<Log>,
    /// The newest position that the topic in this process has from the log.
    pub(super) appended: Option<Position>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) is_lingering: bool,
    /// A part of its log is being read.
    pub(super) is_reading: bool,
    /// Its log is read for a waiter that goes back further.
    pub(super) is_reaching: bool,
    /// It is known that the history cannot reach back to this position.
    pub(super) unreachable: Option<Position>,
    hold: Hold,
}

/// A call that waits until the topic is watched.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) since: Option<Beginning>,
    /// The log was read again for it, because it knows a later position than this node.
    pub(super) has_caught_up: bool,
    pub(super) reply: oneshot::Sender<Result<Watched, Refusal>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// The broker is to be asked.
    Wanted,
    /// The broker was asked.
    Asked,
    /// The broker delivers the topic.
    Active,
}

impl Tracked {
    pub(super) fn new(generation: u64, is_logged: bool, at: Option<Position>) -> Self {
        Self {
            generation,
            watch: Watch::Wanted,
            log: is_logged.then(|| Log::new(at)),
            appended: at,
            waiters: Vec::new(),
            is_lingering: false,
            is_reading: false,
            is_reaching: false,
            unreachable: None,
            hold: Hold(Arc::new(())),
        }
    }

    /// The answer to a waiter.
    pub(super) fn watched(&self) -> Watched {
        Watched { at: self.appended, _hold: self.hold.clone() }
    }

    /// Whether calls need it watched.
    pub(super) fn is_held(&self) -> bool {
        Arc::strong_count(&self.hold.0) > 1 || self.waiters.iter().any(|waiter| !waiter.reply.is_closed())
    }
}
