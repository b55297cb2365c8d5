//! The received part of an incomplete frame or message.

use std::time::Instant;

use crate::{
    error::{ConnectionError, ProtocolError},
    frame::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, OpCode},
    mask::Mask,
    memory::{BufferPool, PooledBuffer, ReceiveBuffer},
    message::MessageKind,
    utf8::Utf8Validator,
};

use super::{charge::ChargedMemory, set_aside::SetAside};

/// With at least this many missing payload bytes, a read goes directly into the message's own buffer.
pub(super) const DIRECT_READ_FROM: usize = 16 * 1024;

/// The largest direct read. Each read also makes room for the sender, so the kernel wakes it.
pub(super) const DIRECT_READ_AT_MOST: usize = 256 * 1024;

/// Everything in progress on the receiving side. A connection between messages has none.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: HeaderSpill,
    pub(super) frame: Option<FrameProgress>,
    pub(super) control: ControlPayload,
    pub(super) message: Option<Assembly>,
    /// When the incomplete frame or message began.
    pub(super) since: Option<Instant>,
    /// Present while received bytes wait for another turn, or a message is being inflated.
    pub(super) set_aside: Option<Box<SetAside>>,
}

impl Partial {
    /// Payload bytes held.
    pub(super) fn bytes(&self) -> usize {
        let set_aside = self.set_aside.as_ref().map_or(0, |set_aside| set_aside.len());
        self.message.as_ref().map_or(0, |message| message.buffer.len()) + set_aside
    }

    /// Whether a frame or message is incomplete, so that the peer must send the rest.
    pub(super) fn is_begun(&self) -> bool {
        self.header.len > 0 || self.frame.is_some() || self.message.is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        !self.is_begun() && self.set_aside.is_none()
    }

    /// Bytes of memory held in buffers.
    pub(super) fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| message.buffer.capacity());
        let set_aside = self.set_aside.as_ref().map_or(0, |set_aside| set_aside.held_bytes());
        message + set_aside
    }
}

/// The data frame in progress and its message.
pub(super) fn large_message(
    partial: &mut Option<Box<Partial>>,
) -> Option<(&mut FrameProgress, &mut Assembly)> {
    let partial = partial.as_deref_mut()?;
    let frame = partial.frame.as_mut().filter(|frame| !frame.opcode.is_control())?;
    Some((frame, partial.message.as_mut()?))
}

/// The received part of a frame's header.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HeaderSpill {
    bytes: [u8; MAX_HEADER_LEN],
    len: u8,
}

impl HeaderSpill {
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends the next byte. A header always fits.
    pub(super) fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(usize::from(self.len)) {
            *slot = byte;
            self.len += 1;
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
    }
}

/// A frame whose header is complete and whose payload is not.
#[derive(Debug)]
pub(super) struct FrameProgress {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    pub(super) remaining: usize,
    mask: Option<Mask>,
}

impl FrameProgress {
    pub(super) fn new(header: &FrameHeader) -> Self {
        Self {
            opcode: header.opcode,
            fin: header.fin,
            // The header was checked against the limits, so this fits.
            remaining: usize::try_from(header.payload_len).unwrap_or(usize::MAX),
            mask: header.mask.map(Mask::new),
        }
    }

    /// How many more bytes to expect for a message that has `received`. In the last frame this is exactly the frame's
    /// rest. If more frames follow, it is at least as many as received, so that many small frames do not cause many
    /// copies.
    pub(super) fn expected(&self, received: usize) -> usize {
        if self.fin { self.remaining } else { self.remaining.max(received) }
    }

    pub(super) fn unmask(&mut self, bytes: &mut [u8]) {
        if let Some(mask) = &mut self.mask {
            mask.apply(bytes);
        }
    }
}

/// The payload of a control frame that arrives in parts, possibly inside a fragmented message.
#[derive(Debug)]
pub(super) struct ControlPayload {
    bytes: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

impl Default for ControlPayload {
    fn default() -> Self {
        Self { bytes: [0; MAX_CONTROL_PAYLOAD], len: 0 }
    }
}

impl ControlPayload {
    /// Appends bytes. The control frame's length was checked when its header was parsed.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let start = usize::from(self.len);
        self.bytes[start..start + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len() as u8;
    }

    pub(super) fn take(&mut self) -> PooledBuffer {
        let len = usize::from(std::mem::take(&mut self.len));
        PooledBuffer::from(self.bytes[..len].to_vec())
    }
}

/// An incomplete message. All of its fragments are appended to one buffer.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) kind: MessageKind,
    pub(super) fragments: u32,
    pub(super) buffer: PooledBuffer,
    /// The payload is compressed.
    pub(super) compressed: bool,
    /// Present if the payload must be UTF-8 and is not compressed.
    utf8: Option<Utf8Validator>,
}

impl Assembly {
    pub(super) fn new(kind: MessageKind, compressed: bool, must_be_utf8: bool, pool: BufferPool) -> Self {
        let utf8 = (must_be_utf8 && !compressed).then(Utf8Validator::default);
        Self { kind, fragments: 0, buffer: PooledBuffer::new(pool), compressed, utf8 }
    }

    /// Makes room for `more` bytes. `expected` bytes are still to come.
    pub(super) fn reserve(
        &mut self,
        more: usize,
        expected: usize,
        memory: &mut ChargedMemory<'_>,
    ) -> Result<(), ConnectionError> {
        let len = self.buffer.len();
        memory.reserve(&mut self.buffer, len + more, len.saturating_add(expected))
    }

    /// Takes the processed bytes at `at..at + n` together with the window, which is one for large messages. Returns
    /// false if the message has a beginning already, or if they would pin too much memory.
    pub(super) fn take_window(
        &mut self,
        at: usize,
        n: usize,
        rx: &mut ReceiveBuffer,
        memory: &mut ChargedMemory<'_>,
    ) -> bool {
        let takes = self.buffer.is_empty() && rx.large_capacity(n).is_some_and(|bytes| memory.allows(bytes));
        if takes {
            self.buffer = rx.take_large(at, n);
        }
        takes
    }

    /// Validates the payload from `start`, which has just been unmasked.
    pub(super) fn validate_from(&mut self, start: usize) -> Result<(), ProtocolError> {
        match &mut self.utf8 {
            Some(utf8) => utf8.feed(&self.buffer[start..]).map_err(|_| ProtocolError::InvalidUtf8),
            None => Ok(()),
        }
    }

    /// Checks that the text may end here.
    pub(super) fn finish(&mut self) -> Result<(), ProtocolError> {
        match &mut self.utf8 {
            Some(utf8) => utf8.finish().map_err(|_| ProtocolError::InvalidUtf8),
            None => Ok(()),
        }
    }
}
