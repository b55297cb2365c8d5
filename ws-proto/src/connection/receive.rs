//! From received bytes to events (RFC 6455 sections 5.2 to 5.5 and 6.2).

use std::time::Instant;

use crate::{
    buffer::{ReceiveBuffer, TransmitQueue},
    close::{CloseFrame, Initiator},
    error::{ConnectionError, LimitExceeded, ProtocolError},
    frame::{FrameHeader, OpCode},
    mask::apply_mask,
    message::MessageKind,
    utf8::is_valid_utf8,
};

use super::{
    Connection, Event, Role,
    closing::{Phase, holds_end},
    event::{At, Located},
    inbox::End,
    partial::{Assembly, FrameProgress},
};

/// From this many missing payload bytes on, a read goes straight into the message's own buffer.
const DIRECT_READ_FROM: usize = 16 * 1024;

/// What one look at the received bytes gave.
enum Step {
    /// Nothing complete is left.
    NeedMore,
    /// A fragment or a part was taken; look again.
    Continue,
    Message(MessageKind, At),
    Control(OpCode, At),
}

impl Connection {
    /// Where the driver reads into: the receive buffer's spare room, or, in the middle of a large message, that
    /// message's own buffer. Report what was read with [`handle_received`](Self::handle_received).
    ///
    /// Call it only when [`poll_event`](Self::poll_event) has returned `None`.
    pub fn read_target<'a>(&'a mut self, rx: &'a mut ReceiveBuffer) -> &'a mut [u8] {
        if self.reads_directly(rx)
            && let Some((frame, message)) = self.large_message_in_progress()
        {
            return message.buffer.spare_mut(frame.remaining);
        }
        rx.spare_mut()
    }

