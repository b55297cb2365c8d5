//! The end of a reactor, whatever brings it about.

use std::{io, rc::Rc};

use ws_tokio::guarded;

use crate::hub::Phase;

use super::{Settle, Shared, pages::Pages};

/// Ends a reactor that runs no more: because its events are lost, because it panicked, or because its thread ends.
/// Otherwise its connections would stay as they are, and a shutdown would wait for them.
pub(super) struct Ending<A: Settle>(pub(super) Rc<Shared<A>>);

impl<A: Settle> Drop for Ending<A> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<A: Settle> Shared<A> {
    /// Whether the connections are still run.
    pub(super) fn outcome(&self) -> io::Result<()> {
        if self.has_ended.get() { Err(io::Error::other("a shard lost its events")) } else { Ok(()) }
    }

    fn end(&self) {
        self.has_ended.set(true);
        // A server that lacks one of its shards is none: nothing more is accepted.
        self.hub.enter(Phase::Draining);
        for arrival in self.arrivals.take() {
            let _ = guarded(|| drop(arrival));
        }
        for connection in self.connections.replace(Pages::new(0)).into_entries() {
            let _ = guarded(|| drop(connection));
        }
    }
}
