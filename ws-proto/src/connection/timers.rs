//! Deadlines. The caller passes the time; this module reads no clock.

use std::time::Instant;

use crate::{
    close::{CloseCode, CloseFrame, Initiator},
    config::Keepalive,
    deadline::deadline_after,
    error::{ConnectionError, TimedOut},
    memory::TransmitQueue,
    recorder::RecordedEvent,
};

use super::{
    Connection, UnwrittenPing,
    closing::Phase,
    inbox::End,
    pong_deadline::{PongDeadline, Waits},
};

impl Connection {
    /// When to call [`handle_timeout`](Self::handle_timeout) next, if nothing else happens. Query it after every step:
    /// while an operation is in progress it may move in either direction. From one moment at which the connection [is
    /// settled](Self::is_settled) to the next it only moves into the future, so a driver may keep an earlier timer.
    #[must_use]
    pub fn poll_timeout(&self, tx: &TransmitQueue) -> Option<Instant> {
        if self.phase == Phase::Finished {
            return None;
        }
        if self.closing.is_some() {
            return self.closing_deadline(tx);
        }
        let deadlines = [
            self.held_end_deadline(),
            self.idle_deadline(),
            self.keepalive_deadline(),
            self.write_deadline(tx),
            self.message_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Performs what is due at `now`: sends a ping, begins the close, or ends the connection.
    pub fn handle_timeout(&mut self, now: Instant, tx: &mut TransmitQueue) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if self.phase == Phase::Finished {
            return;
        }
        self.observe_time(now);
        if self.wants_send_queue(now, tx) {
            // The driver did not report the send queue, so it cannot.
            self.watched = false;
        }
        if self.closing.is_some() {
            if is_due(self.closing_deadline(tx)) {
                self.on_closing_timeout(now, tx);
            }
            return;
        }
        if is_due(self.write_end(tx)) {
            self.fail(TimedOut::Write.into(), now, tx);
            return self.finish(tx);
        }
        if is_due(self.held_end_deadline())
            && let Some((end, _)) = self.inbox.as_mut().and_then(|inbox| inbox.end.take())
        {
            return self.end(end, tx);
        }
        let was_stalled = self.was_stalled();
        if is_due(self.idle_deadline()) || is_due(self.message_deadline()) {
            self.forgive_stall(now);
        }
        if is_due(self.message_deadline()) {
            self.last_received = self.last_received.max(now);
            return self.end_or_hold(End::Failure(TimedOut::Message.into()), tx);
        }
        if is_due(self.idle_deadline()) {
            let error: ConnectionError = TimedOut::Idle.into();
            let frame = CloseFrame::new(CloseCode::GOING_AWAY, "");
            return self.start_close(Initiator::Library, Some(error), frame, now, tx);
        }
        if is_due(self.keepalive_deadline()) {
            self.on_keepalive(was_stalled, now, tx);
        }
    }

    /// The transport accepted bytes at `now`.
    #[inline]
    pub fn handle_written(&mut self, now: Instant) {
        self.observe_write(now);
        let ping = std::mem::replace(&mut self.unwritten_ping, UnwrittenPing::None);
        if ping != UnwrittenPing::Alone {
            self.last_activity = now;
        }
        if self.closing.is_some() {
            self.move_close_deadline(now);
        }
        if ping != UnwrittenPing::None
            && let (Some(_), Some(keepalive)) = (self.pong_due, self.config.keepalive)
        {
            // The peer's time to answer begins now, when the ping is written.
            self.await_pong(keepalive, now);
        }
    }

    /// A transport with a buffer of its own flushed the last of it at `now`; see [`TransmitQueue::set_unflushed`]. This
    /// extends the deadline of a close, as a write does.
    pub fn handle_flushed(&mut self, now: Instant) {
        self.observe_time(now);
        self.move_close_deadline(now);
    }

    /// `was_stalled`: reading had stopped until this moment.
    fn on_keepalive(&mut self, was_stalled: bool, now: Instant, tx: &mut TransmitQueue) {
        let Some(keepalive) = self.config.keepalive else { return };
        if self.pong_due.is_none() {
            if !self.has_unwritten(tx) {
                self.forget_queue_report();
            }
            self.queue_keepalive(tx);
        } else if let Some(left) = self.pong_waits.checked_sub(1) {
            self.pong_waits = left;
            self.observe(RecordedEvent::KeepaliveLate);
            return self.set_pong_deadline(deadline_after(now, Waits::of(keepalive).before(left)));
        } else {
            self.forgive_stall(now);
            if !was_stalled && self.has_vanished(keepalive.timeout, now, tx) {
                return self.fail(TimedOut::Keepalive.into(), now, tx);
            }
            self.observe(RecordedEvent::KeepaliveLate);
            if self.is_full() {
                // The peer's system acknowledges the ping, even if the pong stays unread on this side.
                self.queue_keepalive(tx);
            }
        }
        self.await_pong(keepalive, now);
    }

    /// Gives the peer the keepalive's `timeout` to answer, divided into [`Waits`].
    fn await_pong(&mut self, keepalive: Keepalive, now: Instant) {
        let waits = Waits::of(keepalive);
        self.pong_waits = waits.count - 1;
        self.set_pong_deadline(deadline_after(now, waits.before(self.pong_waits)));
    }

    fn set_pong_deadline(&mut self, at: Instant) {
        self.pong_due = Some(PongDeadline::after(at.saturating_duration_since(self.last_received)));
    }

    fn held_end_deadline(&self) -> Option<Instant> {
        self.inbox.as_ref()?.end.as_ref().map(|(_, deadline)| *deadline)
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let idle_timeout = self.config.idle_timeout?;
        self.wants_read().then(|| deadline_after(self.last_activity, idle_timeout))
    }

    fn message_deadline(&self) -> Option<Instant> {
        let since = self.partial.as_ref()?.since?;
        let message_timeout = self.config.message_timeout?;
        self.wants_read().then(|| deadline_after(since, message_timeout))
    }

    /// Restarts the deadlines that depend on received bytes, if reading had stopped: the peer could not make progress.
    #[inline]
    pub(super) fn forgive_stall(&mut self, now: Instant) {
        if self.stalled {
            self.forgive_noted_stall(now);
        }
    }

    #[cold]
    fn forgive_noted_stall(&mut self, now: Instant) {
        if self.was_stalled() {
            self.stalled = false;
            self.last_activity = now;
            if let Some(since) = self.partial.as_mut().and_then(|partial| partial.since.as_mut()) {
                *since = now;
            }
        }
    }

    /// Whether reading had stopped, and is resumed.
    fn was_stalled(&self) -> bool {
        self.stalled && self.wants_read()
    }

    pub(super) fn keepalive_deadline(&self) -> Option<Instant> {
        let keepalive = self.config.keepalive?;
        let wait = self.pong_due.map_or(keepalive.interval, PongDeadline::wait);
        let deadline = deadline_after(self.last_received, wait);
        // While reading has stopped, silence does not count against the peer, but the transport's send queue may.
        (self.wants_read() || (self.watched && self.is_full())).then_some(deadline)
    }
}
