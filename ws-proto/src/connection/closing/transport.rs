//! The end of the stream, failures of the transport, and what to do with the transport while a connection ends.

use std::{io, time::Instant};

use crate::{
    close::Initiator, connection::TransportAction, deadline::deadline_after, error::ConnectionError,
    memory::TransmitQueue, recorder::RecordedEvent, role::Role,
};

use super::{Connection, Phase};

impl Connection {
    /// The peer's stream ended at `now`; there is nothing more to read. Messages already accepted are still written as
    /// long as the peer receives them (`write_timeout`).
    pub fn handle_eof(&mut self, now: Instant) {
        self.last_received = now;
        self.observe_time(now);
        if !self.eof {
            self.observe(RecordedEvent::StreamEnded);
        }
        self.eof = true;
    }

    /// A write or a flush failed at `now`. Nothing more is written: pending sends are cut off, and new ones are
    /// refused. Bytes that the peer sent earlier can still be read, so [`wants_read`](Self::wants_read) stays true:
    /// messages are delivered and the peer's Close is reported, until the end of the stream and for at most
    /// `close_timeout`. After a failed flush call [`TransmitQueue::set_unflushed`] first, so that bytes in the
    /// transport's buffer do not count as sent.
    pub fn handle_write_error(&mut self, kind: io::ErrorKind, now: Instant, tx: &mut TransmitQueue) {
        if matches!(self.phase, Phase::Discard | Phase::Finished) {
            return self.handle_transport_error(kind, tx);
        }
        let deadline = deadline_after(now, self.config.close_timeout);
        let closing = self.begin(Initiator::Remote, Some(ConnectionError::Transport(kind)), now);
        closing.write_failed = true;
        if !closing.hurried {
            // No more writes can extend the deadline.
            (closing.hurried, closing.deadline) = (true, deadline);
        }
        self.cut_off_writes(tx);
        if self.phase == Phase::Open {
            self.phase = Phase::Receiving;
            self.end_as_held(tx);
        }
    }

    /// A read, or the transport as a whole, failed: nothing more can be read or written. For a failed write use
    /// [`handle_write_error`](Self::handle_write_error).
    pub fn handle_transport_error(&mut self, kind: io::ErrorKind, tx: &mut TransmitQueue) {
        if self.phase == Phase::Finished {
            return;
        }
        let both_closed =
            self.close_info().is_some_and(|info| info.received.is_some() && info.sent.is_some());
        let clean = both_closed && tx.is_empty();
        let error = (!clean).then_some(ConnectionError::Transport(kind));
        self.begin(Initiator::Remote, error, self.last_received);
        self.finish(tx);
    }

    /// What to do with the transport, once `tx` is written as far as possible.
    #[must_use]
    pub fn transport_action(&self, tx: &TransmitQueue) -> TransportAction {
        match self.phase {
            Phase::Finished => TransportAction::Close,
            // No Close of ours is in transit that a reset could destroy.
            Phase::Discard if self.closing.as_ref().is_some_and(|closing| closing.write_failed) => {
                TransportAction::Close
            }
            Phase::Discard if tx.is_empty() && self.outbox.is_none() => {
                let answered = self.close_info().is_some_and(|info| info.received.is_some());
                if self.eof {
                    TransportAction::Close
                } else if answered && self.role() == Role::Client {
                    // The server closes first and keeps the TIME_WAIT state (section 7.1.1).
                    TransportAction::Continue
                } else {
                    TransportAction::ShutDownWrite
                }
            }
            // Our Close is written and the stream has ended, so neither side sends anything more.
            Phase::AwaitClose if self.eof && tx.is_empty() && self.outbox.is_none() => TransportAction::Close,
            _ => TransportAction::Continue,
        }
    }
}
