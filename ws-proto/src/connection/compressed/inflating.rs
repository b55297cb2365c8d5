//! Inflates received messages. A message is inflated when all of it has arrived, in slices, so that a decompression
//! bomb neither exceeds the size limit nor blocks the thread. The connection reads nothing meanwhile.

use crate::{
    deflate::{Inflated, Inflater, SHARED_INFLATER_SIZE},
    error::{ConnectionError, LimitExceeded, ProtocolError},
    memory::{PooledBuffer, ReceiveBuffer},
    message::MessageKind,
    utf8::{Utf8Validator, is_valid_utf8},
};

use super::super::{
    Connection,
    charge::ChargedMemory,
    event::{At, Step},
};

/// The most bytes of output in one slice. A slice takes about a millisecond.
const SLICE: usize = 256 * 1024;
/// The most bytes of input in one slice.
const INPUT_SLICE: usize = 64 * 1024;
/// Messages up to this size are inflated into the receive buffer's scratch memory, without memory of their own.
const SCRATCH: usize = 64 * 1024;

/// A complete compressed message.
pub(in crate::connection) enum Compressed {
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

    /// A buffer with the bytes after the first `read`, and the offset where they begin in it.
    fn into_rest(self, read: usize, rx: &ReceiveBuffer) -> (PooledBuffer, usize) {
        match self {
            Self::Window(at) => (PooledBuffer::from(at.bytes(rx)[read..].to_vec()), 0),
            Self::Assembled(buffer) => (buffer, read),
        }
    }
}

/// A message that is being inflated.
#[derive(Debug)]
pub(in crate::connection) struct InflatingMessage {
    kind: MessageKind,
    input: PooledBuffer,
    /// Bytes of the input that are consumed.
    at: usize,
    output: PooledBuffer,
    /// Present if the payload must be UTF-8.
    utf8: Option<Utf8Validator>,
    inflater: Box<Inflater>,
    /// Bytes that the inflater takes, if it is borrowed for this message. The inflater of a connection with context
    /// takeover is accounted for elsewhere.
    borrowed: usize,
}

impl Connection {
    /// Whether so much is held for a paused application that nothing more is inflated: received bytes may become a
    /// thousand times as large.
    pub(in crate::connection) fn holds_too_much(&self) -> bool {
        let limit = self.config.limits.max_held_bytes;
        self.compression().is_some()
            && self.is_paused()
            && self.phase.delivers()
            && self.inbox.as_ref().is_some_and(|inbox| inbox.bytes() >= limit)
    }

    /// Whether enough of one read's bytes were inflated that other connections run first.
    pub(in crate::connection) const fn has_inflated_enough(&self, rx: &ReceiveBuffer) -> bool {
        rx.inflated_in_turn >= SLICE
    }

    /// Keeps received bytes for another turn, and restarts the count of what is inflated in a turn.
    pub(in crate::connection) fn set_aside_inflated(&mut self, rx: &mut ReceiveBuffer) -> Step {
        rx.inflated_in_turn = 0;
        self.set_aside_mut().keep(rx);
        Step::Yield
    }

    /// Inflates a message, or its first slice.
    pub(in crate::connection) fn inflate(
        &mut self,
        kind: MessageKind,
        input: Compressed,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        if !self.phase.delivers() {
            // The connection is closing: drop this message and those that depend on its context.
            return Ok(Step::Continue);
        }
        let limit = self.config.limits.max_message_size;
        let text = self.must_be_utf8(kind);
        let Some(compression) = self.compression_mut() else { return Err(ConnectionError::Internal) };
        if input.bytes(rx).is_empty() {
            // There is not even a block header. An empty message is compressed to one byte (RFC 7692 section 7.2.3.6).
            // zlib would wait for the rest of a block, and take it from the next message.
            return Err(ProtocolError::InvalidDeflate.into());
        }
        let borrowed = if compression.receives_with_takeover() { 0 } else { SHARED_INFLATER_SIZE };
        let mut inflater = compression.take_inflater();
        let (inflated, read) = inflate_into_scratch(&mut inflater, &input, limit, rx);
        match inflated? {
            Inflated::Done(len) => {
                let work = inflater.take_work();
                compression.put_inflater(inflater);
                rx.inflated_in_turn += len.max(read) + work;
                check_size(len, limit)?;
                if text && !is_valid_utf8(rx.inflated(len)) {
                    return Err(ProtocolError::InvalidUtf8.into());
                }
                self.observe_inflated(len, input.bytes(rx).len());
                Ok(Step::Message(kind, At::Inflated { len }))
            }
            Inflated::More(len) => {
                check_size(len, limit)?;
                // The inflater may stay in use while the application is paused.
                self.charge.grow(borrowed, self.config.memory_budget())?;
                let (input, at) = input.into_rest(read, rx);
                let utf8 = text.then(Utf8Validator::default);
                let output = PooledBuffer::new(rx.pool().clone());
                let mut message = InflatingMessage { kind, input, at, output, utf8, inflater, borrowed };
                let mut memory = ChargedMemory::of(&mut self.charge, &self.config);
                message.take_over(rx.inflated(len), limit, &mut memory)?;
                self.set_aside_mut().message = Some(message);
                self.inflate_more(rx)
            }
        }
    }

