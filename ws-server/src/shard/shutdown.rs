//! Graceful shutdown.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;
use ws_tokio::{Shutdown, internal::guarded};

use crate::wait::{First, first};

use super::{
    server_state::{ServerState, ShutdownPhase, ShutdownReport},
    spread::release_evenly,
};

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
    /// The shutdown continues if the future is dropped after its first poll.
    pub async fn shutdown(&self, grace: Duration) -> ShutdownReport {
        self.shutdown_with(Shutdown::new().grace(grace)).await
    }

    /// As [`shutdown`](Self::shutdown), with a code and a reason of your choice, and spread over a time, for which
    /// handshakes continue too: see [`Shutdown`]. A second call only waits; the settings of the first call count.
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_with(&self, settings: Shutdown) -> ShutdownReport {
        self.start_with(settings);
        let mut report = self.server.shutdown.report.subscribe();
        let done = report.wait_for(Option::is_some).await.map(|report| *report);
        done.ok().flatten().unwrap_or(ShutdownReport { clean: 0, unclean: 0, forced: true })
    }

    /// Starts a [`shutdown`](Self::shutdown) without waiting for its end.
    pub fn start(&self, grace: Duration) {
        self.start_with(Shutdown::new().grace(grace));
    }

    /// Starts a shutdown with [`shutdown_with`](Self::shutdown_with)'s settings, without waiting for its end.
    pub fn start_with(&self, settings: Shutdown) {
        let state = &self.server.shutdown;
        if state.settings.get_or_init(|| settings).parts().ready_delay.is_zero() {
            self.server.enter(ShutdownPhase::Draining);
        }
        // Wakers of the tasks that wait for it may run any executor's code.
        let _ = guarded(|| state.has_begun.send_replace(true));
    }

    /// Whether a shutdown has begun: the server should get no more connections. It may still accept some for
    /// [`Shutdown::ready_delay`]. For health checks; the function of
    /// [`ServerBuilder::http`](crate::ServerBuilder::http) can also ask
    /// [`Request::is_server_draining`](crate::Request::is_server_draining).
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.server.is_draining()
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
        self.server.memory_used()
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

/// Waits until the server stops accepting: at once when a shutdown begins, or after its delay.
pub(crate) async fn stop_accepting(server: &ServerState) {
    let delay = async {
        // The server owns the sender, so `wait_for` does not fail.
        let _ = server.shutdown.has_begun.subscribe().wait_for(|has_begun| *has_begun).await;
        let settings = server.shutdown.settings.get();
        tokio::time::sleep(settings.map_or(Duration::ZERO, |settings| settings.parts().ready_delay)).await;
        server.enter(ShutdownPhase::Draining);
    };
    first!(server.reached(ShutdownPhase::Draining), delay);
}

/// Closes all connections, and waits until they and all handshakes have ended. Those that are left after the grace
/// period are cut off.
pub(crate) async fn drain(server: &ServerState) -> ShutdownReport {
    // Without settings a shard has failed.
    let settings = server.shutdown.settings.get().map(Shutdown::parts);
    let (spread, grace) =
        settings.map_or_else(Default::default, |settings| (settings.spread, settings.grace));
    let before = server.ends_at_drain();
    let all_ended = async {
        server.handshakes.wait_empty().await;
        server.connections.wait_empty().await;
    };
    tokio::pin!(all_ended);
    let patience = async {
        let start = Instant::now();
        release_evenly(&server.registries(), spread).await;
        // Without connections, handshakes have the time too.
        tokio::time::sleep(spread.saturating_sub(start.elapsed())).await;
        server.end_handshakes();
        tokio::time::sleep(grace).await;
    };
    let forced = matches!(first!(&mut all_ended, patience), First::Right(()));
    server.end_handshakes();
    if forced {
        server.enter(ShutdownPhase::Forcing);
        all_ended.await;
    }
    let after = server.ends();
    let (clean, unclean) = (after.clean - before.clean, after.unclean - before.unclean);
    let report = ShutdownReport { clean, unclean, forced };
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
        let set = |report: &mut Option<_>| report.replace(report.unwrap_or(cut_off)).is_none();
        let _ = guarded(|| self.0.shutdown.report.send_if_modified(set));
    }
}
