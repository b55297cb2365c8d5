//! Which tasks move the bytes.

use std::pin::Pin;

use tokio::time::Sleep;

use crate::feed::OnReactor;

/// Which tasks move the bytes.
pub(crate) enum Mode<S> {
    /// The tasks that poll a handle.
    Inline {
        /// For the connection's deadlines. `None` until there is one.
        timer: Option<Pin<Box<Sleep>>>,
        /// The number of messages that were accepted so far.
        accepted: u64,
    },
    /// The server's task that runs the application's future. It writes at the end of each turn and watches the
    /// deadlines.
    ServerTask(ServerTask<S>),
}

/// A server's task, as its connection sees it.
pub(crate) struct ServerTask<S> {
    pub(super) turn: Turn,
    /// The application waits in `recv`, whose polls read.
    pub(super) is_receiving: bool,
    /// Reads of this turn.
    pub(super) reads: u8,
    /// Writes of this turn, for an application that waits for room in the write queue.
    pub(super) writes: u8,
    /// Set if a reactor runs the connection.
    pub(super) reactor: Option<OnReactor<S>>,
}

/// What a server's task is doing. Other tasks may use the connection at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits.
    Idle,
    /// It polls the application's future. Messages are queued and not written.
    Application,
    /// It moves bytes.
    Transport,
}

impl<S> Default for ServerTask<S> {
    fn default() -> Self {
        Self { turn: Turn::Idle, is_receiving: false, reads: 0, writes: 0, reactor: None }
    }
}
