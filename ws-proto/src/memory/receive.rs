use std::{fmt, mem};

use super::{
    BufferPool, PooledBuffer,
    block::{Block, LINE},
};

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
    /// The standard window, while a larger one is open for one large message.
    standard: Block,
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
            standard: Block::default(),
            assembled: PooledBuffer::default(),
            inflated: Vec::new(),
            inflated_in_turn: 0,
            pool,
            control_frames: 0,
        };
        buffer.open_window(window, size);
        buffer
    }

    /// Makes the first `size` bytes of `block` the window, empty, and returns the previous block.
    fn open_window(&mut self, mut block: Block, size: usize) -> Block {
        // Initialize it now, so that it is never cleared again.
        block.slice_mut(0, size);
        self.base = block.start();
        self.limit = self.base + size;
        self.start = self.base;
        self.end = self.base;
        mem::replace(&mut self.wire, block)
    }

    /// Whether a payload of `len` bytes in the window should be detached with the window rather than copied. It must
    /// fill at least half of the window, so that it does not pin much more than its own size.
    pub(crate) fn is_worth_detaching(&self, len: usize) -> bool {
        len >= self.size / 2 && self.size >= self.pool.buffer_size() && !self.is_large()
    }

    /// Detaches the processed bytes at `start..start + len` together with the window, and opens another window.
    pub(crate) fn detach(&mut self, start: usize, len: usize) -> PooledBuffer {
        let fresh = self.pool.take(self.size, self.size).unwrap_or_else(|| Block::with_capacity(self.size));
        if fresh.capacity() < self.size {
            // There is no memory for another window.
            return PooledBuffer::from(self.processed(start, len).to_vec());
        }
        let old = self.replace_window(fresh);
        self.take_from(old, start, len)
    }

    /// Makes `block` the standard window, with the bytes that are not processed, and returns the previous block.
    fn replace_window(&mut self, block: Block) -> Block {
        let unprocessed = self.start..self.end;
        let old = self.open_window(block, self.size);
        let rest = &old.memory()[unprocessed];
        self.spare_mut()[..rest.len()].copy_from_slice(rest);
        self.end += rest.len();
        old
    }

    /// The bytes at `start..start + len` of a window that was replaced.
    fn take_from(&self, mut window: Block, start: usize, len: usize) -> PooledBuffer {
        window.advance(start - window.start());
        PooledBuffer::filled(window, len, self.pool.clone())
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

    /// Where the bytes that are not processed begin. It holds until all are processed.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn position(&self) -> usize {
        self.start
    }

    /// Whether the latest read has filled most of the window. It most likely has many messages.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn is_half_filled(&self) -> bool {
        self.end - self.start >= self.size / 2
    }

    /// Whether what is left of the read cannot take the window along as it is processed, so that messages can be lent
    /// from it.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub const fn may_lend(&self) -> bool {
        !self.is_large() && !self.is_half_filled()
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

    /// Marks bytes as processed. No byte is moved: [`rewind`](Self::rewind) starts again at the beginning.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Makes the whole window spare again if all of it is processed. No payload in it may be lent.
    #[inline]
    pub(crate) fn rewind(&mut self) {
        if self.start == self.end {
            if self.is_large() {
                self.close_large();
            }
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

/// A window for one large message. The message takes the memory with it, so it is not copied.
impl ReceiveBuffer {
    /// Whether a window for a large message is open.
    #[inline]
    pub(crate) const fn is_large(&self) -> bool {
        self.standard.footprint() > 0
    }

    /// Opens a window for a frame with a header of `header` bytes and a payload of `len` bytes, of which it reads at
    /// most `first`. It needs an unused block of the pool. Everything received must be processed.
    #[cold]
    pub(crate) fn open_large(&mut self, header: usize, first: usize, len: usize) {
        let lead = LINE - header;
        let (size, capacity) = (header + first, header + len);
        if self.is_large() {
            if self.limit - self.base == size && self.wire.capacity() >= capacity {
                return;
            }
            self.close_large();
        }
        if let Some(mut block) = self.pool.take(lead + capacity, lead + capacity) {
            // The payload begins at the start of a cache line.
            block.advance(lead);
            self.standard = self.open_window(block, size);
        }
    }

    /// Returns to the standard window.
    #[cold]
    fn close_large(&mut self) {
        let standard = mem::take(&mut self.standard);
        let large = self.open_window(standard, self.size);
        self.pool.put_back(large);
    }

    /// The memory, in bytes, that a payload of `len` bytes in this window would take with it. `None` if there is no
    /// window for a large message, or if a payload below the pool's buffer size would pin more than four times its
    /// size.
    pub(crate) fn large_capacity(&self, len: usize) -> Option<usize> {
        let is_worthwhile = len >= self.pool.buffer_size() || len >= self.wire.capacity() / 4;
        let rest = self.end - self.start;
        (self.is_large() && is_worthwhile && rest <= self.size).then(|| self.wire.capacity())
    }

    /// Takes the processed bytes at `start..start + len` together with the window, and returns to the standard window.
    /// Call it only if [`large_capacity`](Self::large_capacity) is not `None`.
    pub(crate) fn take_large(&mut self, start: usize, len: usize) -> PooledBuffer {
        let standard = mem::take(&mut self.standard);
        let large = self.replace_window(standard);
        self.take_from(large, start, len)
    }
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new(DEFAULT_RECEIVE_BUFFER, BufferPool::default())
    }
}
