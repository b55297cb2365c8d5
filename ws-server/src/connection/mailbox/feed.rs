//! The feed of a handler's connection: messages that wait elsewhere, and go out among those of the mailbox and the
//! handler.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use ws_proto::{Connection, ConnectionState, TransmitQueue};
use ws_tokio::internal::{Attach, Feed, Filled, Foreign, run_unlocked};

use super::{Mailbox, State};

impl Mailbox {
    /// Whether a feed was attached.
    #[inline]
    pub(in crate::connection) fn has_feed(&self) -> bool {
        self.has_feed.load(Ordering::Relaxed)
    }

    /// Attaches the feed that `make` makes, or returns the one that is attached. `None`: the connection is not open.
    pub(super) fn attach_feed(&self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>> {
        // Made without the lock: it may clone an executor's waker.
        let waker = self.waker.to_waker();
        let mut state = self.lock();
        if !state.is_open() {
            run_unlocked(Foreign::Waker(waker));
            return None;
        }
        if let Some(feed) = &state.feed {
            run_unlocked(Foreign::Waker(waker));
            return Some(Arc::clone(feed));
        }
        let feed = make(Attach { home: self.waker.home(), waker, config: self.config.clone() });
        state.feed = Some(Arc::clone(&feed));
        self.has_feed.store(true, Ordering::Relaxed);
        Some(feed)
    }

    /// Moves what waits in the feed to the connection, before a message of its handler. Messages of the mailbox are
    /// moved only where they come before messages of the feed. `More`: there is no room for all of it.
    pub(in crate::connection) fn transfer_feed(
        &self,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        let mut state = self.lock();
        let filled = state.transfer_feed(connection, tx, now);
        self.promise_room(&mut state);
        self.press_if_cut_off(&state);
        filled
    }

    /// Whether a message of the handler very likely has room behind what waits in the feed.
    pub(in crate::connection) fn has_room_behind_feed(
        &self,
        connection: &Connection,
        tx: &TransmitQueue,
    ) -> bool {
        // The feed holds at most half of what the write queue takes.
        let queued = connection.queued(tx);
        queued.bytes < self.transfer_until() && queued.messages <= self.config.write_queue_messages / 4
    }
}

impl State {
    /// The feed's mark of this moment.
    pub(super) fn feed_mark(&self) -> u64 {
        self.feed.as_ref().map_or(0, |feed| feed.mark())
    }

    /// Moves what waits in the feed before the next message of the mailbox, or before the close if there is none.
    #[inline]
    pub(super) fn fill_before_next(
        &mut self,
        until: usize,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        if self.feed.is_none() {
            return Filled::Empty;
        }
        let before = self.messages.first_mark().or_else(|| self.close_mark());
        self.fill(until, before, connection, tx, now)
    }

    fn transfer_feed(&mut self, connection: &mut Connection, tx: &mut TransmitQueue, now: Instant) -> Filled {
        let close = self.close_mark();
        // With the limit 0, nothing is moved.
        while self.fill(0, close, connection, tx, now) == Filled::More {
            if self.fill_before_next(usize::MAX, connection, tx, now) == Filled::More {
                return Filled::More;
            }
            if self.messages.is_empty() {
                break;
            }
            if self.fill(0, close, connection, tx, now) == Filled::More
                && self.transfer_one(connection, tx) == Filled::More
            {
                return Filled::More;
            }
        }
        Filled::Empty
    }

    fn fill(
        &mut self,
        until: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        match &self.feed {
            Some(feed) if connection.state() == ConnectionState::Open => {
                let filled = feed.fill(until, before, connection, tx, now);
                self.is_cut_off |= connection.state() != ConnectionState::Open;
                filled
            }
            _ => Filled::Empty,
        }
    }

    /// Tells the feed, once, that nothing more can be sent.
    pub(super) fn end_feed(&mut self) {
        if let Some(feed) = self.feed.take() {
            feed.ended();
            run_unlocked(Foreign::Feed(feed));
        }
    }

    fn close_mark(&self) -> Option<u64> {
        self.rare.as_ref()?.close.as_ref().map(|close| close.mark)
    }
}
