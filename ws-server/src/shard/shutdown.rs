//! The end of a server.

use std::{sync::Arc, time::Duration};

use ws_tokio::guarded;

use super::server_state::{ServerState, ShutdownPhase, ShutdownReport};

/// Ends a [`Server`](crate::Server). Cheap to clone.
#[derive(Clone)]
pub struct ShutdownHandle {
    server: Arc<ServerState>,
}

impl ShutdownHandle {
    pub(crate) const fn new(server: Arc<ServerState>) -> Self {
        Self { server }
    }

    /// Ends the server: nothing more is accepted, handshakes without an answer are ended, every connection gets a Close
    /// 1001 and `grace` to finish the closing handshake; whoever is left is cut off. Returns when all is over. Calling
    /// it again only waits; the first call's `grace` counts.
    ///
    /// # Cancel safety
    /// The shutdown goes on if the future is dropped after its first poll.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.start(grace);
        let mut report = self.server.shutdown.report.subscribe();
        let done = report.wait_for(Option::is_some).await.map(|report| *report);
        done.ok().flatten().unwrap_or(ShutdownReport { clean: 0, unclean: 0, forced: true })
    }

    /// As [`shutdown`](Self::shutdown), without waiting.
    pub fn start(&self, grace: Duration) {
        self.server.shutdown.grace.get_or_init(|| grace);
        self.server.enter(ShutdownPhase::Draining);
    }

    /// Connections that are open or closing.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.server.connections.active()
    }

    /// Bytes that the connections hold together, of their
    /// [`memory_budget`](crate::ServerBuilder::memory_budget); 0 without one.
    #[must_use]
    pub fn memory_held(&self) -> usize {
        self.server.protocol.memory_budget.as_ref().map_or(0, ws_proto::MemoryBudget::used)
    }

    /// Handshakes that are under way.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.server.handshakes.active()
    }
}

/// Waits until everybody has left, and cuts off whoever has not by the end of the grace period.
pub(crate) async fn drain(server: &ServerState) -> ShutdownReport {
    let grace = server.shutdown.grace.get().copied().unwrap_or_default();
    let before = server.ends_at_drain();
    let everybody = async {
        server.handshakes.wait_empty().await;
        server.connections.wait_empty().await;
    };
    tokio::pin!(everybody);
    let forced = tokio::time::timeout(grace, &mut everybody).await.is_err();
    if forced {
        server.enter(ShutdownPhase::Forcing);
        everybody.await;
    }
    let after = server.ends();
    let report = ShutdownReport { clean: after.0 - before.0, unclean: after.1 - before.1, forced };
    // The tasks that wait for it may have wakers of any executor.
    let _ = guarded(|| server.shutdown.report.send_replace(Some(report)));
    report
}

/// The end of a server that could not begin.
pub(crate) fn end_unserved(server: &ServerState) -> ShutdownReport {
    server.enter(ShutdownPhase::Forcing);
    let report = ShutdownReport { clean: 0, unclean: 0, forced: false };
    server.shutdown.report.send_replace(Some(report));
    report
}

/// Cuts everybody off if the server's future is dropped.
pub(crate) struct ForceOnDrop(pub(crate) Arc<ServerState>);

impl Drop for ForceOnDrop {
    fn drop(&mut self) {
        self.0.enter(ShutdownPhase::Forcing);
        let cut_off = ShutdownReport { clean: 0, unclean: self.0.connections.active(), forced: true };
        let tell = |report: &mut Option<_>| report.replace(report.unwrap_or(cut_off)).is_none();
        let _ = guarded(|| self.0.shutdown.report.send_if_modified(tell));
    }
}
