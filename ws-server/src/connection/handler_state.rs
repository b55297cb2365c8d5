use std::sync::Arc;

use crate::shard::registration::Registration;

use super::mailbox::Mailbox;

/// What a handler's connection has beside the handler and the protocol.
pub(crate) struct HandlerState {
    pub(crate) registration: Registration,
    pub(crate) mailbox: Option<Arc<Mailbox>>,
    /// Mail is left that the connection had no room for.
    pub(crate) mail_waits: bool,
    pub(crate) opened: bool,
    /// A callback has panicked.
    pub(crate) failed: bool,
    /// The handler has heard of the end.
    pub(crate) over: bool,
    /// By the handler.
    pub(crate) paused: bool,
    /// Because the peer does not take what is written.
    pub(crate) held_back: bool,
    /// A send was refused with `WriteBusy` since the handler was last told that there is room.
    pub(crate) refused: bool,
    /// There is more to do, in another turn.
    pub(crate) again: bool,
}

impl HandlerState {
    pub(crate) const fn new(registration: Registration) -> Self {
        Self {
            registration,
            mailbox: None,
            mail_waits: false,
            opened: false,
            failed: false,
            over: false,
            paused: false,
            held_back: false,
            refused: false,
            again: false,
        }
    }
}
