//! Messages that are compressed on the wire (RFC 7692 sections 6 and 7.2).
//!
//! What is received is inflated once all of it is there, in slices, so that a bomb neither grows beyond the limit nor
//! keeps the thread; the connection reads nothing meanwhile. What is sent is compressed when it is encoded, for then its
//! order is known; a large message in pieces, each a frame, as the transport takes them.

use bytes::Bytes;

use crate::{
    buffer::{PooledBuffer, ReceiveBuffer, TransmitQueue},
    deflate::{DeflateParams, Deflater, Inflated, Inflater, Reservation, Session},
    error::{ConnectionError, LimitExceeded, ProtocolError},
    frame::{FrameHeader, OpCode, RSV1},
    message::MessageKind,
    prepared::PreparedMessage,
    utf8::{Utf8Validator, is_valid_utf8},
};

use super::{
    Connection,
    closing::Phase,
    event::At,
    frames::Step,
    inbox::End,
    outbox::{Begun, Outgoing},
};

pub(super) type Compression = Session;

/// The most bytes that are inflated in one go: a millisecond, more or less.
const SLICE: usize = 256 * 1024;
/// And the most that are read for it.
const INPUT_SLICE: usize = 64 * 1024;
/// Messages up to this size are inflated in the receive buffer's scratch, without memory of their own.
const SCRATCH: usize = 64 * 1024;
/// Payloads up to this size are compressed in one go, into one frame.
const WHOLE: usize = 256 * 1024;
/// And of larger ones so much at a time.
const PIECE: usize = 64 * 1024;

/// A compressed message that is all there.
pub(super) enum Compressed {
    Window(At),
    Assembled(PooledBuffer),
}

impl Compressed {
    fn bytes<'a>(&'a self, rx: &'a ReceiveBuffer) -> &'a [u8] {
        match self {
            Self::Window(at) => at.bytes(rx),
            Self::Assembled(buffer) => buffer,
        }
    }

    /// What is left behind the first `read` bytes, and where it begins in that.
    fn into_rest(self, read: usize, rx: &ReceiveBuffer) -> (PooledBuffer, usize) {
        match self {
            Self::Window(at) => (PooledBuffer::from(at.bytes(rx)[read..].to_vec()), 0),
            Self::Assembled(buffer) => (buffer, read),
        }
    }
}

/// What waits while a message is inflated, and that message.
#[derive(Debug)]
pub(super) struct Inflating {
    message: Option<Message>,
    /// Received behind it, and not looked at.
    behind: Vec<u8>,
}

#[derive(Debug)]
struct Message {
    kind: MessageKind,
    input: PooledBuffer,
    /// Bytes of the input that are read.
    at: usize,
    output: PooledBuffer,
    /// Present if the payload must be UTF-8.
    utf8: Option<Utf8Validator>,
    inflater: Box<Inflater>,
}

/// The rest of a large message that is being sent.
#[derive(Debug)]
pub(super) struct Deflating {
    payload: Bytes,
    /// The message's; `None` once a frame has it.
    opcode: Option<OpCode>,
    deflater: Box<Deflater>,
    notify: bool,
    _reservation: Option<Reservation>,
}

impl Deflating {
    /// Bytes that are not compressed yet.
    pub(super) fn remaining(&self) -> usize {
        self.payload.len()
    }

    pub(super) const fn notifies(&self) -> bool {
        self.notify
    }
}

/// Whether a payload of this length is compressed in one go.
pub(super) const fn fits_one_frame(len: usize) -> bool {
    len <= WHOLE
}

impl Connection {
    /// What was agreed upon about compression; `None` if there is none.
    #[must_use]
    pub fn deflate_params(&self) -> Option<DeflateParams> {
        self.compression().map(Session::params)
    }

    /// Whether messages that are sent from now on may be compressed: yes, until this says no. Without an agreement, and
    /// below the threshold, none is anyway.
    pub fn set_compression(&mut self, on: bool) {
        if let Some(compression) = self.compression_mut() {
            compression.is_on = on;
        }
    }

    fn compression(&self) -> Option<&Compression> {
        self.special.as_ref()?.compression.as_ref()
    }

    fn compression_mut(&mut self) -> Option<&mut Compression> {
        self.special.as_mut()?.compression.as_mut()
    }

