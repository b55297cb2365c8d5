//! What a slow peer leads to. The connection looks at the end of a turn.

use std::sync::atomic::Ordering;

use ws_tokio::internal::{Locked, Pressure};

use super::{Mailbox, State};

impl Mailbox {
    /// Whether a message was refused here, or the feed has closed the connection.
    #[inline]
    pub(in crate::connection) fn is_pressed(&self) -> bool {
        self.is_pressed.load(Ordering::Relaxed)
    }

    /// Adds what waits here, and what that has led to. That the feed has closed the connection is reported once. The
    /// feed is asked on request, as [`Pressure::add_feed`] does.
    pub(in crate::connection) fn take_pressure(&self, pressure: &mut Pressure, asks_feed: bool) {
        let mut state = self.lock();
        pressure.add_waiting(state.backlog.messages(), state.backlog.bytes());
        state.has_refused &= pressure.queued.bytes > 0;
        pressure.refused |= state.has_refused || state.senders.has_waiting();
        pressure.cut_off |= std::mem::take(&mut state.is_cut_off);
        self.is_pressed.store(state.has_refused, Ordering::Relaxed);
        if asks_feed && let Some(feed) = &state.feed {
            pressure.add_feed(|| feed.pressure());
        }
    }

    /// A message was refused. The first time since nothing waited, the connection gets a turn to see it.
    pub(super) fn press(&self, mut state: Locked<'_, State>) {
        if !state.has_refused {
            state.has_refused = true;
            self.is_pressed.store(true, Ordering::Relaxed);
            self.unlock_and_wake(state);
        }
    }

    pub(super) fn press_if_cut_off(&self, state: &State) {
        if state.is_cut_off {
            self.is_pressed.store(true, Ordering::Relaxed);
        }
    }
}
