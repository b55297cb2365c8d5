//! What most connections do not have, apart from the rest to keep that small: events, pings that are timed, a feed,
//! senders that wait, and how the connection ended.

use std::sync::Arc;

use ws_proto::{CloseInfo, Connection};

use super::waiting::Waiting;
use crate::{driver::Driver, feed::Feed, pings::PendingPings, wait_list::WaitList};

pub(crate) struct Rare<S> {
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
    /// The feed has closed the connection. A server looks at it.
    pub(super) is_cut_off: bool,
    /// Senders that wait for room in the write queue.
    pub(super) senders: WaitList,
    /// Tasks that wait until nothing more can be sent. They do not move bytes.
    pub(crate) closed_waiters: WaitList,
    /// Dropped after the lock is released, because its transport has a destructor.
    pub(super) ended_driver: Option<Box<Driver<S>>>,
}

impl<S> Default for Rare<S> {
    fn default() -> Self {
        Self {
            close_info: None,
            wants_events: false,
            close_taken: false,
            pings: None,
            feed: None,
            is_cut_off: false,
            senders: WaitList::new(),
            closed_waiters: WaitList::new(),
            ended_driver: None,
        }
    }
}

/// Notes a pong that was received.
pub(super) fn on_pong<S>(rare: &mut Option<Box<Rare<S>>>, waiting: &mut Waiting, payload: &[u8]) {
    if let Some(pings) = rare.as_mut().and_then(|rare| rare.pings.as_mut())
        && pings.on_pong(payload)
    {
        // The task of an owner that drives the connection is among them.
        waiting.wake_all();
    }
}

/// Returns whether control frames are held with the messages. Without `auto_pong` they always are: only the application
/// answers pings, so it must be able to receive all of them.
pub(super) fn holds_control<S>(rare: &Option<Box<Rare<S>>>, connection: &Connection) -> bool {
    rare.as_ref().is_some_and(|rare| rare.wants_events) || !connection.config().auto_pong
}