    /// Whether a frame with RSV1 may begin so: a data frame that is not a continuation (RFC 7692 section 6.1).
    pub(super) fn may_be_compressed(&self, opcode: u8) -> bool {
        let begins_message = opcode == OpCode::Text.bits() || opcode == OpCode::Binary.bits();
        begins_message && self.compression().is_some()
    }

    pub(super) fn is_inflating(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.inflating.is_some())
    }

    /// Whether a paused application holds so much that nothing more is to be inflated for it: what was received may be
    /// a thousand times as large then.
    pub(super) fn holds_too_much(&self) -> bool {
        let limit = self.config.limits.max_held_bytes;
        self.compression().is_some()
            && self.is_paused()
            && self.phase == Phase::Open
            && self.inbox.as_ref().is_some_and(|inbox| inbox.bytes() >= limit)
    }

    /// Whether so much was inflated of what one read brought that others are to have their turn first.
    pub(super) const fn has_inflated_enough(&self, rx: &ReceiveBuffer) -> bool {
        rx.inflated_in_turn >= SLICE
    }

    /// Keeps what was received for later.
    pub(super) fn set_aside(&mut self, rx: &mut ReceiveBuffer) -> Step {
        rx.inflated_in_turn = 0;
        self.inflating_mut().keep(rx);
        Step::Yield
    }

    /// Inflates a message, or begins to.
    pub(super) fn inflate(
        &mut self,
        kind: MessageKind,
        input: Compressed,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        if self.phase != Phase::Open {
            // Nobody wants it, nor what refers to it.
            return Ok(Step::Continue);
        }
        let limit = self.config.limits.max_message_size;
        let text = self.must_be_utf8(kind);
        let Some(compression) = self.compression_mut() else { return Err(ConnectionError::Internal) };
        let mut inflater = compression.take_inflater();
        let (inflated, read) = inflate_into_scratch(&mut inflater, &input, limit, rx);
        match inflated? {
            Inflated::Done(len) => {
                compression.put_inflater(inflater);
                rx.inflated_in_turn += len.max(read);
                check_size(len, limit)?;
                if text && !is_valid_utf8(rx.inflated(len)) {
                    return Err(ProtocolError::InvalidUtf8.into());
                }
                Ok(Step::Message(kind, At::Inflated { len }))
            }
            Inflated::More(len) => {
                check_size(len, limit)?;
                let (input, at) = input.into_rest(read, rx);
                let utf8 = text.then(Utf8Validator::default);
                let output = PooledBuffer::new(rx.pool().clone());
                let mut message = Message { kind, input, at, output, utf8, inflater };
                message.take_over(rx.inflated(len), limit)?;
                self.inflating_mut().message = Some(message);
                self.inflate_more(rx)
            }
        }
    }

    /// Goes on with the message that is being inflated, and then with what came behind it.
    pub(super) fn inflate_more(&mut self, rx: &mut ReceiveBuffer) -> Result<Step, ConnectionError> {
        let (limit, is_open) = (self.config.limits.max_message_size, self.phase == Phase::Open);
        let holds_too_much = self.holds_too_much();
        let inflating = self.inflating_mut();
        let Some(mut message) = inflating.message.take().filter(|_| is_open) else {
            if holds_too_much {
                return Ok(Step::Yield);
            }
            rx.rewind();
            // What was inflated so far still counts.
            let inflated = rx.inflated_in_turn;
            let taken = rx.extend(&inflating.behind);
            rx.inflated_in_turn = inflated;
            inflating.behind.drain(..taken);
            self.end_inflating();
            return Ok(Step::Continue);
        };
        if !message.inflate_slice(limit)? {
            inflating.message = Some(message);
            inflating.keep(rx);
            rx.inflated_in_turn = 0;
            return Ok(Step::Yield);
        }
        self.end_inflating();
        if let Some(compression) = self.compression_mut() {
            compression.put_inflater(message.inflater);
        }
        rx.inflated_in_turn += SLICE;
        rx.assembled = message.output;
        Ok(Step::Message(message.kind, At::Assembled))
    }

    fn inflating_mut(&mut self) -> &mut Inflating {
        let partial = self.partial.get_or_insert_default();
        partial.inflating.get_or_insert_with(|| Box::new(Inflating { message: None, behind: Vec::new() }))
    }

    /// Nothing is inflated any more; what still waits behind it stays.
    fn end_inflating(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.inflating.take_if(|inflating| inflating.behind.is_empty());
        }
        self.drop_idle_partial();
    }

    pub(super) fn compresses(&self, len: usize) -> bool {
        self.compression().is_some_and(|compression| compression.wants(len))
    }

    /// Whether a message is compressed with what came before it, so that it cannot be beforehand.
    pub(super) fn compresses_in_order(&self) -> bool {
        self.compression().is_some_and(Session::sends_with_takeover)
    }

    /// The frame of a prepared message, compressed; `None` if that is not worth while.
    pub(super) fn compressed_frame(&mut self, message: &PreparedMessage) -> Option<Bytes> {
        let compression = self.compression_mut()?;
        message.compressed_frame(compression.send_window_bits(), |payload| {
            let mut deflater = compression.take_deflater();
            let mut out = Vec::new();
            let done = deflater.deflate(payload, true, &mut out);
            compression.put_deflater(deflater);
            done.then_some(out)
        })
    }

    /// Compresses a message into one frame, or begins to send it in several; false if it is to go out as it is.
    pub(super) fn encode_compressed(&mut self, message: &Outgoing, tx: &mut TransmitQueue) -> bool {
        let Outgoing { kind, payload, notify, .. } = message;
        if fits_one_frame(payload.len()) {
            return self.encode_deflated(*kind, payload, *notify, tx);
        }
        let Some(compression) = self.compression_mut() else { return false };
        // A peer that does not read holds on to it.
        let Some(reservation) = compression.reserve_deflater() else { return false };
        let deflating = Deflating {
            payload: payload.clone(),
            opcode: Some(kind.opcode()),
            deflater: compression.take_deflater(),
            notify: *notify,
            _reservation: reservation,
        };
        // Until there is something to write.
        let mut rest = Some(Box::new(deflating));
        while let Some(deflating) = rest.take() {
            rest = self.encode_deflated_piece(deflating, tx);
            if !tx.is_empty() {
                break;
            }
        }
        if rest.is_some() {
            self.outbox.get_or_insert_default().begun = rest.map(Begun::Deflating);
        }
        true
    }

    /// As [`encode_compressed`](Self::encode_compressed), in one frame.
    pub(super) fn encode_deflated(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        notify: bool,
        tx: &mut TransmitQueue,
    ) -> bool {
        let Some(compression) = self.compression_mut() else { return false };
        if compression.is_quick(payload.len()) {
            let mut out = std::mem::take(&mut tx.scratch);
            out.clear();
            compression.deflate_quickly(payload, &mut out);
            let shrinks = out.len() < payload.len();
            if shrinks {
                self.encode_frame(compressed_header(kind), &out, tx);
                tx.end_send(notify);
            }
            tx.scratch = out;
            return shrinks;
        }
        let mut deflater = compression.take_deflater();
        let takeover = compression.sends_with_takeover();
        let mut out = deflater.take_out();
        // With takeover the context has it now, so the peer must get it so.
        let is_compressed =
            deflater.deflate(payload, true, &mut out) && (takeover || out.len() < payload.len());
        if is_compressed {
            self.encode_frame(compressed_header(kind), &out, tx);
            tx.end_send(notify);
        }
        if is_compressed || !takeover {
            self.give_back(deflater, out);
        }
        is_compressed
    }

    /// Compresses the next piece of a large message into a frame; gives back the rest.
    pub(super) fn encode_deflated_piece(
        &mut self,
        mut deflating: Box<Deflating>,
        tx: &mut TransmitQueue,
    ) -> Option<Box<Deflating>> {
        let piece = deflating.payload.split_to(deflating.payload.len().min(PIECE));
        let fin = deflating.payload.is_empty();
        let mut out = deflating.deflater.take_out();
        if !deflating.deflater.deflate(&piece, fin, &mut out) {
            // The message cannot be finished, and no other be sent before it is.
            self.end(End::Failure(ConnectionError::Internal), tx);
            if let Some(closing) = self.closing.as_deref_mut() {
                closing.cut_off += usize::from(deflating.notify);
            }
            return None;
        }
        if fin || !out.is_empty() {
            let (rsv, opcode) = match deflating.opcode.take() {
                Some(opcode) => (RSV1, opcode),
                None => (0, OpCode::Continuation),
            };
            self.encode_frame(FrameHeader { fin, rsv, ..FrameHeader::new(opcode, 0, None) }, &out, tx);
        }
        if !fin {
            deflating.deflater.put_out(out);
            return Some(deflating);
        }
        tx.end_send(deflating.notify);
        self.give_back(deflating.deflater, out);
        None
    }

    fn give_back(&mut self, mut deflater: Box<Deflater>, out: Vec<u8>) {
        deflater.put_out(out);
        if let Some(compression) = self.compression_mut() {
            compression.put_deflater(deflater);
        }
    }
}

