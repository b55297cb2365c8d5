//! What only some connections have: events, pings that are timed, a feed, and how the connection ended.

use std::sync::Arc;

use ws_proto::{CloseInfo, Connection};

use super::wakers::Wakers;
use crate::{feed::Feed, pings::PendingPings};

#[derive(Default)]
pub(crate) struct Rare {
    /// Set at the end.
    pub(super) close_info: Option<CloseInfo>,
    /// The application receives control frames, so they are held with the messages.
    pub(super) wants_events: bool,
    /// The application has received the peer's Close.
    pub(super) close_taken: bool,
    /// Present once a ping was timed.
    pub(super) pings: Option<PendingPings>,
    /// Present while the connection is open, once one is attached.
    pub(super) feed: Option<Arc<dyn Feed>>,
}

/// Notes a pong that was received.
pub(super) fn on_pong(rare: &mut Option<Box<Rare>>, waiting: &Wakers, payload: &[u8]) {
    if let Some(pings) = rare.as_mut().and_then(|rare| rare.pings.as_mut())
        && pings.on_pong(payload)
    {
        // The task of an owner that drives the connection is among them.
        waiting.wake_all();
    }
}

/// Returns whether control frames are held with the messages. Without `auto_pong` they always are: only the application
/// answers pings, so it must be able to receive all of them.
pub(super) fn holds_control(rare: &Option<Box<Rare>>, connection: &Connection) -> bool {
    rare.as_ref().is_some_and(|rare| rare.wants_events) || !connection.config().auto_pong
}
