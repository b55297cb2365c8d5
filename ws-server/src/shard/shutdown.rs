//! Graceful shutdown.

use std::{fmt, sync::Arc, time::Duration};

use ws_tokio::internal::guarded;

use super::server_state::{ServerState, ShutdownPhase, ShutdownReport};

/// Shuts down a [`Server`](crate::Server). Cheap to clone.
#[derive(Clone)]
pub struct ShutdownHandle {
    server: Arc<ServerState>,
}

impl ShutdownHandle {
    pub(crate) const fn new(server: Arc<ServerState>) -> Self {
        Self { server }
    }

    /// Shuts the server down and waits until it has ended. The server accepts no more connections and ends handshakes
    /// that have no response yet. Every connection gets a Close 1001 and has `grace` to finish the closing handshake.
    /// Connections that are left after that are cut off. A second call only waits; the `grace` of the first call
    /// counts.
    ///
    /// # Cancel safety
    /// The shutdown goes on if the future is dropped after its first poll.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.start(grace);
        let mut report = self.server.shutdown.report.subscribe();
        let done = report.wait_for(Option::is_some).await.map(|report| *report);
        done.ok().flatten().unwrap_or(ShutdownReport { clean: 0, unclean: 0, forced: true })
    }

    /// Starts a [`shutdown`](Self::shutdown) without waiting for its end.
    pub fn start(&self, grace: Duration) {
        self.server.shutdown.grace.get_or_init(|| grace);
        self.server.enter(ShutdownPhase::Draining);
    }

    /// Connections that are open or closing.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.server.connections.active()
    }

    /// Bytes of the [`memory_budget`](crate::ServerBuilder::memory_budget) that all connections use. 0 without a
    /// budget.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.server.protocol.memory_budget().map_or(0, ws_proto::memory::MemoryBudget::used)
    }

    /// Handshakes in progress, and [`Reservation`](crate::adopt::Reservation)s.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.server.handshakes.active()
    }
}

impl fmt::Debug for ShutdownHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownHandle")
            .field("connections", &self.connections())
            .field("handshakes", &self.handshakes())
            .finish_non_exhaustive()
    }
}

/// Waits until all handshakes and connections have ended. Those that are left after the grace period are cut off.
pub(crate) async fn drain(server: &ServerState) -> ShutdownReport {
    let grace = server.shutdown.grace.get().copied().unwrap_or_default();
    let before = server.ends_at_drain();
    let all_ended = async {
        server.handshakes.wait_empty().await;
        server.connections.wait_empty().await;
    };
    tokio::pin!(all_ended);
    let forced = tokio::time::timeout(grace, &mut all_ended).await.is_err();
    if forced {
        server.enter(ShutdownPhase::Forcing);
        all_ended.await;
    }
    let after = server.ends();
    let report = ShutdownReport { clean: after.0 - before.0, unclean: after.1 - before.1, forced };
    // Wakers of the tasks that wait for it may run any executor's code.
    let _ = guarded(|| server.shutdown.report.send_replace(Some(report)));
    report
}

/// Ends a server that could not start.
pub(crate) fn end_unserved(server: &ServerState) -> ShutdownReport {
    server.enter(ShutdownPhase::Forcing);
    let report = ShutdownReport { clean: 0, unclean: 0, forced: false };
    server.shutdown.report.send_replace(Some(report));
    report
}

/// Cuts off all connections when it is dropped, also with the server's future.
pub(crate) struct ForceOnDrop(pub(crate) Arc<ServerState>);

impl Drop for ForceOnDrop {
    fn drop(&mut self) {
        self.0.enter(ShutdownPhase::Forcing);
        self.0.close_door();
        let cut_off = ShutdownReport { clean: 0, unclean: self.0.connections.active(), forced: true };
        let tell = |report: &mut Option<_>| report.replace(report.unwrap_or(cut_off)).is_none();
        let _ = guarded(|| self.0.shutdown.report.send_if_modified(tell));
    }
}
