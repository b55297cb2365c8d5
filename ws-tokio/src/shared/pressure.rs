//! What a slow peer leads to. A server's task looks at the end of a turn.

use super::state::SharedState;
use crate::pressure::Pressure;

impl<S> SharedState<S> {
    /// A message was refused. The first time since nothing waited, the server's task gets a turn to see it.
    pub(super) fn note_refusal(&mut self) {
        if !self.has_refused {
            self.has_refused = true;
            self.wake_idle_server_task();
        }
    }

    /// Whether the transport takes no bytes, a message was refused, or the feed has closed the connection.
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.has_refused
            || self.rare.as_ref().is_some_and(|rare| rare.is_cut_off)
            || self.driver().is_some_and(|driver| driver.is_blocked())
    }

    /// What waits for the peer, and what that has led to. That the feed has closed the connection is reported once. The
    /// feed is asked on request, as [`Pressure::add_feed`] does.
    pub(crate) fn take_pressure(&mut self, asks_feed: bool) -> Pressure {
        let mut pressure = self.driver().map(|driver| driver.pressure()).unwrap_or_default();
        self.has_refused &= pressure.queued.bytes > 0;
        pressure.refused = self.has_refused || self.has_waiting_senders();
        pressure.cut_off = self.rare.as_mut().is_some_and(|rare| std::mem::take(&mut rare.is_cut_off));
        if asks_feed && let Some(feed) = self.feed() {
            pressure.add_feed(|| feed.pressure());
        }
        pressure
    }
}
