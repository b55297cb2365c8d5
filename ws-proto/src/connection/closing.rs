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
//! drops received bytes. One deadline covers all three. It counts from the last of our bytes that the transport
//! accepted; until then accepted messages are written as long as the peer receives them, as at any other time. If the
//! peer is at fault, the deadline counts from the fault. The idle timeout closes like `close_and_receive`.

mod transport;

use std::time::Instant;

use crate::{
    close::{CloseCode, CloseFrame, CloseInfo, Initiator},
    deadline::deadline_after,
    error::{ConnectionError, TimedOut},
    memory::TransmitQueue,
    recorder::RecordedEvent,
};

use super::{Connection, Flow, TransportAction, inbox::End, outbox::Begun};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// Sends are refused: our Close is queued or written, or writing has failed. Messages before the peer's Close are
    /// delivered.
    Receiving,
    /// Our Close is queued or written. Messages before the peer's Close are dropped.
    AwaitClose,
    /// Received bytes are dropped. Our bytes are still written, and the end of the stream is awaited.
    Discard,
    Finished,
}

impl Phase {
    /// Whether received messages go to the application.
    pub(super) const fn delivers(self) -> bool {
        matches!(self, Self::Open | Self::Receiving)
    }
}

/// The state of a connection that is ending.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) info: CloseInfo,
    pub(super) deadline: Instant,
    /// The peer is at fault, so the deadline does not wait for pending writes.
    pub(super) hurried: bool,
    /// Bytes that the peer had acknowledged when the deadline was last extended.
    acknowledged: Option<u64>,
    /// Sends that were cut off and are not reported yet.
    pub(super) cut_off: usize,
    /// A write has failed; nothing more can be written.
    write_failed: bool,
    reported: bool,
}

impl Connection {
    /// Begins the closing handshake (RFC 6455 section 7.1.2). Messages already accepted are written first, as long as
    /// the peer receives them (`write_timeout`). Then a Close with `code` and `reason` is written, and the peer's Close
    /// is awaited for at most `close_timeout`. A reason over 123 bytes is cut between characters.
    ///
    /// Messages that are held or are received from now on are dropped, even if
    /// [`close_and_receive`](Self::close_and_receive) began the handshake. If the connection is not open, that is all
    /// this does.
    pub fn close(&mut self, code: CloseCode, reason: &str, now: Instant, tx: &mut TransmitQueue) {
        self.start_close(Initiator::Local, None, CloseFrame::new(code, reason), now, tx);
        self.drop_received();
    }

    /// As [`close`](Self::close), with an empty Close frame: no code, no reason. The peer sees the code 1005 (RFC 6455
    /// section 7.1.5).
    pub fn close_without_code(&mut self, now: Instant, tx: &mut TransmitQueue) {
        self.start_close(Initiator::Local, None, CloseFrame::default(), now, tx);
        self.drop_received();
    }

    /// As [`close`](Self::close), but messages are delivered until the peer's Close arrives: the peer may still send
    /// after our Close (RFC 6455 section 5.5.1). While the application is paused they are held, up to `max_held_bytes`.
    pub fn close_and_receive(&mut self, code: CloseCode, reason: &str, now: Instant, tx: &mut TransmitQueue) {
        self.send_close_and_receive(CloseFrame::new(code, reason), now, tx);
    }

    /// As [`close_and_receive`](Self::close_and_receive), with an empty Close frame: no code, no reason.
    pub fn close_without_code_and_receive(&mut self, now: Instant, tx: &mut TransmitQueue) {
        self.send_close_and_receive(CloseFrame::default(), now, tx);
    }

    fn send_close_and_receive(&mut self, frame: CloseFrame, now: Instant, tx: &mut TransmitQueue) {
        if self.phase == Phase::Open {
            self.start_close(Initiator::Local, None, frame, now, tx);
            self.end_as_held(tx);
        }
    }

    /// Ends the connection with a Close for `error`. Messages that are not encoded yet are dropped. A driver calls this
    /// when the application fails; for a panic the error is [`ConnectionError::Internal`], code 1011.
    pub fn fail(&mut self, error: ConnectionError, now: Instant, tx: &mut TransmitQueue) {
        self.last_received = self.last_received.max(now);
        self.end(End::Failure(error), tx);
    }

    /// Ends the connection at once, without a Close frame.
    pub fn abort(&mut self, tx: &mut TransmitQueue) {
        self.inbox = None;
        if self.phase != Phase::Finished {
            self.observe(RecordedEvent::Aborted);
            self.begin(Initiator::Local, None, self.last_received);
            self.finish(tx);
        }
    }

    /// Ends the connection now, or later: after the held messages are delivered, or when the application resumes.
    pub(super) fn end_or_hold(&mut self, end: End, tx: &mut TransmitQueue) {
        let paused = self.is_paused();
        let behind_messages =
            self.inbox.as_ref().is_some_and(|inbox| inbox.has_messages() || (paused && inbox.is_lending()));
        if self.phase == Phase::Open && (behind_messages || holds_end(self.flow, &end)) {
            self.hold_end(end);
        } else {
            self.end(end, tx);
        }
    }

