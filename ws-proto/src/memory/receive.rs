use std::{fmt, mem};

use bytes::Bytes;

use super::{BufferPool, PooledBuffer, block::Block};

/// The default size of the read window, in bytes. It is twice 64 KiB, because a frame with a payload of that common
/// size also has a header.
pub const DEFAULT_RECEIVE_BUFFER: usize = 128 * 1024;

/// Received bytes that no [`Connection`](crate::Connection) has consumed yet. Fill it through the connection: with
/// [`Connection::receive`](crate::Connection::receive), or by reading into
/// [`Connection::read_target`](crate::Connection::read_target).
///
/// ```text
///  ┌───────────┬────────────┬──────────────┐
///  │ processed │  received  │     spare    │
///  └───────────┴────────────┴──────────────┘
///  base      start         end         limit
/// ```
/// Once [`Connection::poll_event`](crate::Connection::poll_event) has returned `None`, no byte is left between
/// `start` and `end`: the connection keeps the bytes of an unfinished frame or message. So one buffer serves any
/// number of connections, one after the other.
pub struct ReceiveBuffer {
    wire: Block,
    size: usize,
    /// Start and end of the window in the block's memory.
    base: usize,
    limit: usize,
    pub(crate) start: usize,
    end: usize,
    /// The assembled message of the latest event; the next event replaces it.
    pub(crate) assembled: PooledBuffer,
    /// Scratch memory for inflated messages; allocated for the first one.
    pub(crate) inflated: Vec<u8>,
    /// Bytes inflated since the last [`commit`](Self::commit), or since the connection last yielded.
    pub(crate) inflated_in_turn: usize,
    pool: BufferPool,
    /// Control frames seen since the last [`commit`](Self::commit).
    pub(crate) control_frames: u32,
}

/// Payloads must not reach logs, including those of other connections that used the buffer before.
impl fmt::Debug for ReceiveBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveBuffer")
            .field("size", &self.size)
            .field("unprocessed", &(self.end - self.start))
            .finish_non_exhaustive()
    }
}

impl ReceiveBuffer {
    /// The smallest window, in bytes: enough for two control frames.
    const SMALLEST: usize = 256;

    /// Creates a buffer with a window of `size` bytes that takes memory for large messages from `pool`. If the
    /// allocation fails, the window has the minimum of 256 bytes.
    #[must_use]
    pub fn new(size: usize, pool: BufferPool) -> Self {
        let window = Block::with_capacity(size.max(Self::SMALLEST));
        let size = if window.capacity() >= size { size.max(Self::SMALLEST) } else { Self::SMALLEST };
        let mut buffer = Self {
            wire: Block::default(),
            size,
            base: 0,
            limit: 0,
            start: 0,
            end: 0,
            assembled: PooledBuffer::default(),
            inflated: Vec::new(),
            inflated_in_turn: 0,
            pool,
            control_frames: 0,
        };
        buffer.open_window(window);
        buffer
    }

    /// Makes `block` the window, empty, and returns the previous block.
    fn open_window(&mut self, mut block: Block) -> Block {
        // Initialize it now, so that it is never cleared again.
        block.slice_mut(0, self.size);
        self.base = block.start();
        self.limit = self.base + self.size;
        self.start = self.base;
        self.end = self.base;
        mem::replace(&mut self.wire, block)
    }

    /// Whether a payload of `len` bytes in the window should be detached with the window rather than copied. It must
    /// fill at least half of the window, so that it does not pin much more than its own size.
    pub(crate) fn is_worth_detaching(&self, len: usize) -> bool {
        len >= self.size / 2 && self.size >= self.pool.buffer_size()
    }

    /// Detaches the processed bytes at `start..start + len` together with the window, and opens another window.
    pub(crate) fn detach(&mut self, start: usize, len: usize) -> Bytes {
        let fresh = self.pool.take(self.size, self.size).unwrap_or_else(|| Block::with_capacity(self.size));
        if fresh.capacity() < self.size {
            // There is no memory for another window.
            return Bytes::copy_from_slice(self.processed(start, len));
        }
        let unprocessed = self.start..self.end;
        let old = self.open_window(fresh);
        let rest = &old.memory()[unprocessed];
        self.spare_mut()[..rest.len()].copy_from_slice(rest);
        self.end += rest.len();
        let start = start - old.start();
        Bytes::from_owner(PooledBuffer::filled(old, start + len, self.pool.clone())).slice(start..)
    }

    /// The memory to read into. It is never empty after `poll_event` has returned `None`.
    #[inline]
    pub(crate) fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.wire.memory_mut()[self.end..self.limit]
    }

    /// Marks the first `n` bytes of [`spare_mut`](Self::spare_mut) as received. `n` is capped at its length.
    #[inline]
    pub(crate) fn commit(&mut self, n: usize) {
        self.end = self.limit.min(self.end.saturating_add(n));
        self.control_frames = 0;
        self.inflated_in_turn = 0;
    }

    /// Appends as many of `bytes` as fit. Returns their number.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.commit(n);
        n
    }

    /// The received bytes that are not processed yet.
    #[inline]
    #[must_use]
    pub(crate) fn unprocessed(&self) -> &[u8] {
        &self.wire.memory()[self.start..self.end]
    }

    /// Whether all received bytes are processed.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The size of the window, in bytes: what one read can bring.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The pool that provides the buffers for large messages.
    #[must_use]
    pub const fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Returns the buffer of the latest assembled message to the pool. If all bytes of the window are processed, the
    /// whole window becomes spare again.
    #[inline]
    pub fn release_assembled(&mut self) {
        if self.assembled.capacity() > 0 {
            self.assembled = PooledBuffer::default();
        }
        self.rewind();
    }

    #[inline]
    pub(crate) fn unprocessed_mut(&mut self) -> &mut [u8] {
        &mut self.wire.memory_mut()[self.start..self.end]
    }

    /// Marks bytes as processed. A fully processed window starts again at its beginning, so no byte is moved.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Makes the whole window spare again if all of it is processed. No payload in it may be lent.
    #[inline]
    pub(crate) fn rewind(&mut self) {
        if self.start == self.end {
            self.start = self.base;
            self.end = self.base;
        }
    }

    pub(crate) fn discard(&mut self) {
        self.start = self.end;
        self.rewind();
    }

    /// The latest inflated message.
    #[inline]
    pub(crate) fn inflated(&self, len: usize) -> &[u8] {
        &self.inflated[..len]
    }

    /// The processed bytes at `start..start + len`.
    #[inline]
    pub(crate) fn processed(&self, start: usize, len: usize) -> &[u8] {
        &self.wire.memory()[start..start + len]
    }
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new(DEFAULT_RECEIVE_BUFFER, BufferPool::default())
    }
}
