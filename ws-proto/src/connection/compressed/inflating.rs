//! What is received is inflated once all of it is there, in slices, so that a bomb neither grows beyond the limit nor
//! keeps the thread; the connection reads nothing meanwhile.

use crate::{
    deflate::{INFLATER_SIZE, Inflated, Inflater},
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

/// The most bytes that are inflated in one go: a millisecond, more or less.
const SLICE: usize = 256 * 1024;
/// And the most that are read for it.
const INPUT_SLICE: usize = 64 * 1024;
/// Messages up to this size are inflated in the receive buffer's scratch, without memory of their own.
const SCRATCH: usize = 64 * 1024;

/// A compressed message that is all there.
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
pub(in crate::connection) struct Inflating {
    message: Option<InflatingMessage>,
    /// Received behind it, and not looked at.
    behind: Vec<u8>,
}

#[derive(Debug)]
struct InflatingMessage {
    kind: MessageKind,
    input: PooledBuffer,
    /// Bytes of the input that are read.
    at: usize,
    output: PooledBuffer,
    /// Present if the payload must be UTF-8.
    utf8: Option<Utf8Validator>,
    inflater: Box<Inflater>,
    /// Bytes that the inflater takes, if it is borrowed for this message. A connection's own has a budget of its own.
    borrowed: usize,
}

impl Connection {
    pub(in crate::connection) fn is_inflating(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.inflating.is_some())
    }

    /// Whether a paused application holds so much that nothing more is to be inflated for it: what was received may be
    /// a thousand times as large then.
    pub(in crate::connection) fn holds_too_much(&self) -> bool {
        let limit = self.config.limits.max_held_bytes.max(1);
        self.compression().is_some()
            && self.is_paused()
            && self.phase.delivers()
            && self.inbox.as_ref().is_some_and(|inbox| inbox.bytes() >= limit)
    }

    /// Whether so much was inflated of what one read brought that others are to have their turn first.
    pub(in crate::connection) const fn has_inflated_enough(&self, rx: &ReceiveBuffer) -> bool {
        rx.inflated_in_turn >= SLICE
    }

    /// Keeps what was received for later.
    pub(in crate::connection) fn set_aside(&mut self, rx: &mut ReceiveBuffer) -> Step {
        rx.inflated_in_turn = 0;
        self.inflating_mut().keep(rx);
        Step::Yield
    }

    /// Inflates a message, or begins to.
    pub(in crate::connection) fn inflate(
        &mut self,
        kind: MessageKind,
        input: Compressed,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        if !self.phase.delivers() {
            // Nobody wants it, nor what refers to it.
            return Ok(Step::Continue);
        }
        let limit = self.config.limits.max_message_size;
        let text = self.must_be_utf8(kind);
        let Some(compression) = self.compression_mut() else { return Err(ConnectionError::Internal) };
        if input.bytes(rx).is_empty() {
            // Not even the header of a block: a message without a byte is compressed to one (RFC 7692 section 7.2.3.6). zlib
            // would wait for the rest of a block then, and take it from the next message.
            return Err(ProtocolError::InvalidDeflate.into());
        }
        let borrowed = if compression.receives_with_takeover() { 0 } else { INFLATER_SIZE };
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
                Ok(Step::Message(kind, At::Inflated { len }))
            }
            Inflated::More(len) => {
                check_size(len, limit)?;
                // A paused application may hold on to it.
                self.charge.grow(borrowed, self.config.memory_budget.as_ref())?;
                let (input, at) = input.into_rest(read, rx);
                let utf8 = text.then(Utf8Validator::default);
                let output = PooledBuffer::new(rx.pool().clone());
                let mut message = InflatingMessage { kind, input, at, output, utf8, inflater, borrowed };
                let mut memory = ChargedMemory::of(&mut self.charge, &self.config);
                message.take_over(rx.inflated(len), limit, &mut memory)?;
                self.inflating_mut().message = Some(message);
                self.inflate_more(rx)
            }
        }
    }

    /// Goes on with the message that is being inflated, and then with what came behind it.
    pub(in crate::connection) fn inflate_more(
        &mut self,
        rx: &mut ReceiveBuffer,
    ) -> Result<Step, ConnectionError> {
        let (limit, is_wanted) = (self.config.limits.max_message_size, self.phase.delivers());
        let holds_too_much = self.holds_too_much();
        let Some(mut message) = self.inflating_mut().message.take().filter(|_| is_wanted) else {
            if holds_too_much {
                return Ok(Step::Yield);
            }
            let inflating = self.inflating_mut();
            rx.rewind();
            // What was inflated so far still counts.
            let inflated = rx.inflated_in_turn;
            let taken = rx.extend(&inflating.behind);
            rx.inflated_in_turn = inflated;
            inflating.behind.drain(..taken);
            self.end_inflating();
            return Ok(Step::Continue);
        };
        let mut memory = ChargedMemory::of(&mut self.charge, &self.config);
        if !message.inflate_slice(limit, &mut memory)? {
            let inflating = self.inflating_mut();
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
}

impl Inflating {
    /// What it has: compressed, inflated, and behind.
    pub(in crate::connection) fn bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.input.len() + message.output.len());
        message + self.behind.len()
    }

    /// Whether it comes before what was received; else that is what came behind it.
    pub(in crate::connection) const fn is_next(&self, rx: &ReceiveBuffer) -> bool {
        self.message.is_some() || rx.is_empty()
    }

    /// Bytes of memory that it takes, and those of the inflater if that is borrowed.
    pub(in crate::connection) fn held_bytes(&self) -> usize {
        let message = |message: &InflatingMessage| {
            message.input.capacity() + message.output.capacity() + message.borrowed
        };
        self.message.as_ref().map_or(0, message) + self.behind.capacity()
    }

    /// Takes what was received and not looked at, in front of what waits already.
    fn keep(&mut self, rx: &mut ReceiveBuffer) {
        if !rx.is_empty() {
            self.behind.splice(..0, rx.unprocessed().iter().copied());
        }
        rx.discard();
    }
}

impl InflatingMessage {
    /// Inflates a little more; true once it is complete.
    fn inflate_slice(
        &mut self,
        limit: usize,
        memory: &mut ChargedMemory<'_>,
    ) -> Result<bool, ConnectionError> {
        let (input_end, output_end) = (self.at + INPUT_SLICE, self.output.len() + SLICE);
        let mut work = 0;
        while self.at < input_end && self.output.len() + work < output_end {
            let filled = self.output.len();
            // One byte more than the limit, to see whether there is one.
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

    /// Takes over what was inflated elsewhere.
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
