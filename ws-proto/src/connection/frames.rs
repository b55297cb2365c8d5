//! Parses received bytes into frames, and frames into messages (RFC 6455 sections 5.2 to 5.5).

use crate::{
    error::{ConnectionError, LimitExceeded, ProtocolError},
    frame::{FrameHeader, OpCode, RSV1},
    mask::apply_mask,
    memory::ReceiveBuffer,
    message::MessageKind,
    role::Role,
    utf8::is_valid_utf8,
};

use super::{
    Connection,
    charge::ChargedMemory,
    compressed::Compressed,
    event::{At, Step},
    partial::{Assembly, DIRECT_READ_FROM, FrameProgress, Partial, large_message},
};

impl Connection {
    /// Parses the next frame, as far as it has arrived.
    pub(super) fn step(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        if let Some(partial) = &self.partial {
            if partial.set_aside.as_ref().is_some_and(|set_aside| set_aside.is_next(rx)) {
                return self.inflate_more(rx);
            }
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
        if self.holds_too_much() || self.has_inflated_enough(rx) {
            return Ok(self.set_aside_inflated(rx));
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

    /// Keeps the received part of a header until the next read.
    fn spill_header(&mut self, rx: &mut ReceiveBuffer) {
        let spill = &mut self.begun_partial().header;
        rx.unprocessed().iter().for_each(|byte| spill.push(*byte));
        rx.discard();
    }

    fn complete_header(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let Some(byte) = rx.unprocessed().first().copied() else { return Ok(Step::NeedMore) };
        rx.consume(1);
        let spill = &mut self.begun_partial().header;
        spill.push(byte);
        let so_far = *spill;
        let Some((header, _)) = self.parse_header(so_far.bytes())? else { return Ok(Step::Continue) };
        if let Some(partial) = &mut self.partial {
            partial.header.clear();
        }
        let step = self.on_header(&header, rx);
        // The frame began with the first byte of its header: keep `since` until here.
        self.drop_idle_partial();
        step
    }

    /// Decodes a header and rejects what the connection does not allow. Of several faults it reports the one in the
    /// earliest byte, so that the result does not depend on how the bytes were split.
    #[inline]
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        let [b0, rest @ ..] = bytes else { return Ok(None) };
        let reserved = b0 & 0x70;
        if reserved != 0 && !(reserved == RSV1 && self.may_be_compressed(b0 & 0x0f)) {
            return Err(ProtocolError::ReservedBits(reserved));
        }
        let parsed = FrameHeader::parse_with_len(bytes);
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

    /// Handles a complete header; `rx` is positioned at the payload.
    fn on_header(&mut self, header: &FrameHeader, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        self.observe_header(header);
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
                    let (compressed, text) = (header.rsv & RSV1 != 0, self.must_be_utf8(kind));
                    let assembly = Assembly::new(kind, compressed, text, rx.pool().clone());
                    self.begun_partial().message = Some(assembly);
                }
                self.begin_partial(header, rx)
            }
        }
    }

    /// A message in one frame that is completely in the receive window.
    fn whole_message(
        &mut self,
        header: &FrameHeader,
        kind: MessageKind,
        len: usize,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        let at = take_payload(header, len, rx);
        if header.rsv & RSV1 != 0 {
            return self.inflate(kind, Compressed::Window(at), rx);
        }
        if self.must_be_utf8(kind) && !is_valid_utf8(at.bytes(rx)) {
            return Err(ProtocolError::InvalidUtf8.into());
        }
        Ok(Step::Message(kind, if rx.is_large() { self.take_window(at, rx) } else { at }))
    }

    pub(super) fn must_be_utf8(&self, kind: MessageKind) -> bool {
        kind == MessageKind::Text && self.config.validate_utf8
    }

