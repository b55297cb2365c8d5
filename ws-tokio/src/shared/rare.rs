//! What only some connections have: events, pings that are timed, and how the connection ended.

use ws_proto::CloseInfo;

use super::{state::SharedState, wakers::Wakers};
use crate::pings::PendingPings;

#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// Set at the end.
    pub(super) close_info: Option<CloseInfo>,
    /// The application receives control frames, so they are held with the messages.
    pub(super) wants_events: bool,
    /// The application has received the peer's Close.
    pub(super) close_taken: bool,
    /// Present once a ping was timed.
    pub(super) pings: Option<PendingPings>,
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

/// Returns whether control frames are held with the messages.
pub(super) fn holds_control(rare: &Option<Box<Rare>>) -> bool {
    rare.as_ref().is_some_and(|rare| rare.wants_events)
}

impl<S> SharedState<S> {
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// How the connection is ending or has ended.
    pub(super) fn end_so_far(&self) -> Option<&CloseInfo> {
        match &self.driver {
            Some(driver) => driver.connection().close_info(),
            None => self.close_info(),
        }
    }

    /// Wakes the tasks that wait for pongs: none will come.
    pub(super) fn end_pings(&mut self) {
        if let Some(pings) = self.rare.as_mut().and_then(|rare| rare.pings.as_mut()) {
            pings.end();
        }
    }
}