impl Inflating {
    /// Whether it comes before what was received; else that is what came behind it.
    pub(super) const fn is_next(&self, rx: &ReceiveBuffer) -> bool {
        self.message.is_some() || rx.is_empty()
    }

    /// Takes what was received and not looked at, in front of what waits already.
    fn keep(&mut self, rx: &mut ReceiveBuffer) {
        if !rx.is_empty() {
            self.behind.splice(..0, rx.unprocessed().iter().copied());
        }
        rx.discard();
    }
}

impl Message {
    /// Inflates a little more; true once it is complete.
    fn inflate_slice(&mut self, limit: usize) -> Result<bool, ConnectionError> {
        let (input_end, output_end) = (self.at + INPUT_SLICE, self.output.len() + SLICE);
        while self.at < input_end && self.output.len() < output_end {
            let filled = self.output.len();
            // One byte more than the limit, to see whether there is one.
            let most = limit.saturating_add(1);
            let room = most.saturating_sub(filled).min(filled.clamp(SCRATCH, SLICE));
            self.output
                .reserve_total(filled + room, most.min(2 * (filled + room)))
                .map_err(|_| ConnectionError::Internal)?;
            let bytes = &self.input[self.at..];
            let mut rest = &bytes[..bytes.len().min(INPUT_SLICE)];
            let (given, is_last) = (rest.len(), rest.len() == bytes.len());
            let inflated = self
                .inflater
                .inflate(&mut rest, is_last, self.output.spare_mut(room))
                .map_err(|()| ProtocolError::InvalidDeflate)?;
            self.at += given - rest.len();
            let (len, done) = match inflated {
                Inflated::More(len) => (len, false),
                Inflated::Done(len) => (len, true),
            };
            self.output.commit(len);
            check_size(self.output.len(), limit)?;
            self.check_utf8(filled)?;
            if done {
                return self.finish_utf8().map(|()| true);
            }
        }
        Ok(false)
    }