    /// Takes note of `n` bytes in the [`read_target`](Self::read_target), received at `now`.
    pub fn handle_received(&mut self, n: usize, now: Instant, rx: &mut ReceiveBuffer) {
        self.last_received = now;
        self.pong_deadline = None;
        if std::mem::take(&mut self.was_stalled) {
            self.last_activity = now;
        }
        if self.reads_directly(rx)
            && let Some((frame, message)) = self.large_message_in_progress()
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
            rx.commit(n);
        }
    }

    /// The next event, or `None` when more bytes, or a [`resume`](Self::resume), are needed.
    ///
    /// The event borrows only `rx`, so the connection can be used, and `tx` be added to, while it lives. Answers that
    /// the protocol demands (pongs, Close) are queued before the event is returned.
    #[inline]
    pub fn poll_event<'rx>(
        &mut self,
        rx: &'rx mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Event<'rx>> {
        let located = match self.quick_message(rx) {
            Some(Ok((kind, at))) => Located::Message(kind, at),
            Some(Err(error)) => {
                self.end_or_hold(End::Failure(error.into()), tx);
                self.locate(rx, tx)?
            }
            None => self.locate(rx, tx)?,
        };
        Some(match located {
            Located::Message(kind, at) => Event::Message(at.message(kind, self.config.validate_utf8, rx)),
            Located::Ping(at) => Event::Ping(at.bytes(rx)),
            Located::Pong(at) => Event::Pong(at.bytes(rx)),
            Located::Closed => Event::Closed(self.take_close_report()?),
        })
    }

    fn locate(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Option<Located> {
        loop {
            if self.inbox.is_some()
                && let Some(located) = self.next_held(rx, tx)
            {
                return Some(located);
            }
            match self.phase {
                Phase::Open | Phase::AwaitClose => {}
                Phase::Discard | Phase::Finished => {
                    rx.discard();
                    let delivered = self.inbox.is_none();
                    return (delivered && self.is_report_due(tx)).then_some(Located::Closed);
                }
            }
            let step = if self.ends_held() { Ok(Step::NeedMore) } else { self.step(rx) };
            match step {
                Ok(Step::Continue) => {}
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
                    if let Some(located) = self.deliver(kind, at, rx) {
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

    /// The oldest held message, if the application wants it; then the end that came behind the last one.
    fn next_held(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Option<Located> {
        let paused = self.is_paused();
        let inbox = self.inbox.as_mut()?;
        let closed_by_us =
            self.closing.as_ref().is_some_and(|closing| closing.info.initiator == Initiator::Local);
        if inbox.has_messages() && !closed_by_us {
            if paused {
                return None;
            }
            let (kind, buffer) = inbox.pop()?;
            rx.assembled = buffer;
            return Some(Located::Message(kind, At::Assembled));
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

    /// Gives a complete message to the application, or holds it, or drops it because we sent a Close.
    fn deliver(&mut self, kind: MessageKind, at: At, rx: &mut ReceiveBuffer) -> Option<Located> {
        if self.phase != Phase::Open {
            return None;
        }
        if !self.is_paused() {
            return Some(Located::Message(kind, at));
        }
        let inbox = self.inbox.get_or_insert_default();
        match at {
            At::Window { start, len } => inbox.push_slice(kind, rx.processed(start, len)),
            At::Assembled => inbox.push_buffer(kind, std::mem::take(&mut rx.assembled)),
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
        rx.control_frames += 1;
        let limit = self.config.limits.max_control_frames_per_read;
        if rx.control_frames > limit {
            self.end_or_hold(End::Failure(LimitExceeded::ControlFrames { limit }.into()), tx);
            return None;
        }
        match opcode {
            OpCode::Close => {
                let end = match CloseFrame::parse(at.bytes(rx)) {
                    Ok(frame) => End::PeerClose(frame),
                    Err(error) => End::Failure(error.into()),
                };
                self.end_or_hold(end, tx);
                None
            }
            _ if self.phase != Phase::Open => None,
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

    /// Looks at the next frame.
    fn step(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        if let Some(partial) = &self.partial {
            if partial.frame.is_some() {
                return self.absorb(rx);
            }
            if !partial.header.is_empty() {
                return self.complete_header(rx);
            }
        }
        let bytes = rx.unprocessed();
        if bytes.is_empty() {
            return Ok(Step::NeedMore);
        }
        match self.parse_header(bytes)? {
            Some((header, header_len)) => {
                rx.consume(header_len);
                self.on_header(&header, rx)
            }
            None => {
                self.spill_header(rx);
                Ok(Step::NeedMore)
            }
        }
    }

    /// Keeps the beginning of a header for the next read.
    fn spill_header(&mut self, rx: &mut ReceiveBuffer) {
        let spill = &mut self.partial.get_or_insert_default().header;
        rx.unprocessed().iter().for_each(|byte| spill.push(*byte));
        rx.discard();
    }

    fn complete_header(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let Some(byte) = rx.unprocessed().first().copied() else { return Ok(Step::NeedMore) };
        rx.consume(1);
        let spill = &mut self.partial.get_or_insert_default().header;
        spill.push(byte);
        let so_far = *spill;
        let Some((header, _)) = self.parse_header(so_far.bytes())? else { return Ok(Step::Continue) };
        if let Some(partial) = &mut self.partial {
            partial.header.clear();
        }
        self.drop_idle_partial();
        self.on_header(&header, rx)
    }

    /// Decodes a header and refuses what the connection does not allow. Of several faults the one in the earliest
    /// byte is told, so that the answer does not depend on how the bytes were cut.
    #[inline]
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        let [b0, rest @ ..] = bytes else { return Ok(None) };
        if b0 & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits(b0 & 0x70));
        }
        let parsed = FrameHeader::parse(bytes);
        if let Err(ProtocolError::ReservedOpcode(_)) = parsed {
            return parsed;
        }
        if let [b1, ..] = rest {
            self.check_mask(b1 & 0x80 != 0)?;
        }
        parsed
    }

    fn check_mask(&self, masked: bool) -> Result<(), ProtocolError> {
        match (self.role(), masked) {
            (Role::Server, false) => Err(ProtocolError::UnmaskedFrame),
            (Role::Client, true) => Err(ProtocolError::MaskedFrame),
            _ => Ok(()),
        }
    }

    /// A header is complete, and `rx` stands at the payload.
    fn on_header(&mut self, header: &FrameHeader, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let available = rx.unprocessed().len();
        let whole = usize::try_from(header.payload_len).ok().filter(|len| *len <= available);
        if header.opcode.is_control() {
            return match whole {
                Some(len) => Ok(Step::Control(header.opcode, take_payload(header, len, rx))),
                None => self.begin_partial(header, rx),
            };
        }
        let kind = self.check_data(header)?;
        self.note_activity();
        match (whole, kind) {
            (Some(len), Some(kind)) if header.fin => self.whole_message(header, kind, len, rx),
            _ => {
                if let Some(kind) = kind {
                    let assembly = Assembly::new(kind, self.config.validate_utf8, rx.pool().clone());
                    self.partial.get_or_insert_default().message = Some(assembly);
                }
                self.begin_partial(header, rx)
            }
        }
    }

    /// The fast path: a message in one frame, all of it in the window.
    fn whole_message(
        &self,
        header: &FrameHeader,
        kind: MessageKind,
        len: usize,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        let at = take_payload(header, len, rx);
        if kind == MessageKind::Text && self.config.validate_utf8 && !is_valid_utf8(at.bytes(rx)) {
            return Err(ProtocolError::InvalidUtf8.into());
        }
        Ok(Step::Message(kind, at))
    }

    /// Checks a data frame's header against the message in progress and the limits. `Some` if it begins a message.
    fn check_data(&mut self, header: &FrameHeader) -> Result<Option<MessageKind>, ConnectionError> {
        let limits = &self.config.limits;
        let kind = match header.opcode {
            OpCode::Text => Some(MessageKind::Text),
            OpCode::Binary => Some(MessageKind::Binary),
            _ => None,
        };
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        let received = match (&message, kind) {
            (Some(_), Some(_)) => return Err(ProtocolError::NestedMessage.into()),
            (None, None) => return Err(ProtocolError::UnexpectedContinuation.into()),
            (Some(message), None) => message.buffer.len(),
            (None, Some(_)) => 0,
        };
        let announced = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        if announced > limits.max_frame_size {
            return Err(LimitExceeded::FrameSize { limit: limits.max_frame_size }.into());
        }
        if announced > limits.max_message_size.saturating_sub(received) {
            return Err(LimitExceeded::MessageSize { limit: limits.max_message_size }.into());
        }
        if let Some(message) = message {
            message.fragments += 1;
            if message.fragments >= limits.max_fragments {
                return Err(LimitExceeded::Fragments { limit: limits.max_fragments }.into());
            }
        }
        Ok(kind)
    }

    fn begin_partial(
        &mut self,
        header: &FrameHeader,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        self.partial.get_or_insert_default().frame = Some(FrameProgress::new(header));
        self.absorb(rx)
    }

    /// Takes what is there of the payload of the frame in progress.
    fn absorb(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(Step::Continue) };
        let Some(frame) = partial.frame.as_mut() else { return Ok(Step::Continue) };
        let n = frame.remaining.min(rx.unprocessed().len());
        let bytes = &mut rx.unprocessed_mut()[..n];
        frame.unmask(bytes);
        match partial.message.as_mut().filter(|_| !frame.opcode.is_control()) {
            None => partial.control.extend(bytes),
            Some(message) => {
                message.reserve(n, frame.expected(message.buffer.len()))?;
                let start = message.buffer.len();
                message.buffer.extend_from_slice(bytes);
                message.validate_from(start)?;
                self.last_activity = self.last_activity.max(self.last_received);
            }
        }
        frame.remaining -= n;
        rx.consume(n);
        if frame.remaining > 0 {
            return self.prepare_direct_read();
        }
        let (opcode, fin) = (frame.opcode, frame.fin);
        partial.frame = None;
        self.end_of_frame(opcode, fin, rx)
    }

    /// Makes room for the next read to go straight into a large message's buffer.
    fn prepare_direct_read(&mut self) -> Result<Step, ConnectionError> {
        if let Some((frame, message)) = self.large_message_in_progress()
            && message.buffer.len() >= DIRECT_READ_FROM
        {
            let room = frame.remaining.min(DIRECT_READ_FROM);
            message.reserve(room, frame.expected(message.buffer.len()))?;
        }
        Ok(Step::NeedMore)
    }

    fn end_of_frame(
        &mut self,
        opcode: OpCode,
        fin: bool,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(Step::Continue) };
        let step = if opcode.is_control() {
            rx.assembled = partial.control.take();
            Step::Control(opcode, At::Assembled)
        } else if fin && let Some(mut message) = partial.message.take() {
            message.finish()?;
            rx.assembled = message.buffer;
            Step::Message(message.kind, At::Assembled)
        } else {
            Step::Continue
        };
        self.drop_idle_partial();
        Ok(step)
    }

    fn drop_idle_partial(&mut self) {
        if self.partial.as_ref().is_some_and(|partial| partial.is_idle()) {
            self.partial = None;
        }
    }

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

    fn large_message_in_progress(&mut self) -> Option<(&mut FrameProgress, &mut Assembly)> {
        let partial = self.partial.as_deref_mut()?;
        let frame = partial.frame.as_mut().filter(|frame| !frame.opcode.is_control())?;
        Some((frame, partial.message.as_mut()?))
    }

    pub(super) fn note_activity(&mut self) {
        self.last_activity = self.last_activity.max(self.last_received);
    }

    /// Whether the end of the stream waits behind held messages.
    fn ends_held(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.end.is_some())
    }
}

/// Unmasks a payload that is all in the window, and steps over it.
fn take_payload(header: &FrameHeader, len: usize, rx: &mut ReceiveBuffer) -> At {
    let start = rx.start;
    if let Some(key) = header.mask {
        apply_mask(key, &mut rx.unprocessed_mut()[..len]);
    }
    rx.consume(len);
    At::Window { start, len }
}
