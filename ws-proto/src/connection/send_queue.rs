//! What a transport knows of the bytes that it took, where that decides about a deadline.
//!
//! A transport says that it takes more in large steps: the kernel's send queue may hold megabytes, and has room again only
//! once a third of it is free. So a peer that reads slowly and steadily looks like one that does not read. The transport's
//! own record of what the peer acknowledged tells them apart. It costs a system call, so it is asked for only when a
//! deadline is about to pass.

use std::time::{Duration, Instant};

use crate::{deadline::deadline_after, memory::TransmitQueue};

use super::Connection;

/// The transport is looked at so many times within the patience that a blocked peer has, for the last time of progress is
/// only known as exactly as that.
const LOOKS: u32 = 16;
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The state of a transport's send queue: what it took, and the peer's side has not acknowledged. See
/// [`Connection::watch_send_queue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendQueue {
    /// Bytes that the peer's side has acknowledged so far. Only compared with an earlier value: any other one is progress.
    pub acknowledged: u64,
    /// Bytes that the transport has taken and the peer's side has not acknowledged.
    pub unacknowledged: u64,
    /// How long the peer's side has been silent although it owes an acknowledgement. Zero if it owes none, or if it answers
    /// the probes of a full window: its system is there, be its application busy.
    pub unanswered: Duration,
}

/// The latest look at the transport.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) queue: SendQueue,
    at: Instant,
    /// The latest time at which the peer may have taken something.
    since: Instant,
}

impl Look {
    /// Whether the peer has taken nothing since the look before, and for so long.
    fn is_stuck_for(&self, patience: Duration, blocked_since: Option<Instant>) -> bool {
        let since = blocked_since.map_or(self.since, |blocked| blocked.max(self.since));
        deadline_after(since, patience) <= self.at
    }
}

impl Connection {
    /// The driver can say what the transport's send queue looks like, and is to be asked
    /// ([`wants_send_queue`](Self::wants_send_queue)). Then a peer that reads slowly is told from one that does not read, and
    /// one that vanished is noticed while nothing is read for a paused application.
    pub const fn watch_send_queue(&mut self) {
        self.watched = true;
    }

    /// Whether what is due at `now` depends on the transport's send queue: then give it to
    /// [`handle_send_queue`](Self::handle_send_queue), and call [`handle_timeout`](Self::handle_timeout) afterwards. If the
    /// queue is not given, it is not asked for again. Never true unless
    /// [`watch_send_queue`](Self::watch_send_queue) was called.
    #[must_use]
    pub fn wants_send_queue(&self, now: Instant, tx: &TransmitQueue) -> bool {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if !self.watched || self.latest_look(now).is_some() {
            return false;
        }
        if let Some(closing) = &self.closing {
            return !closing.hurried && is_due(self.closing_deadline(tx));
        }
        is_due(self.write_deadline(tx)) || (is_due(self.keepalive_deadline()) && self.is_pong_doubtful(tx))
    }

    /// The transport's send queue as of `now`.
    pub fn handle_send_queue(&mut self, queue: SendQueue, now: Instant) {
        let same = |look: &&Look| look.queue.acknowledged == queue.acknowledged;
        let since = self.look().filter(same).map_or(now, |look| look.since);
        self.optional.get_or_insert_default().look = Some(Look { queue, at: now, since });
    }

    /// Once nothing is in doubt any more.
    pub(super) fn forget_look(&mut self) {
        if let Some(optional) = &mut self.optional {
            optional.look = None;
            if optional.masks.is_none() && optional.compression.is_none() {
                self.optional = None;
            }
        }
    }

    fn look(&self) -> Option<&Look> {
        self.optional.as_ref()?.look.as_ref()
    }

    /// What was seen of the transport at `now`, if it was looked at.
    pub(super) fn latest_look(&self, now: Instant) -> Option<&Look> {
        self.look().filter(|look| look.at == now)
    }

    /// The pong that is due may wait behind our own data, or unread in front of us. Or a ping is about to join data that
    /// waits: then this look is what the next one is compared with.
    fn is_pong_doubtful(&self, tx: &TransmitQueue) -> bool {
        if self.pong_due.is_some() { self.pong_waits == 0 } else { self.has_unwritten(tx) }
    }

    pub(super) fn has_unwritten(&self, tx: &TransmitQueue) -> bool {
        !tx.is_empty() || self.outbox.is_some()
    }

    /// How long a peer may take nothing: `write_timeout`, and behind a close `close_timeout` if there is no other.
    fn write_patience(&self) -> Option<Duration> {
        let last_resort = self.closing.is_some().then_some(self.config.close_timeout);
        self.config.write_timeout.or(last_resort)
    }

    /// When a blocked transport is to be looked at, or its peer given up.
    pub(super) fn write_deadline(&self, tx: &TransmitQueue) -> Option<Instant> {
        let given_up = self.write_end(tx)?;
        let blocked = tx.blocked_since().filter(|_| self.watched);
        let (Some(blocked), Some(patience)) = (blocked, self.write_patience()) else { return Some(given_up) };
        let looked = self.look().map_or(blocked, |look| look.at.max(blocked));
        Some(given_up.min(deadline_after(looked, (patience / LOOKS).max(SHORTEST_WAIT))))
    }

    /// When the peer has taken nothing for too long.
    pub(super) fn write_end(&self, tx: &TransmitQueue) -> Option<Instant> {
        let blocked = tx.blocked_since()?;
        let since = self.look().map_or(blocked, |look| look.since.max(blocked));
        let end = deadline_after(since, self.write_patience()?);
        // Without a write timeout it may have been blocked for any time before the close.
        let whole_close = self.closing.as_ref().filter(|_| self.config.write_timeout.is_none());
        Some(whole_close.map_or(end, |closing| closing.deadline.max(end)))
    }

    /// Whether no pong within `patience` says that the peer is gone.
    pub(super) fn has_vanished(&self, patience: Duration, now: Instant, tx: &TransmitQueue) -> bool {
        let unwritten = self.has_unwritten(tx);
        let blocked = tx.blocked_since();
        let Some(look) = self.latest_look(now) else {
            let is_taking = blocked.is_none_or(|since| deadline_after(since, patience) > now);
            return !(unwritten && is_taking);
        };
        if look.queue.unanswered >= patience {
            return true;
        }
        if self.is_full() {
            // Its answer may lie unread in front of us.
            return false;
        }
        // The ping may be among what it has not taken.
        let waits = unwritten || look.queue.unacknowledged > 0;
        !waits || look.is_stuck_for(patience, blocked)
    }
}