    /// Inflates the next slice of a message, then moves the bytes received after it into the window.
    pub(in crate::connection) fn inflate_more(
        &mut self,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        let (limit, is_wanted) = (self.config.limits.max_message_size, self.phase.delivers());
        let holds_too_much = self.holds_too_much();
        let Some(mut message) = self.set_aside_mut().message.take().filter(|_| is_wanted) else {
            return Ok(if holds_too_much { Step::Yield } else { self.take_up(rx) });
        };
        let mut memory = ChargedMemory::of(&mut self.charge, &self.config);
        if !message.inflate_slice(limit, &mut memory)? {
            let set_aside = self.set_aside_mut();
            set_aside.message = Some(message);
            set_aside.keep(rx);
            rx.inflated_in_turn = 0;
            return Ok(Step::Yield);
        }
        self.end_set_aside();
        if let Some(compression) = self.compression_mut() {
            compression.put_inflater(message.inflater);
        }
        rx.inflated_in_turn += SLICE;
        self.observe_inflated(message.output.len(), message.input.len());
        rx.assembled = message.output;
        Ok(Step::Message(message.kind, At::Assembled))
    }
}

impl InflatingMessage {
    /// Payload bytes held: compressed and inflated.
    pub(in crate::connection) fn len(&self) -> usize {
        self.input.len() + self.output.len()
    }

    /// Bytes of memory in use, including a borrowed inflater.
    pub(in crate::connection) const fn held_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity() + self.borrowed
    }

    /// Memory allocated for bytes alone.
    #[cfg(test)]
    pub(in crate::connection) const fn capacity(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }

    /// Inflates a slice. Returns true when the message is complete.
    fn inflate_slice(
        &mut self,
        limit: usize,
        memory: &mut ChargedMemory<'_>,
    ) -> Result<bool, ConnectionError> {
        let (input_end, output_end) = (self.at + INPUT_SLICE, self.output.len() + SLICE);
        let mut work = 0;
        while self.at < input_end && self.output.len() + work < output_end {
            let filled = self.output.len();
            // One byte more than the limit detects a message over it.
            let most = limit.saturating_add(1);
            let room = most.saturating_sub(filled).min(filled.clamp(SCRATCH, SLICE));
            memory.reserve(&mut self.output, filled + room, most.min(2 * (filled + room)))?;
            let bytes = &self.input[self.at..];
            let mut rest = &bytes[..bytes.len().min(INPUT_SLICE)];
            let (given, is_last) = (rest.len(), rest.len() == bytes.len());
            let inflated = self
                .inflater
                .inflate(&mut rest, is_last, self.output.spare_mut(room))
                .map_err(|()| ProtocolError::InvalidDeflate)?;
            self.at += given - rest.len();
            work += self.inflater.take_work();
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

    /// Appends bytes that were inflated into the scratch memory.
    fn take_over(
        &mut self,
        bytes: &[u8],
        limit: usize,
        memory: &mut ChargedMemory<'_>,
    ) -> Result<(), ConnectionError> {
        memory.reserve(&mut self.output, bytes.len(), limit.max(bytes.len()))?;
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

/// Inflates the beginning of `input` into the receive buffer's scratch memory. Also returns how many bytes of `input`
/// were consumed.
fn inflate_into_scratch(
    inflater: &mut Inflater,
    input: &Compressed,
    limit: usize,
    rx: &mut ReceiveBuffer,
) -> (Result<Inflated, ProtocolError>, usize) {
    let mut scratch = std::mem::take(&mut rx.inflated);
    scratch.resize(SCRATCH, 0);
    let bytes = input.bytes(rx);
    // One byte more than the limit detects a message over it.
    let room = SCRATCH.min(limit.saturating_add(1));
    let (inflated, read) = match inflater.inflate_small(bytes, &mut scratch[..room]) {
        Some(len) => (Ok(Inflated::Done(len)), bytes.len()),
        None => {
            let first = &bytes[..bytes.len().min(INPUT_SLICE)];
            let mut rest = first;
            let is_whole = first.len() == bytes.len();
            let inflated = inflater.inflate(&mut rest, is_whole, &mut scratch[..room]);
            (inflated, first.len() - rest.len())
        }
    };
    rx.inflated = scratch;
    (inflated.map_err(|()| ProtocolError::InvalidDeflate), read)
}

fn check_size(len: usize, limit: usize) -> Result<(), LimitExceeded> {
    if len > limit { Err(LimitExceeded::MessageSize { limit }) } else { Ok(()) }
}
