//! The transport's send queue, and the deadlines that depend on it.
//!
//! A transport becomes writable in large steps: the kernel's send queue may hold megabytes, and accepts more only once
//! a third of it is free. So a peer that reads slowly and steadily looks like one that does not read. The transport's
//! record of acknowledged bytes distinguishes them. Reading it costs a system call, so it is queried only when a
//! deadline is due.

use std::time::{Duration, Instant};

use crate::{deadline::deadline_after, memory::TransmitQueue};

use super::Connection;

/// How many times the send queue is queried within the time limit of a blocked peer. The time of the last progress is
/// known only to this resolution.
const QUERIES: u32 = 16;
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The state of a transport's send queue: the bytes that it accepted and the peer's system has not acknowledged. See
/// [`Connection::watch_send_queue`]. A driver fills each field, so the fields are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendQueue {
    /// Bytes that the peer's system has acknowledged so far. It is only compared with an earlier value: any difference
    /// is progress.
    pub acknowledged: u64,
    /// Bytes that the transport has accepted and the peer's system has not acknowledged.
    pub unacknowledged: u64,
    /// How long the peer's system has owed an acknowledgement without sending anything. Zero if it owes none, or if it
    /// answers the probes of a full window: then the system is alive, even if its application is busy.
    pub unanswered: Duration,
}

/// The latest report of the transport's send queue.
#[derive(Debug)]
pub(super) struct QueueReport {
    pub(super) queue: SendQueue,
    at: Instant,
    /// The latest time at which the peer may have received bytes.
    since: Instant,
}

impl QueueReport {
    /// Whether the peer has received nothing for `patience`, as of this report.
    fn is_stuck_for(&self, patience: Duration, blocked_since: Option<Instant>) -> bool {
        let since = blocked_since.map_or(self.since, |blocked| blocked.max(self.since));
        deadline_after(since, patience) <= self.at
    }
}

impl Connection {
    /// Declares that the driver can report the transport's send queue when [`wants_send_queue`](Self::wants_send_queue)
    /// asks for it. With these reports the connection distinguishes a peer that reads slowly from one that does not
    /// read, and detects a vanished peer while reading has stopped for a paused application.
    pub const fn watch_send_queue(&mut self) {
        self.watched = true;
    }

    /// Whether a deadline that is due at `now` depends on the transport's send queue. If true, report the queue with
    /// [`handle_send_queue`](Self::handle_send_queue), then call [`handle_timeout`](Self::handle_timeout). A driver
    /// that calls `handle_timeout` without a report is not asked again. Never true before
    /// [`watch_send_queue`](Self::watch_send_queue).
    #[must_use]
    pub fn wants_send_queue(&self, now: Instant, tx: &TransmitQueue) -> bool {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if !self.watched || self.latest_queue_report(now).is_some() {
            return false;
        }
        if let Some(closing) = &self.closing {
            return !closing.hurried && is_due(self.closing_deadline(tx));
        }
        is_due(self.write_deadline(tx)) || (is_due(self.keepalive_deadline()) && self.is_pong_doubtful(tx))
    }

    /// Reports the transport's send queue as of `now`.
    pub fn handle_send_queue(&mut self, queue: SendQueue, now: Instant) {
        let same = |report: &&QueueReport| report.queue.acknowledged == queue.acknowledged;
        let since = self.queue_report().filter(same).map_or(now, |report| report.since);
        let report = QueueReport { queue, at: now, since };
        self.rare.get_or_insert_default().queue_report = Some(Box::new(report));
    }

    /// Drops the latest report; no deadline depends on it.
    pub(super) fn forget_queue_report(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.queue_report = None;
            if rare.is_empty() {
                self.rare = None;
            }
        }
    }

    fn queue_report(&self) -> Option<&QueueReport> {
        self.rare.as_ref()?.queue_report.as_deref()
    }

    /// The report of `now`, if there is one.
    pub(super) fn latest_queue_report(&self, now: Instant) -> Option<&QueueReport> {
        self.queue_report().filter(|report| report.at == now)
    }

    /// Whether the peer's silence needs the send queue to interpret: the due pong may be delayed by our own pending
    /// data, or be unread on this side. If a ping is about to follow pending data, the report is the baseline for the
    /// next one.
    fn is_pong_doubtful(&self, tx: &TransmitQueue) -> bool {
        if self.pong_due.is_some() { self.pong_waits == 0 } else { self.has_unwritten(tx) }
    }

    pub(super) fn has_unwritten(&self, tx: &TransmitQueue) -> bool {
        !tx.is_empty() || self.outbox.is_some()
    }

    /// How long a peer may receive nothing: `write_timeout`. Without it there is no limit, but after a close
    /// `close_timeout` applies.
    fn write_patience(&self) -> Option<Duration> {
        let last_resort = self.closing.is_some().then_some(self.config.close_timeout);
        self.config.write_timeout.or(last_resort)
    }

    /// When to query the send queue of a blocked transport, or to end the connection.
    pub(super) fn write_deadline(&self, tx: &TransmitQueue) -> Option<Instant> {
        let given_up = self.write_end(tx)?;
        let blocked = tx.blocked_since().filter(|_| self.watched);
        let (Some(blocked), Some(patience)) = (blocked, self.write_patience()) else { return Some(given_up) };
        let looked = self.queue_report().map_or(blocked, |report| report.at.max(blocked));
        Some(given_up.min(deadline_after(looked, (patience / QUERIES).max(SHORTEST_WAIT))))
    }

    /// When the connection ends because the peer has received nothing for too long.
    pub(super) fn write_end(&self, tx: &TransmitQueue) -> Option<Instant> {
        let blocked = tx.blocked_since()?;
        let since = self.queue_report().map_or(blocked, |report| report.since.max(blocked));
        let end = deadline_after(since, self.write_patience()?);
        // Without a write timeout the transport may have been blocked for any time before the close.
        let whole_close = self.closing.as_ref().filter(|_| self.config.write_timeout.is_none());
        Some(whole_close.map_or(end, |closing| closing.deadline.max(end)))
    }

    /// Whether the peer counts as vanished because no pong came within `patience`.
    pub(super) fn has_vanished(&self, patience: Duration, now: Instant, tx: &TransmitQueue) -> bool {
        let unwritten = self.has_unwritten(tx);
        let blocked = tx.blocked_since();
        let Some(report) = self.latest_queue_report(now) else {
            let is_taking = blocked.is_none_or(|since| deadline_after(since, patience) > now);
            return !(unwritten && is_taking);
        };
        if report.queue.unanswered >= patience {
            return true;
        }
        if self.is_full() {
            // The pong may be unread on this side.
            return false;
        }
        // The peer may not have received the ping yet.
        let waits = unwritten || report.queue.unacknowledged > 0;
        !waits || report.is_stuck_for(patience, blocked)
    }
}
