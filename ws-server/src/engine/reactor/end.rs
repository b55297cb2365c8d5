//! The end of a reactor, whatever brings it about.

use std::{io, rc::Rc};

use ws_tokio::guarded;

use crate::shard::server_state::ShutdownPhase;

use crate::engine::reactor::{BuildConn, Shared, table::ConnTable};

/// Ends a reactor that runs no more: because its events are lost, because it panicked, or because its thread ends.
/// Otherwise its connections would stay as they are, and a shutdown would wait for them.
pub(super) struct Ending<A: BuildConn>(pub(super) Rc<Shared<A>>);

impl<A: BuildConn> Drop for Ending<A> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<A: BuildConn> Shared<A> {
    /// Whether the connections are still run.
    pub(super) fn outcome(&self) -> io::Result<()> {
        if self.has_ended.get() { Err(io::Error::other("a shard lost its events")) } else { Ok(()) }
    }

    fn end(&self) {
        self.has_ended.set(true);
        // A server that lacks one of its shards is none: nothing more is accepted.
        self.server.enter(ShutdownPhase::Draining);
        for arrival in self.new_conns.take() {
            let _ = guarded(|| drop(arrival));
        }
        for connection in self.connections.replace(ConnTable::new(0)).into_entries() {
            let _ = guarded(|| drop(connection));
        }
    }
}
