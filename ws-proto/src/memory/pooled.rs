use std::{collections::TryReserveError, mem, ops::Deref};

use bytes::{Buf as _, Bytes};

use super::{BufferPool, block::Block};

/// First allocation for a message that arrives in parts, in bytes, if it announced at least so much.
const FIRST_CAPACITY: usize = 1024;

/// A growable buffer that holds one message; a large one goes back to its [`BufferPool`] when it is dropped.
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

    /// Makes room for `needed` bytes in all, of at most `announced` that may come.
    ///
    /// Grows by doubling, so that memory follows the bytes received and not the length announced.
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

    /// By how many bytes [`reserve_total`](Self::reserve_total) would grow it.
    pub(crate) fn growth(&self, needed: usize, announced: usize) -> usize {
        let capacity = self.block.capacity();
        if capacity >= needed { 0 } else { self.target(needed, announced) - capacity }
    }

    fn target(&self, needed: usize, announced: usize) -> usize {
        let doubled = needed.max(self.block.capacity().saturating_mul(2)).max(FIRST_CAPACITY);
        doubled.min(announced.max(needed))
    }

    /// Appends bytes; the caller has reserved.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.block.write(self.filled, bytes);
        self.filled += bytes.len();
    }

    /// Room behind the payload, at most `max` bytes of it, to read into.
    pub(crate) fn spare_mut(&mut self, max: usize) -> &mut [u8] {
        let end = self.block.capacity().min(self.filled.saturating_add(max));
        self.block.slice_mut(self.filled, end)
    }

    /// Says that `n` bytes of [`spare_mut`](Self::spare_mut) were filled.
    pub(crate) fn commit(&mut self, n: usize) {
        self.filled = self.block.capacity().min(self.filled + n);
    }

    /// The payload from `start` on.
    pub(crate) fn tail_mut(&mut self, start: usize) -> &mut [u8] {
        self.block.slice_mut(start, self.filled)
    }

    pub(crate) const fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// The same bytes, copied if they fill less than a quarter of the buffer: a small payload is not to keep a large one.
    pub(crate) fn trimmed(self) -> Self {
        if self.filled < self.block.capacity() / 4 { Self::from(self.to_vec()) } else { self }
    }

    /// The bytes, without a copy; but a small payload is copied out of a large buffer rather than pin it.
    #[must_use]
    pub(crate) fn into_bytes(mut self) -> Bytes {
        if self.filled < self.block.capacity() / 4 {
            return Bytes::copy_from_slice(&self);
        }
        match &self.pool {
            Some(pool) if self.block.capacity() >= pool.buffer_size() => Bytes::from_owner(self),
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

/// A buffer that belongs to no pool.
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