    /// Takes over what was inflated elsewhere.
    fn take_over(&mut self, bytes: &[u8], limit: usize) -> Result<(), ConnectionError> {
        self.output
            .reserve_total(bytes.len(), limit.max(bytes.len()))
            .map_err(|_| ConnectionError::Internal)?;
        self.output.extend_from_slice(bytes);
        self.check_utf8(0)
    }

    fn check_utf8(&mut self, from: usize) -> Result<(), ConnectionError> {
        match &mut self.utf8 {
            Some(utf8) => utf8.feed(&self.output[from..]).map_err(|_| ProtocolError::InvalidUtf8.into()),
            None => Ok(()),
        }
    }

    fn finish_utf8(&mut self) -> Result<(), ConnectionError> {
        match &mut self.utf8 {
            Some(utf8) => utf8.finish().map_err(|_| ProtocolError::InvalidUtf8.into()),
            None => Ok(()),
        }
    }
}

/// Of a message in one frame; length and key are still to be set.
const fn compressed_header(kind: MessageKind) -> FrameHeader {
    FrameHeader { rsv: RSV1, ..FrameHeader::new(kind.opcode(), 0, None) }
}

/// Inflates the beginning of `input` into the receive buffer's scratch; also how many bytes of it were read.
fn inflate_into_scratch(
    inflater: &mut Inflater,
    input: &Compressed,
    limit: usize,
    rx: &mut ReceiveBuffer,
) -> (Result<Inflated, ProtocolError>, usize) {
    let mut scratch = std::mem::take(&mut rx.inflated);
    scratch.resize(SCRATCH, 0);
    let bytes = input.bytes(rx);
    let first = &bytes[..bytes.len().min(INPUT_SLICE)];
    // One byte more than the limit, to see whether there is one.
    let room = SCRATCH.min(limit.saturating_add(1));
    let mut rest = first;
    let inflated = inflater.inflate(&mut rest, first.len() == bytes.len(), &mut scratch[..room]);
    let read = first.len() - rest.len();
    rx.inflated = scratch;
    (inflated.map_err(|()| ProtocolError::InvalidDeflate), read)
}

fn check_size(len: usize, limit: usize) -> Result<(), LimitExceeded> {
    if len > limit { Err(LimitExceeded::MessageSize { limit }) } else { Ok(()) }
}
