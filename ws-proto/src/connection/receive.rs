//! Turns received bytes into events (RFC 6455 sections 5.2 to 5.5 and 6.2).

use std::time::Instant;

use crate::{
    close::CloseFrame,
    error::{ConnectionError, LimitExceeded},
    frame::OpCode,
    memory::{ReceiveBuffer, TransmitQueue},
    message::MessageKind,
    recorder::RecordedEvent,
};

use super::{
    Connection, Event,
    closing::{Phase, holds_end},
    event::{At, Located, Step},
    fast_path::FastMessage,
    inbox::End,
    partial::{DIRECT_READ_AT_MOST, DIRECT_READ_FROM, large_message},
};

const SECOND_IN_MICROS: u32 = 1_000_000;

impl Connection {
    /// Takes received bytes, for a driver that has them already: the bytes behind a handshake, or those of a transport
    /// that returns buffers of its own. They are copied. A driver that reads from a socket saves that copy with
    /// [`read_target`](Self::read_target) and [`handle_received`](Self::handle_received), of which this is the short
    /// form.
    ///
    /// Returns the number of bytes taken, which is smaller than `bytes` if the receive buffer has no more room, and 0
    /// while [`wants_read`](Self::wants_read) is false. Drain [`poll_event`](Self::poll_event), then pass the rest.
    ///
    /// ```
    /// # use std::time::Instant;
    /// # use ws_proto::{Connection, Event, ReceiveBuffer, TransmitQueue};
    /// /// Returns what the connection does not take: it has ended, or the application has paused it.
    /// fn receive_all<'a>(
    ///     connection: &mut Connection,
    ///     mut bytes: &'a [u8],
    ///     rx: &mut ReceiveBuffer,
    ///     tx: &mut TransmitQueue,
    ///     mut on_event: impl FnMut(Event<'_>),
    /// ) -> &'a [u8] {
    ///     loop {
    ///         let taken = connection.receive(bytes, Instant::now(), rx);
    ///         bytes = &bytes[taken..];
    ///         while let Some(event) = connection.poll_event(rx, tx) {
    ///             on_event(event);
    ///         }
    ///         if bytes.is_empty() || taken == 0 && !connection.wants_turn() {
    ///             return bytes;
    ///         }
    ///     }
    /// }
    /// # let mut connection = Connection::server(ws_proto::Config::default().validate()?, Instant::now());
    /// # let (mut rx, mut tx) = (ReceiveBuffer::default(), TransmitQueue::new());
    /// # let mut frames = b"\x82\xfe\x80\x00\0\0\0\0".to_vec();
    /// # frames.resize(8 + 0x8000, 7);
    /// # let frames = frames.repeat(20);
    /// # let mut messages = 0;
    /// # assert!(receive_all(&mut connection, &frames, &mut rx, &mut tx, |_| messages += 1).is_empty());
    /// # assert_eq!(messages, 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive(&mut self, bytes: &[u8], now: Instant, rx: &mut ReceiveBuffer) -> usize {
        if bytes.is_empty() || !self.wants_read() {
            return 0;
        }
        let target = self.read_target(rx);
        let taken = target.len().min(bytes.len());
        target[..taken].copy_from_slice(&bytes[..taken]);
        self.handle_received(taken, now, rx);
        taken
    }

    /// The memory to read into: spare room of the receive buffer or, in the middle of a large message, that message's
    /// own buffer. Report the number of bytes read with [`handle_received`](Self::handle_received). A driver that has
    /// the bytes already passes them to [`receive`](Self::receive).
    ///
    /// Call it only when [`poll_event`](Self::poll_event) has returned `None`.
    #[inline]
    pub fn read_target<'a>(&'a mut self, rx: &'a mut ReceiveBuffer) -> &'a mut [u8] {
        if self.reads_into_window() { rx.spare_mut() } else { self.any_read_target(rx) }
    }

    fn any_read_target<'a>(&'a mut self, rx: &'a mut ReceiveBuffer) -> &'a mut [u8] {
        if self.expected_large() > 0 && !self.reads_directly(rx) {
            self.open_large_window(rx);
        }
        let most = self.len_of_whole_messages(rx);
        if self.reads_directly(rx)
            && let Some((frame, message)) = large_message(&mut self.partial)
        {
            return message.buffer.spare_mut(frame.remaining.min(DIRECT_READ_AT_MOST));
        }
        let room = rx.spare_mut();
        let len = room.len().min(most);
        &mut room[..len]
    }

    /// `n` bytes were read into the [`read_target`](Self::read_target) at `now`.
    #[inline]
    pub fn handle_received(&mut self, n: usize, now: Instant, rx: &mut ReceiveBuffer) {
        if self.control_frames > 0 {
            self.age_control_frames(now);
        }
        self.last_received = now;
        self.pong_due = None;
        self.observe_read(n, now);
        self.forgive_stall(now);
        if self.reads_into_window() { rx.commit(n) } else { self.commit_any(n, rx) }
    }

    /// Whether the next read goes into the window, and may fill it: no message has begun, and the latest ones
    /// do not say how long the next will be.
    #[inline]
    fn reads_into_window(&self) -> bool {
        self.partial.is_none() && self.rare.as_ref().is_none_or(|rare| rare.expects_nothing())
    }

    fn commit_any(&mut self, n: usize, rx: &mut ReceiveBuffer) {
        if self.reads_directly(rx)
            && let Some((frame, message)) = large_message(&mut self.partial)
        {
            let n = n.min(frame.remaining);
            let start = message.buffer.len();
            message.buffer.commit(n);
            frame.remaining -= n;
            frame.unmask(message.buffer.tail_mut(start));
            let verdict = message.validate_from(start);
            self.note_activity();
            if let Err(error) = verdict {
                self.hold_end(End::Failure(error.into()));
            }
        } else {
            if self.expected_large() > 0 {
                self.expect_no_large();
            }
            rx.commit(n);
        }
    }

    /// Returns the next event, or `None` if more bytes or a [`resume`](Self::resume) are needed.
    ///
    /// The event borrows only `rx`, so the connection and `tx` can be used while it is alive. Answers that the protocol
    /// requires (pongs, the Close) are queued before the event is returned.
    #[inline]
    pub fn poll_event<'rx>(
        &mut self,
        rx: &'rx mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Event<'rx>> {
        if self.is_drained(rx, tx) {
            return None;
        }
        if self.delivers_fast()
            && let Some(FastMessage { kind, start, len }) = self.fast_message(rx, tx)
        {
            let at = At::Window { start, len };
            return Some(Event::Message(at.message(kind, self.config.validate_utf8, rx)));
        }
        self.poll_any_event(rx, tx)
    }

    #[inline(never)]
    fn poll_any_event<'rx>(
        &mut self,
        rx: &'rx mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Event<'rx>> {
        Some(match self.locate_or_charge(rx, tx)? {
            Located::Message(kind, at) => Event::Message(at.message(kind, self.config.validate_utf8, rx)),
            Located::Ping(at) => Event::Ping(at.bytes(rx)),
            Located::Pong(at) => Event::Pong(at.bytes(rx)),
            Located::Closed => Event::Closed(self.take_close_report(tx)?),
        })
    }

    #[inline]
    fn locate_or_charge(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Option<Located> {
        let located = self.locate(rx, tx);
        if located.is_none() {
            self.update_charge(tx);
        }
        located
    }

    fn locate(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Option<Located> {
        loop {
            if self.inbox.is_some()
                && let Some(located) = self.next_held(rx, tx)
            {
                return Some(located);
            }
            match self.phase {
                Phase::Open | Phase::Receiving | Phase::AwaitClose => {}
                Phase::Discard | Phase::Finished => {
                    rx.discard();
                    let delivered = self.inbox.is_none();
                    return (delivered && self.is_report_due(tx)).then_some(Located::Closed);
                }
            }
            if self.is_paused() {
                self.hold_fast(rx, tx);
            }
            let step = if self.ends_held() { Ok(Step::NeedMore) } else { self.step(rx) };
            match step {
                Ok(Step::Continue) => {}
                Ok(Step::Yield) => return None,
                // More bytes were set aside; move them into the window next.
                Ok(Step::NeedMore) if self.wants_turn() => rx.rewind(),
                Ok(Step::NeedMore) if self.ends_held() => {
                    rx.discard();
                    return None;
                }
                Ok(Step::NeedMore) => {
                    rx.rewind();
                    if !self.eof {
                        return None;
                    }
                    self.end_or_hold(End::Failure(ConnectionError::Eof), tx);
                }
                Ok(Step::Message(kind, at)) => {
                    if let Some(located) = self.deliver(kind, at, rx, tx) {
                        return Some(located);
                    }
                }
                Ok(Step::Control(opcode, at)) => {
                    if let Some(located) = self.on_control(opcode, at, rx, tx) {
                        return Some(located);
                    }
                }
                Err(error) => self.end_or_hold(End::Failure(error), tx),
            }
        }
    }

    /// Returns the oldest held message or control frame, unless the application is paused. After the last one, lets a
    /// held end take effect.
    fn next_held(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Option<Located> {
        let paused = self.is_paused();
        let inbox = self.inbox.as_mut()?;
        if inbox.has_messages() {
            if paused {
                return None;
            }
            let (opcode, buffer) = inbox.pop()?;
            rx.assembled = buffer;
            return Some(match opcode {
                OpCode::Ping => Located::Ping(At::Assembled),
                OpCode::Pong => Located::Pong(At::Assembled),
                OpCode::Text => Located::Message(MessageKind::Text, At::Assembled),
                _ => Located::Message(MessageKind::Binary, At::Assembled),
            });
        }
        // The application has not asked for more since it took a run of messages.
        if paused && inbox.is_lending() {
            return None;
        }
        if inbox.end.as_ref().is_some_and(|(end, _)| holds_end(self.flow, end)) && self.phase == Phase::Open {
            return None;
        }
        let inbox = self.inbox.take()?;
        if let Some((end, _)) = inbox.end {
            self.end(end, tx);
        }
        None
    }

    /// Delivers a complete message, holds it while the application is paused, or drops it if the connection is closing.
    fn deliver(
        &mut self,
        kind: MessageKind,
        at: At,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Located> {
        if !self.phase.delivers() {
            return None;
        }
        self.observe_message(at.bytes(rx).len());
        tx.traffic.received.count_message(at.bytes(rx).len());
        if !self.is_paused() {
            return Some(Located::Message(kind, at));
        }
        let inbox = self.inbox.get_or_insert_default();
        match at {
            At::Window { start, len } if rx.is_worth_detaching(len) => {
                inbox.push_buffer(kind, rx.detach(start, len));
            }
            At::Window { start, len } => {
                inbox.push_slice(kind.opcode(), rx.processed(start, len), rx.unprocessed().len());
            }
            At::Assembled => inbox.push_buffer(kind, std::mem::take(&mut rx.assembled)),
            At::Inflated { len } => inbox.push_slice(kind.opcode(), rx.inflated(len), 0),
        }
        None
    }

    fn on_control(
        &mut self,
        opcode: OpCode,
        at: At,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Located> {
        if let Err(limit) = self.count_control_frame(rx) {
            self.end_or_hold(End::Failure(limit.into()), tx);
            return None;
        }
        self.observe_control(opcode, at.bytes(rx), tx);
        match opcode {
            OpCode::Close => {
                let end = match CloseFrame::parse(at.bytes(rx)) {
                    Ok(frame) => {
                        self.observe(RecordedEvent::CloseReceived { code: frame.code });
                        End::PeerClose(frame)
                    }
                    Err(error) => End::Failure(error.into()),
                };
                self.end_or_hold(end, tx);
                None
            }
            _ if !self.phase.delivers() => None,
            OpCode::Ping => {
                self.note_activity();
                if self.config.auto_pong {
                    self.answer_ping(at.bytes(rx), tx);
                }
                Some(Located::Ping(at))
            }
            _ => Some(Located::Pong(at)),
        }
    }

    fn count_control_frame(&mut self, rx: &mut ReceiveBuffer) -> Result<(), LimitExceeded> {
        let limits = &self.config.limits;
        rx.control_frames = rx.control_frames.saturating_add(1);
        self.control_frames = self.control_frames.saturating_add(1);
        if rx.control_frames > limits.max_control_frames_per_read {
            return Err(LimitExceeded::ControlFrames { limit: limits.max_control_frames_per_read });
        }
        if self.control_frames > limits.max_control_frames_per_second {
            return Err(LimitExceeded::ControlRate { limit: limits.max_control_frames_per_second });
        }
        Ok(())
    }

    /// Resets the count of control frames if the current second has passed.
    fn age_control_frames(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.last_received).as_micros();
        self.control_age = self.control_age.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
        if self.control_age >= SECOND_IN_MICROS {
            (self.control_frames, self.control_age) = (0, 0);
        }
    }

    #[inline]
    fn reads_directly(&self, rx: &ReceiveBuffer) -> bool {
        rx.is_empty()
            && self.phase == Phase::Open
            && self.partial.as_ref().is_some_and(|partial| match (&partial.frame, &partial.message) {
                (Some(frame), Some(message)) => {
                    !frame.opcode.is_control()
                        && frame.remaining >= DIRECT_READ_FROM
                        && message.buffer.capacity() - message.buffer.len() >= DIRECT_READ_FROM
                }
                _ => false,
            })
    }

    #[inline]
    pub(super) fn note_activity(&mut self) {
        // Mostly they are equal: one read brings many messages.
        if self.last_activity != self.last_received {
            self.last_activity = self.last_activity.max(self.last_received);
        }
    }

    /// Whether an end is held.
    pub(super) fn ends_held(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.end.is_some())
    }
}
