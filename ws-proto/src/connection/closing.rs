//! The end of a connection (RFC 6455 section 7).
//!
//! ```text
//!            close()              peer's Close
//!   Open ──────────────▶ AwaitClose ─────────┐
//!    │                        ▲ close()      │
//!    ├── failed write ───▶ Receiving ────────┤
//!    ├── close_and_receive() ─┘              ▼
//!    ├── peer's Close (echoed) ─────────▶ Discard ── end of stream ──▶ Finished
//!    ├── violation, timeout, EOF ───────▶    │                             ▲
//!    │                                       └───────── deadline ──────────┤
//!    └── transport error, abort() ─────────────────────────────────────────┘
//! ```
//! `Receiving` delivers messages until the peer's Close. `AwaitClose` parses frames only to find that Close. `Discard`
//! throws away what comes. One deadline covers all of them. It begins with the last byte of ours that the transport took:
//! before that, what was accepted goes out as long as the peer takes it, as at any other time. A peer that is at fault has
//! no such time; its deadline begins with the fault. The idle timeout closes as `close_and_receive` does.

use std::{io, time::Instant};

use crate::{
    close::{CloseCode, CloseFrame, CloseInfo, Initiator},
    deadline::deadline_after,
    error::{ConnectionError, TimedOut},
    memory::TransmitQueue,
    role::Role,
};

use super::{Connection, Flow, Transport, inbox::End, outbox::Begun};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Nothing more is accepted for sending: our Close is on its way, or writing has failed. What the peer sends before
    /// its Close is delivered.
    Receiving,
    /// Our Close is on its way; the peer's is awaited, and messages that come before it are dropped.
    AwaitClose,
    /// No frame matters any more; waiting for our bytes to be written and for the stream to end.
    Discard,
    Finished,
}

impl Phase {
    /// Whether messages that arrive are the application's.
    pub(super) const fn delivers(self) -> bool {
        matches!(self, Self::Open | Self::Receiving)
    }
}

/// What is known about the end.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) info: CloseInfo,
    pub(super) deadline: Instant,
    /// The deadline does not wait for anything to be written: the peer is at fault.
    pub(super) hurried: bool,
    /// What the peer had acknowledged when the deadline was last put off.
    acknowledged: Option<u64>,
    /// Sends that were cut off and not reported yet.
    pub(super) cut_off: usize,
    /// Nothing can be written any more.
    write_failed: bool,
    reported: bool,
}