    /// Checks a data frame's header against the message in progress and the limits. Returns the kind if the frame
    /// begins a message.
    fn check_data(&mut self, header: &FrameHeader) -> Result<Option<MessageKind>, ConnectionError> {
        let limits = &self.config.limits;
        let kind = MessageKind::from_opcode(header.opcode);
        let message = self.partial.as_mut().and_then(|partial| partial.message.as_mut());
        let received = match (&message, kind) {
            (Some(_), Some(_)) => return Err(ProtocolError::NestedMessage.into()),
            (None, None) => return Err(ProtocolError::UnexpectedContinuation.into()),
            (Some(message), None) => message.buffer.len(),
            (None, Some(_)) => 0,
        };
        let compressed = message.as_ref().map_or(header.rsv & RSV1 != 0, |message| message.compressed);
        let limit = if compressed { on_the_wire(limits.max_message_size) } else { limits.max_message_size };
        let announced = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
        if let Some(limit) = limits.max_frame_size.filter(|limit| announced > *limit) {
            return Err(LimitExceeded::FrameSize { limit }.into());
        }
        if announced > limit.saturating_sub(received) {
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
        self.begun_partial().frame = Some(FrameProgress::new(header));
        self.absorb(rx)
    }

    /// Consumes the received part of the payload of the frame in progress.
    fn absorb(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let Some(partial) = self.partial.as_deref_mut() else { return Ok(Step::Continue) };
        let Some(frame) = partial.frame.as_mut() else { return Ok(Step::Continue) };
        let n = frame.remaining.min(rx.unprocessed().len());
        let at = rx.start;
        frame.unmask(&mut rx.unprocessed_mut()[..n]);
        rx.consume(n);
        match partial.message.as_mut().filter(|_| !frame.opcode.is_control()) {
            None => partial.control.extend(rx.processed(at, n)),
            Some(message) => {
                let mut memory = ChargedMemory::of(&mut self.charge, &self.config);
                let start = message.buffer.len();
                if !rx.is_large() || !message.take_window(at, n, rx, &mut memory) {
                    message.reserve(n, frame.expected(start), &mut memory)?;
                    message.buffer.extend_from_slice(rx.processed(at, n));
                }
                message.validate_from(start)?;
                self.last_activity = self.last_activity.max(self.last_received);
            }
        }
        frame.remaining -= n;
        if frame.remaining > 0 {
            return self.prepare_direct_read();
        }
        let (opcode, fin) = (frame.opcode, frame.fin);
        partial.frame = None;
        self.end_of_frame(opcode, fin, rx)
    }

    /// Makes room for the next read to go directly into a large message's buffer.
    fn prepare_direct_read(&mut self) -> Result<Step, ConnectionError> {
        if let Some((frame, message)) = large_message(&mut self.partial)
            && message.buffer.len() >= DIRECT_READ_FROM
        {
            let room = frame.remaining.min(DIRECT_READ_FROM);
            let expected = frame.expected(message.buffer.len());
            message.reserve(room, expected, &mut ChargedMemory::of(&mut self.charge, &self.config))?;
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
            partial.since = None;
            if message.compressed {
                self.drop_idle_partial();
                return self.inflate(message.kind, Compressed::Assembled(message.buffer), rx);
            }
            message.finish()?;
            if message.fragments == 0 {
                self.expect_large(message.buffer.len(), rx);
            }
            rx.assembled = message.buffer;
            Step::Message(message.kind, At::Assembled)
        } else {
            Step::Continue
        };
        self.drop_idle_partial();
        Ok(step)
    }

    /// The state of an incomplete frame or message, created if there is none.
    fn begun_partial(&mut self) -> &mut Partial {
        let partial = self.partial.get_or_insert_default();
        partial.since.get_or_insert(self.last_received);
        partial
    }

    pub(super) fn drop_idle_partial(&mut self) {
        if let Some(partial) = self.partial.as_deref_mut().filter(|partial| !partial.is_begun()) {
            partial.since = None;
            if partial.is_idle() {
                self.partial = None;
            }
        }
    }
}

/// The largest compressed size of a message of `limit` bytes. Incompressible data grows; with the fixed codes of a fast
/// compressor by a twentieth (RFC 1951 section 3.2.6).
const fn on_the_wire(limit: usize) -> usize {
    limit.saturating_add(limit / 8).saturating_add(1024)
}

/// Unmasks a payload that is completely in the receive window, and consumes it.
fn take_payload(header: &FrameHeader, len: usize, rx: &mut ReceiveBuffer) -> At {
    let start = rx.start;
    if let Some(key) = header.mask {
        apply_mask(key, &mut rx.unprocessed_mut()[..len]);
    }
    rx.consume(len);
    At::Window { start, len }
}
