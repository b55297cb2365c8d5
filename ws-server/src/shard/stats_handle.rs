use std::{fmt, sync::Arc};

use crate::measure::ServerStats;

use super::server_state::ServerState;

/// Reads the statistics of a [`Server`](crate::Server), from [`Server::stats_handle`](crate::Server::stats_handle).
/// Cheap to clone, and usable in every task and thread, also after the end of the server.
#[derive(Clone)]
pub struct StatsHandle {
    server: Arc<ServerState>,
}

impl StatsHandle {
    pub(crate) const fn new(server: Arc<ServerState>) -> Self {
        Self { server }
    }

    /// Sums up what the server has counted so far. It reads some hundreds of counters and waits for no connection: call
    /// it some times per second, not per message.
    #[must_use]
    pub fn snapshot(&self) -> ServerStats {
        self.server.stats()
    }
}

impl fmt::Debug for StatsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatsHandle").finish_non_exhaustive()
    }
}
