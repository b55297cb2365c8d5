use std::{collections::TryReserveError, mem, ops::Deref};

use bytes::{Buf as _, Bytes};

use super::{BufferPool, block::Block};

/// The first allocation for a message that arrives in parts, in bytes, if its announced length is not smaller.
const FIRST_CAPACITY: usize = 1024;

/// The most new memory that one read uses, in bytes. It is cleared, then read into, then unmasked; this size keeps it
/// in the processor's cache meanwhile.
const CLEAR_AT_MOST: usize = 256 * 1024;

/// A growable buffer for one message. A large one returns to its [`BufferPool`] when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct PooledBuffer {
    block: Block,
    filled: usize,
    pool: Option<BufferPool>,
}

impl PooledBuffer {
    pub(crate) fn new(pool: BufferPool) -> Self {
        Self { block: Block::default(), filled: 0, pool: Some(pool) }
    }

    /// A block whose first `filled` bytes are the payload.
    pub(super) const fn filled(block: Block, filled: usize, pool: BufferPool) -> Self {
        Self { block, filled, pool: Some(pool) }
    }

    /// Makes room for `needed` bytes in total, of at most `announced` that may arrive.
    ///
    /// The capacity doubles, so memory follows the bytes received and not the length announced.
    pub(crate) fn reserve_total(&mut self, needed: usize, announced: usize) -> Result<(), TryReserveError> {
        if self.block.capacity() >= needed {
            return Ok(());
        }
        let target = self.target(needed, announced);
        if let Some(pool) = self.pool.as_ref().filter(|pool| target >= pool.buffer_size())
            && let Some(mut larger) = pool.take(needed, announced)
        {
            larger.write(0, self);
            pool.put_back(mem::replace(&mut self.block, larger));
            return Ok(());
        }
        self.block.grow(self.filled, target)
    }

    /// The number of bytes by which [`reserve_total`](Self::reserve_total) would grow the buffer.
    pub(crate) fn growth(&self, needed: usize, announced: usize) -> usize {
        let capacity = self.block.capacity();
        if capacity >= needed { 0 } else { self.target(needed, announced) - capacity }
    }

    fn target(&self, needed: usize, announced: usize) -> usize {
        // A message that begins will most likely grow: reserve twice its first part.
        let first = if self.filled == 0 { needed.saturating_mul(2) } else { needed };
        let doubled = first.max(self.block.capacity().saturating_mul(2)).max(FIRST_CAPACITY);
        doubled.min(announced.max(needed))
    }

    /// Appends bytes; the caller has reserved room for them.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.block.write(self.filled, bytes);
        self.filled += bytes.len();
    }

    /// Room after the payload to read into, at most `max` bytes.
    pub(crate) fn spare_mut(&mut self, max: usize) -> &mut [u8] {
        let cleared = self.block.initialized().max(self.filled.saturating_add(CLEAR_AT_MOST));
        let end = self.block.capacity().min(self.filled.saturating_add(max)).min(cleared);
        self.block.slice_mut(self.filled, end)
    }

    /// Adds the first `n` bytes of [`spare_mut`](Self::spare_mut) to the payload.
    pub(crate) fn commit(&mut self, n: usize) {
        self.filled = self.block.capacity().min(self.filled + n);
    }

    /// The payload from `start` to its end.
    pub(crate) fn tail_mut(&mut self, start: usize) -> &mut [u8] {
        self.block.slice_mut(start, self.filled)
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// The same bytes, copied if they fill less than a quarter of the buffer, so that a small payload does not pin a
    /// large buffer.
    pub(crate) fn trimmed(self) -> Self {
        if self.filled < self.block.capacity() / 4 { Self::from(self.to_vec()) } else { self }
    }

    /// The payload, without a copy. A payload that fills less than a quarter of the buffer is copied instead, so that
    /// it does not pin the buffer.
    #[must_use]
    pub(crate) fn into_bytes(mut self) -> Bytes {
        if self.filled < self.block.capacity() / 4 {
            return Bytes::copy_from_slice(&self);
        }
        match &self.pool {
            Some(pool) if self.block.footprint() >= pool.buffer_size() => Bytes::from_owner(self),
            _ => {
                let (mut bytes, start) = mem::take(&mut self.block).into_vec();
                bytes.truncate(start + self.filled);
                let mut bytes = Bytes::from(bytes);
                bytes.advance(start);
                bytes
            }
        }
    }
}

/// Creates a buffer that belongs to no pool.
impl From<Vec<u8>> for PooledBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { filled: bytes.len(), block: Block::from(bytes), pool: None }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take().filter(|_| self.block.capacity() > 0) {
            pool.put_back(mem::take(&mut self.block));
        }
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.block.slice(self.filled)
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