    /// Holds `end` after the held messages, if any, for at most `close_timeout`.
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
        if initiator == Initiator::Local {
            self.observe(RecordedEvent::CloseRequested { code: frame.code });
        }
        self.phase = Phase::Receiving;
        self.queue_close(frame, tx);
    }

    /// Drops held messages and those still to come.
    fn drop_received(&mut self) {
        if self.phase == Phase::Receiving {
            self.phase = Phase::AwaitClose;
            self.inbox.take_if(|inbox| !inbox.keep_only_the_end());
        }
    }

    /// Lets a held end take effect: the application sends no more replies for which it was held.
    fn end_as_held(&mut self, tx: &mut TransmitQueue) {
        if let Some((end, _)) = self.inbox.as_mut().and_then(|inbox| inbox.end.take()) {
            self.end(end, tx);
        }
    }

    /// Ends the connection and cuts off sends that are not written.
    pub(super) fn finish(&mut self, tx: &mut TransmitQueue) {
        self.phase = Phase::Finished;
        self.partial = None;
        self.cut_off_writes(tx);
    }

    /// Cuts off all sends that wait to be written.
    fn cut_off_writes(&mut self, tx: &mut TransmitQueue) {
        self.drop_waiting_data(tx);
        self.observe_cut_off(tx);
        let begun = self.outbox.take().and_then(|outbox| outbox.begun);
        let unwritten = !tx.is_empty();
        let cut_off = tx.abort() + usize::from(begun.as_ref().is_some_and(Begun::notifies));
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.cut_off += cut_off;
            if unwritten {
                // A Close is always the last frame, so it is among the unwritten bytes.
                closing.info.sent = None;
            }
        }
        if let Some(begun) = begun {
            tx.spend(begun.into_payload());
        }
    }

    /// When to force the end or query the transport's send queue.
    pub(super) fn closing_deadline(&self, tx: &TransmitQueue) -> Option<Instant> {
        let closing = self.closing.as_deref()?;
        let blocked = if closing.hurried { None } else { self.write_deadline(tx) };
        Some(blocked.unwrap_or(closing.deadline))
    }

    /// Extends the deadline: the transport accepted bytes at `now`, and our Close is the last of them.
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
            // Only the query of the send queue was due.
            Some(_) => {}
            None if self.still_takes_the_end(now) => self.move_close_deadline(now),
            None => self.force_end(TimedOut::Close, tx),
        }
    }

    /// Whether the peer is still receiving from the transport's send queue. If so, our Close may not have reached it.
    fn still_takes_the_end(&mut self, now: Instant) -> bool {
        let close_timeout = self.config.close_timeout;
        let Some(queue) = self.latest_queue_report(now).map(|report| report.queue) else { return false };
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
                self.observe(RecordedEvent::Failed(timeout.into()));
            }
        }
        self.finish(tx);
    }

    /// Whether [`Event::Closed`](super::Event::Closed) is due: all completions have been reported.
    pub(super) fn is_report_due(&self, tx: &TransmitQueue) -> bool {
        self.transport_action(tx) == TransportAction::Close
            && !tx.has_completion()
            && self.closing.as_ref().is_some_and(|closing| !closing.reported && closing.cut_off == 0)
    }

    pub(super) fn take_close_report(&mut self, tx: &TransmitQueue) -> Option<CloseInfo> {
        self.phase = Phase::Finished;
        self.observe(RecordedEvent::Ended);
        let trace = self.trace(tx);
        let closing = self.closing.as_deref_mut()?;
        closing.info.trace = trace;
        closing.reported = true;
        Some(closing.info.clone())
    }

    fn on_peer_close(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        let ours_is_on_its_way = matches!(self.phase, Phase::Receiving | Phase::AwaitClose);
        let closing = self.begin(Initiator::Remote, None, self.last_received);
        closing.info.received = Some(frame.clone());
        self.phase = Phase::Discard;
        if ours_is_on_its_way {
            // No data may follow the peer's Close, so our queued Close goes out at once.
            self.drop_waiting_data(tx);
        } else {
            self.queue_close_at_once(frame, tx);
        }
    }

    /// Records a Close that was held after messages while the connection ended in another way.
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
        // The end of the stream alone is not the peer's fault.
        closing.hurried |= code.is_some();
        self.phase = Phase::Discard;
        match code {
            Some(code) if first => {
                let reason = error.close_reason();
                self.queue_close_at_once(CloseFrame::new(code, &reason), tx);
            }
            // Only one Close is ever sent.
            Some(_) => self.drop_waiting_data(tx),
            // The peer may only have half-closed, so accepted messages are still written.
            None => {}
        }
    }

    /// Sets the deadline, if none is set, and records the first error.
    fn begin(&mut self, initiator: Initiator, error: Option<ConnectionError>, now: Instant) -> &mut Closing {
        self.observe_time(now);
        if let Some(error) = error {
            self.observe(RecordedEvent::Failed(error));
        }
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

/// Whether `end` is held until the application resumes, even if no message is held.
pub(super) const fn holds_end(flow: Flow, end: &End) -> bool {
    match flow {
        Flow::Deliver => false,
        Flow::Pause => matches!(end, End::Failure(ConnectionError::Eof)),
        Flow::Hold => true,
    }
}
