use super::{
    BufferPool, PooledBuffer,
    block::{PLACEMENT_ROOM, placement},
};

/// Default size of the read window, in bytes. Twice 64 KiB, for a frame with that popular payload has a header too.
pub const DEFAULT_RECEIVE_BUFFER: usize = 128 * 1024;

/// Received bytes that no [`Connection`](crate::Connection) has taken yet.
///
/// ```text
///  ┌───────────┬────────────┬──────────────┐
///  │ processed │  received  │     spare    │
///  └───────────┴────────────┴──────────────┘
///  base      start         end         limit
/// ```
/// Once [`Connection::poll_event`](crate::Connection::poll_event) has returned `None` nothing is left between
/// `start` and `end`: what belongs to an unfinished frame or message is with the connection. So one buffer serves
/// any number of connections, one after the other.
#[derive(Debug)]
pub struct ReceiveBuffer {
    wire: Box<[u8]>,
    /// Where the window begins and ends; the memory is a little larger, so that its place within a page can be chosen.
    base: usize,
    limit: usize,
    pub(crate) start: usize,
    end: usize,
    /// The assembled message of the latest event; the next event takes its place.
    pub(crate) assembled: PooledBuffer,
    pool: BufferPool,
    /// Control frames seen since the last [`commit`](Self::commit).
    pub(crate) control_frames: u32,
}

impl ReceiveBuffer {
    /// A window of `size` bytes (at least 256), with large messages from `pool`.
    #[must_use]
    pub fn new(size: usize, pool: BufferPool) -> Self {
        let size = size.max(256);
        let wire = vec![0; size + PLACEMENT_ROOM].into_boxed_slice();
        let base = placement(wire.as_ptr());
        Self {
            wire,
            base,
            limit: base + size,
            start: base,
            end: base,
            assembled: PooledBuffer::default(),
            pool,
            control_frames: 0,
        }
    }

    /// Where to read into; never empty after `poll_event` has returned `None`.
    #[inline]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.wire[self.end..self.limit]
    }

    /// Says that the first `n` bytes of [`spare_mut`](Self::spare_mut) were filled; `n` is capped at its length.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        self.end = self.limit.min(self.end.saturating_add(n));
        self.control_frames = 0;
    }

    /// Appends as many of `bytes` as fit, and says how many those were.
    pub fn extend(&mut self, bytes: &[u8]) -> usize {
        let spare = self.spare_mut();
        let n = spare.len().min(bytes.len());
        spare[..n].copy_from_slice(&bytes[..n]);
        self.commit(n);
        n
    }

    /// Bytes received and not processed.
    #[inline]
    #[must_use]
    pub fn unprocessed(&self) -> &[u8] {
        &self.wire[self.start..self.end]
    }

    /// Whether all received bytes are processed.
    #[inline]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The pool that large messages come from.
    #[must_use]
    pub const fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Gives the latest assembled message back to the pool.
    #[inline]
    pub fn release_assembled(&mut self) {
        self.assembled = PooledBuffer::default();
    }

    #[inline]
    pub(crate) fn unprocessed_mut(&mut self) -> &mut [u8] {
        &mut self.wire[self.start..self.end]
    }

    /// Marks bytes as processed; a fully processed window starts over at its beginning, so nothing is ever moved.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
    }

    /// Makes the whole window spare again; only when all is processed, and no payload in it is lent.
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

    /// The processed bytes at `start..start + len`.
    #[inline]
    pub(crate) fn processed(&self, start: usize, len: usize) -> &[u8] {
        &self.wire[start..start + len]
    }
}

impl Default for ReceiveBuffer {
    fn default() -> Self {
        Self::new(DEFAULT_RECEIVE_BUFFER, BufferPool::default())
    }
}
