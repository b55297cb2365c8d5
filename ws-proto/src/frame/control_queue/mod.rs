//! Control frames that wait behind a data frame: a first-in, first-out ring of 256 bytes.
//!
//! ```text
//!            head                          tail
//!             ▼                              ▼
//!  ┌──────────┬──────┬─────┬─────────┬──────┬┬─────────┐
//!  │   free   │opcode│ len │ payload │opcode││  free   │   positions are u8 and wrap around
//!  └──────────┴──────┴─────┴─────────┴──────┴┴─────────┘
//! ```

use std::fmt;

use super::{MAX_CONTROL_PAYLOAD, OpCode};

/// Bytes in the ring, entry headers included.
pub(crate) const CONTROL_QUEUE_CAPACITY: usize = 256;
const ENTRY_HEADER: usize = 2;

/// The control queue has no room for the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the control queue is full")]
pub struct Full;

/// A control frame taken from the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ControlFrame {
    opcode: OpCode,
    payload: [u8; MAX_CONTROL_PAYLOAD],
    len: u8,
}

/// Prints the opcode and the length. Payloads must not reach logs.
impl fmt::Debug for ControlFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.opcode, self.len)
    }
}

impl ControlFrame {
    /// The opcode: ping, pong or close.
    #[must_use]
    pub const fn opcode(&self) -> OpCode {
        self.opcode
    }

    /// The payload, at most 125 bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload[..usize::from(self.len)]
    }
}

/// A queue of control frames in 256 bytes: an entry with a payload of `n` bytes takes `n + 2` bytes. A connection has
/// one. A driver whose applications send pings from other threads can keep them in one until the connection's turn.
#[derive(Clone)]
pub struct ControlQueue {
    ring: [u8; CONTROL_QUEUE_CAPACITY],
    head: u8,
    used: u16,
}

/// Prints the bytes in use. Payloads must not reach logs.
impl fmt::Debug for ControlQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlQueue({} bytes)", self.used)
    }
}

impl Default for ControlQueue {
    fn default() -> Self {
        Self { ring: [0; CONTROL_QUEUE_CAPACITY], head: 0, used: 0 }
    }
}

impl ControlQueue {
    /// Bytes that an entry with a payload of this length takes.
    #[must_use]
    pub const fn entry_len(payload_len: usize) -> usize {
        ENTRY_HEADER + payload_len
    }

    /// Appends a copy of a frame.
    ///
    /// # Errors
    /// [`Full`] if there is no room for it, or if its payload is longer than 125 bytes.
    pub fn push(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), Full> {
        let len = u8::try_from(payload.len()).map_err(|_| Full)?;
        if payload.len() > MAX_CONTROL_PAYLOAD || Self::entry_len(payload.len()) > self.free() {
            return Err(Full);
        }
        self.write(&[opcode.bits(), len]);
        self.write(payload);
        Ok(())
    }

    /// Removes and returns the oldest frame.
    pub fn pop(&mut self) -> Option<ControlFrame> {
        let frame = self.peek()?;
        let taken = Self::entry_len(frame.payload().len());
        self.head = self.head.wrapping_add(taken as u8);
        self.used -= taken as u16;
        Some(frame)
    }

    /// Returns a copy of the oldest frame without removing it.
    #[must_use]
    pub fn peek(&self) -> Option<ControlFrame> {
        if self.is_empty() {
            return None;
        }
        let mut header = [0; ENTRY_HEADER];
        self.read(self.head, &mut header);
        let opcode = OpCode::from_bits(header[0])?;
        let mut frame = ControlFrame { opcode, payload: [0; MAX_CONTROL_PAYLOAD], len: header[1] };
        let payload = &mut frame.payload[..usize::from(header[1])];
        self.read(self.head.wrapping_add(ENTRY_HEADER as u8), payload);
        Some(frame)
    }

    /// Removes all frames.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Whether the queue has no frame.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Bytes in use.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used as usize
    }

    /// Bytes left.
    #[must_use]
    pub const fn free(&self) -> usize {
        CONTROL_QUEUE_CAPACITY - self.used as usize
    }

    fn write(&mut self, bytes: &[u8]) {
        let start = usize::from(self.head) + self.used();
        for (i, byte) in bytes.iter().enumerate() {
            self.ring[(start + i) % CONTROL_QUEUE_CAPACITY] = *byte;
        }
        self.used += bytes.len() as u16;
    }

    fn read(&self, from: u8, out: &mut [u8]) {
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = self.ring[(usize::from(from) + i) % CONTROL_QUEUE_CAPACITY];
        }
    }
}

#[cfg(test)]
mod tests;
