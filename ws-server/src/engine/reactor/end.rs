//! The end of a reactor.

use std::{io, rc::Rc};

use ws_tokio::internal::guarded;

use crate::shard::server_state::ShutdownPhase;

use super::{BuildConn, ReactorState, table::ConnTable};

/// Ends the reactor when it is dropped: because the kernel's events were lost, after a panic, or because the thread
/// ends. Without it the connections would stay registered, and a shutdown would wait for them.
pub(super) struct Ending<A: BuildConn>(pub(super) Rc<ReactorState<A>>);

impl<A: BuildConn> Drop for Ending<A> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<A: BuildConn> ReactorState<A> {
    /// An error once the reactor has ended.
    pub(super) fn outcome(&self) -> io::Result<()> {
        if self.has_ended.get() { Err(io::Error::other("a shard's event loop has ended")) } else { Ok(()) }
    }

    fn end(&self) {
        self.has_ended.set(true);
        // A server without one of its shards must end: nothing more is accepted.
        self.server.enter(ShutdownPhase::Draining);
        self.drop_expected();
        for new_conn in self.new_conns.take() {
            let _ = guarded(|| drop(new_conn));
        }
        for connection in self.connections.replace(ConnTable::new(0)).into_entries() {
            let _ = guarded(|| drop(connection));
        }
    }
}
