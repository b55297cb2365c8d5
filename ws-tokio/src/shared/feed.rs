//! The feed of a connection: messages that wait elsewhere, and go out in their places among the connection's own.
//!
//! A message of the connection's own goes behind what waits in the feed at that moment. So the feed is moved to the
//! write queue first, as far as that has room; if something is left, the message is refused and waits. A message that
//! has to wait keeps the feed's mark, so that later messages of the feed do not keep it from its turn.
//!
//! All other moves are made when bytes can be written: up to a threshold, only while the transport takes bytes, and
//! only while no room is promised to a sender. What the peer does not take waits in the feed, which limits it.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{ConnectionState, error::SendError};

use super::{state::SharedState, transfer::write};
use crate::{
    feed::{Attach, Feed, Filled},
    foreign::{Foreign, run_unlocked},
    time::yield_turn,
};

/// Writes in a row, each of a new part of the feed. Then other tasks get their turns.
const WRITES_PER_POLL: usize = 4;

/// What writing has done.
pub(super) struct Written {
    /// `Ready`: what was queued before is written, or writing has failed.
    pub(super) result: Poll<()>,
    /// The queue was shorter than before for a moment at least.
    pub(super) made_room: bool,
}

impl<S> SharedState<S> {
    /// Attaches the feed that `make` makes. Returns the one that is attached. `None`: the connection is not open.
    pub(crate) fn attach(&mut self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>> {
        let driver = self.driver.as_ref().filter(|_| self.is_open())?;
        if let Some(feed) = self.feed() {
            return Some(Arc::clone(feed));
        }
        let config = driver.connection().config().clone();
        let feed = make(Attach { home: self.home(), waker: self.waiting.shared_waker(), config });
        self.rare().feed = Some(Arc::clone(&feed));
        Some(feed)
    }

    #[inline]
    pub(super) fn feed(&self) -> Option<&Arc<dyn Feed>> {
        self.rare.as_ref()?.feed.as_ref()
    }

    /// Moves what waits in the feed to the write queue, before a message of `len` bytes. Returns whether the message
    /// may follow.
    #[inline]
    pub(super) fn fill_before(&mut self, len: usize, mark: Option<u64>) -> bool {
        if self.feed().is_none() || !self.is_open() {
            return true;
        }
        // The message is refused in any case, so the feed need not take the room that is promised.
        if self.has_senders() && !self.has_room_beside_senders(len) {
            return false;
        }
        self.fill_ignoring_promises(mark)
    }

    /// As [`fill_before`](Self::fill_before), for a sender with a promise of room.
    pub(super) fn fill_ignoring_promises(&mut self, mark: Option<u64>) -> bool {
        if self.feed().is_none() {
            return true;
        }
        self.refresh_now();
        self.fill(usize::MAX, mark) == Filled::Empty
    }

    /// Moves what waits in the feed to the write queue, before a Close. What there is no room for is given up.
    pub(super) fn fill_before_close(&mut self) {
        if self.feed().is_some() {
            self.fill(usize::MAX, None);
        }
    }

    /// Notes the feed's mark for a message that was refused for the first time.
    #[inline]
    pub(super) fn mark_refusal<M>(&self, queued: &Result<(), SendError<M>>, mark: &mut Option<u64>) {
        if matches!(queued, Err(SendError::Full(_))) && mark.is_none() {
            *mark = self.feed().map(|feed| feed.mark());
        }
    }

    fn fill(&mut self, limit: usize, before: Option<u64>) -> Filled {
        let Self { rare, driver, now, .. } = self;
        let feed = rare.as_ref().and_then(|rare| rare.feed.as_ref());
        let Some((feed, driver)) = feed.zip(driver.as_mut()) else { return Filled::Empty };
        if driver.connection().state() != ConnectionState::Open {
            return Filled::Empty;
        }
        let queued = driver.queued_messages();
        let (connection, tx) = driver.parts_mut();
        let filled = feed.fill(limit, before, connection, tx, *now);
        let is_open = connection.state() == ConnectionState::Open;
        let moved = driver.queued_messages().saturating_sub(queued) as u64;
        if moved > 0 {
            self.note_accepted(moved);
            // They are written even if the message behind them is refused.
            self.wake_idle_server_task();
        }
        if !is_open {
            // The feed has closed the connection, because the peer is too slow.
            self.rare().is_cut_off = true;
            self.end_senders();
            self.waiting.wake_all();
        }
        filled
    }

    /// Moves a part of the feed to the write queue, unless what is moved would have to wait there. The feed is called
    /// in any case, because it may close the connection.
    fn fill_to_write(&mut self) {
        let Some(driver) = &self.driver else { return };
        let limit = if driver.is_blocked() || self.promised().messages() > 0 {
            0
        } else {
            driver.connection().config().transfer_until()
        };
        self.fill(limit, None);
    }

    /// Wakes the tasks that move the bytes: room that was promised may be free for the feed.
    pub(super) fn wake_for_feed(&mut self) {
        if self.feed().is_some() {
            self.waiting.wake_all();
        }
    }

    /// Tells the feed, once, that nothing more can be sent.
    #[inline]
    pub(super) fn end_feed_unless_open(&mut self) {
        if self.feed().is_some() && !self.is_open() {
            self.end_feed();
        }
    }

    #[cold]
    fn end_feed(&mut self) {
        if let Some(feed) = self.rare.as_mut().and_then(|rare| rare.feed.take()) {
            feed.ended();
            run_unlocked(Foreign::Feed(feed));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> SharedState<S> {
    /// Writes what is queued, and then what waits in the feed, until nothing is left or the transport blocks.
    #[inline]
    pub(super) fn write_out(&mut self) -> Written {
        let before = self.queued();
        if self.feed().is_some() {
            return self.write_with_feed(before);
        }
        let result = self.write_queue();
        Written { result, made_room: self.queued() < before }
    }

    fn write_with_feed(&mut self, before: usize) -> Written {
        self.fill_to_write();
        let result = self.write_queue();
        let (mut last, mut made_room) = (result, self.queued() < before);
        for _ in 1..WRITES_PER_POLL {
            if last.is_pending() {
                return Written { result, made_room };
            }
            // Senders that wait come first.
            self.promise_room();
            self.fill_to_write();
            if self.queued() == 0 {
                return Written { result, made_room };
            }
            last = self.write_queue();
            made_room |= self.queued() < before;
        }
        if last.is_ready() {
            yield_turn(&mut Context::from_waker(self.waiting.transport()));
        }
        Written { result, made_room }
    }

    fn write_queue(&mut self) -> Poll<()> {
        let Some(driver) = &mut self.driver else { return Poll::Ready(()) };
        write(driver, &mut Context::from_waker(self.waiting.transport()), self.now)
    }
}