impl Connection {
    /// Begins the closing handshake (RFC 6455 section 7.1.2). Data already accepted is sent as long as the peer takes it
    /// (`write_timeout`). Then a Close with `code` and `reason` is sent, and the peer's Close is awaited, `close_timeout` at
    /// most. Messages that are held or still come are dropped, also if [`close_and_receive`](Self::close_and_receive) began
    /// the handshake. A reason over 123 bytes is cut between characters. Does nothing else unless the connection is open.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant, tx: &mut TransmitQueue) {
        self.start_close(Initiator::Local, None, CloseFrame::new(code, reason), now, tx);
        self.drop_received();
    }

    /// As [`close`](Self::close), with an empty Close frame: no code, no reason.
    pub fn close_without_code(&mut self, now: Instant, tx: &mut TransmitQueue) {
        self.start_close(Initiator::Local, None, CloseFrame::default(), now, tx);
        self.drop_received();
    }

    /// As [`close`](Self::close), but messages are delivered until the peer's Close comes: after our Close the peer may
    /// still send (RFC 6455 section 5.5.1). While the application is paused they are held, up to `max_held_bytes`.
    pub fn close_and_receive(&mut self, code: CloseCode, reason: &str, now: Instant, tx: &mut TransmitQueue) {
        if self.phase == Phase::Open {
            self.start_close(Initiator::Local, None, CloseFrame::new(code, reason), now, tx);
            self.end_as_held(tx);
        }
    }

    /// Ends the connection with a Close that says why; nothing that waits behind other data is sent any more. For
    /// the driver, when the application fails: a panic is [`ConnectionError::Internal`], 1011.
    pub fn fail(&mut self, error: ConnectionError, now: Instant, tx: &mut TransmitQueue) {
        self.last_received = self.last_received.max(now);
        self.end(End::Failure(error), tx);
    }

    /// Ends the connection at once, without a Close frame.
    pub fn abort(&mut self, tx: &mut TransmitQueue) {
        self.inbox = None;
        if self.phase != Phase::Finished {
            self.begin(Initiator::Local, None, self.last_received);
            self.finish(tx);
        }
    }

    /// The peer's stream ended at `now`: nothing more will be read. What was accepted for sending is still written as long
    /// as the peer takes it (`write_timeout`).
    pub fn handle_eof(&mut self, now: Instant) {
        self.last_received = now;
        self.eof = true;
    }

    /// A write or a flush failed at `now`. Nothing more is written: what waits is cut off, and nothing is accepted any
    /// more. What the peer sent before it left can still be read, so [`wants_read`](Self::wants_read) stays true: messages
    /// are delivered and the peer's Close is told, until the end of the stream, `close_timeout` at most. After a failed
    /// flush call [`TransmitQueue::set_unflushed`] before, so that what the transport has kept does not count as sent.
    pub fn handle_write_error(&mut self, kind: io::ErrorKind, now: Instant, tx: &mut TransmitQueue) {
        if matches!(self.phase, Phase::Discard | Phase::Finished) {
            return self.handle_transport_error(kind, tx);
        }
        let deadline = deadline_after(now, self.config.close_timeout);
        let closing = self.begin(Initiator::Remote, Some(ConnectionError::Transport(kind)), now);
        closing.write_failed = true;
        if !closing.hurried {
            // Nothing is written any more that the deadline could wait for.
            (closing.hurried, closing.deadline) = (true, deadline);
        }
        self.cut_off_writes(tx);
        if self.phase == Phase::Open {
            self.phase = Phase::Receiving;
            self.end_as_held(tx);
        }
    }

    /// A read failed, or the transport as a whole: nothing more can be read or written. For a failed write there is
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

    /// What to do with the transport now that `tx` is written as far as possible.
    #[must_use]
    pub fn transport(&self, tx: &TransmitQueue) -> Transport {
        match self.phase {
            Phase::Finished => Transport::Finished,
            // There is no Close of ours that a reset could destroy.
            Phase::Discard if self.closing.as_ref().is_some_and(|closing| closing.write_failed) => {
                Transport::Finished
            }
            Phase::Discard if tx.is_empty() && self.outbox.is_none() => {
                let answered = self.close_info().is_some_and(|info| info.received.is_some());
                if self.eof {
                    Transport::Finished
                } else if answered && self.role() == Role::Client {
                    // The server closes first, so that TIME-WAIT is on its side (section 7.1.1).
                    Transport::Open
                } else {
                    Transport::ShutDownWrite
                }
            }
            // Behind our Close nothing more will come, from either side.
            Phase::AwaitClose if self.eof && tx.is_empty() && self.outbox.is_none() => Transport::Finished,
            _ => Transport::Open,
        }
    }

    /// `end` takes effect now, or later: behind the messages that are held for a paused application, or once it goes
    /// on.
    pub(super) fn end_or_hold(&mut self, end: End, tx: &mut TransmitQueue) {
        let behind_messages = self.inbox.as_ref().is_some_and(|inbox| inbox.has_messages());
        if self.phase == Phase::Open && (behind_messages || holds_end(self.flow, &end)) {
            self.hold_end(end);
        } else {
            self.end(end, tx);
        }
    }

    /// Puts `end` behind the held messages, if any; `close_timeout` bounds how long it waits there.
    pub(super) fn hold_end(&mut self, end: End) {
        let deadline = deadline_after(self.last_received, self.config.close_timeout);
        self.partial = None;
        self.inbox.get_or_insert_default().end.get_or_insert((end, deadline));
    }

    pub(super) fn end(&mut self, end: End, tx: &mut TransmitQueue) {
        let already_ending = matches!(self.phase, Phase::Discard | Phase::Finished);
        self.partial = None;
        match end {
            End::PeerClose(frame) if already_ending => self.note_late_close(frame),
            End::PeerClose(frame) => self.on_peer_close(frame, tx),
            End::Failure(_) if already_ending => {}
            End::Failure(error) => self.on_failure(error, tx),
        }
    }

    pub(super) fn start_close(
        &mut self,
        initiator: Initiator,
        error: Option<ConnectionError>,
        frame: CloseFrame,
        now: Instant,
        tx: &mut TransmitQueue,
    ) {
        if self.phase != Phase::Open {
            return;
        }
        self.begin(initiator, error, now);
        self.phase = Phase::Receiving;
        self.queue_close(frame, false, tx);
    }

    /// The application wants no more messages.
    fn drop_received(&mut self) {
        if self.phase == Phase::Receiving {
            self.phase = Phase::AwaitClose;
            self.inbox.take_if(|inbox| !inbox.keep_only_the_end());
        }
    }

    /// An end that was held takes effect: the application sends no replies any more that it could wait for.
    fn end_as_held(&mut self, tx: &mut TransmitQueue) {
        if let Some((end, _)) = self.inbox.as_mut().and_then(|inbox| inbox.end.take()) {
            self.end(end, tx);
        }
    }

    /// Ends everything; sends that are not written are cut off.
    pub(super) fn finish(&mut self, tx: &mut TransmitQueue) {
        self.phase = Phase::Finished;
        self.partial = None;
        self.cut_off_writes(tx);
    }

    /// Cuts off all sends that wait to be written.
    fn cut_off_writes(&mut self, tx: &mut TransmitQueue) {
        self.drop_waiting_data(tx);
        let begun = self.outbox.take().and_then(|outbox| outbox.begun);
        let unwritten = !tx.is_empty();
        let cut_off = tx.abort() + usize::from(begun.as_ref().is_some_and(Begun::notifies));
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.cut_off += cut_off;
            if unwritten {
                // A Close is always the last frame, so it was among what is cut off.
                closing.info.sent = None;
            }
        }
        if let Some(begun) = begun {
            tx.spend(begun.into_payload());
        }
    }

    /// When the end is to be forced, or the transport looked at.
    pub(super) fn closing_deadline(&self, tx: &TransmitQueue) -> Option<Instant> {
        let closing = self.closing.as_deref()?;
        let blocked = if closing.hurried { None } else { self.write_deadline(tx) };
        Some(blocked.unwrap_or(closing.deadline))
    }

    /// The transport took bytes at `now`; the last of them are our Close.
    pub(super) fn move_close_deadline(&mut self, now: Instant) {
        let deadline = deadline_after(now, self.config.close_timeout);
        if let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.hurried) {
            closing.deadline = closing.deadline.max(deadline);
        }
    }

    pub(super) fn on_closing_timeout(&mut self, now: Instant, tx: &mut TransmitQueue) {
        let hurried = self.closing.as_deref().is_some_and(|closing| closing.hurried);
        let write_end = if hurried { None } else { self.write_end(tx) };
        match write_end {
            Some(end) if end <= now => self.force_end(TimedOut::Write, tx),
            // It was looked at.
            Some(_) => {}
            None if self.still_takes_the_end(now) => self.move_close_deadline(now),
            None => self.force_end(TimedOut::Close, tx),
        }
    }

    /// Whether the peer is still taking what the transport has, and so could not have answered our Close.
    fn still_takes_the_end(&mut self, now: Instant) -> bool {
        let close_timeout = self.config.close_timeout;
        let Some(queue) = self.latest_look(now).map(|look| look.queue) else { return false };
        let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.hurried) else {
            return false;
        };
        let before = closing.acknowledged.replace(queue.acknowledged);
        let takes = before.map_or(queue.unacknowledged > 0, |before| before != queue.acknowledged);
        takes && queue.unanswered < close_timeout
    }

    fn force_end(&mut self, timeout: TimedOut, tx: &mut TransmitQueue) {
        if let Some(closing) = self.closing.as_deref_mut() {
            let info = &mut closing.info;
            let unfinished = info.received.is_none() || info.sent.is_none() || !tx.is_empty();
            if unfinished && info.error.is_none() {
                info.error = Some(timeout.into());
            }
        }
        self.finish(tx);
    }

    /// Whether [`Event::Closed`](super::Event::Closed) is due: everything else has been reported.
    pub(super) fn is_report_due(&self, tx: &TransmitQueue) -> bool {
        self.transport(tx) == Transport::Finished
            && !tx.has_completion()
            && self.closing.as_ref().is_some_and(|closing| !closing.reported && closing.cut_off == 0)
    }

    pub(super) fn take_close_report(&mut self) -> Option<CloseInfo> {
        self.phase = Phase::Finished;
        let closing = self.closing.as_deref_mut()?;
        closing.reported = true;
        Some(closing.info.clone())
    }

    fn on_peer_close(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        let ours_is_on_its_way = matches!(self.phase, Phase::Receiving | Phase::AwaitClose);
        let closing = self.begin(Initiator::Remote, None, self.last_received);
        closing.info.received = Some(frame.clone());
        self.phase = Phase::Discard;
        if ours_is_on_its_way {
            // After the peer's Close no data may follow; our Close that waited behind it goes at once.
            self.drop_waiting_data(tx);
        } else {
            self.queue_close(frame, true, tx);
        }
    }

    /// A Close that was held behind messages while the connection came to another end.
    fn note_late_close(&mut self, frame: CloseFrame) {
        if let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.reported) {
            closing.info.received.get_or_insert(frame);
        }
    }

    fn on_failure(&mut self, error: ConnectionError, tx: &mut TransmitQueue) {
        let initiator = if error.is_disconnect() { Initiator::Remote } else { Initiator::Library };
        let first = self.phase == Phase::Open;
        let code = error.close_code();
        let closing = self.begin(initiator, Some(error), self.last_received);
        // A stream that merely ended says nothing against the peer.
        closing.hurried |= code.is_some();
        self.phase = Phase::Discard;
        match code {
            Some(code) if first => {
                let reason = error.to_string();
                self.queue_close(CloseFrame::new(code, &reason), true, tx);
            }
            // At most one Close is ever sent.
            Some(_) => self.drop_waiting_data(tx),
            // The peer only half-closed: what was accepted is still delivered.
            None => {}
        }
    }

    /// Arms the deadline; notes the first error.
    fn begin(&mut self, initiator: Initiator, error: Option<ConnectionError>, now: Instant) -> &mut Closing {
        let deadline = deadline_after(now, self.config.close_timeout);
        let closing = self.closing.get_or_insert_with(|| {
            Box::new(Closing {
                info: CloseInfo::new(initiator),
                deadline,
                hurried: false,
                acknowledged: None,
                cut_off: 0,
                write_failed: false,
                reported: false,
            })
        });
        if closing.info.error.is_none() {
            closing.info.error = error;
        }
        closing
    }
}

/// Whether `end` waits for the application to go on, even if no message is held.
pub(super) const fn holds_end(flow: Flow, end: &End) -> bool {
    match flow {
        Flow::Deliver => false,
        Flow::Pause => matches!(end, End::Failure(ConnectionError::Eof)),
        Flow::Hold => true,
    }
}
