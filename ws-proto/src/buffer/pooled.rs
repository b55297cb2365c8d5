use std::{collections::TryReserveError, mem, ops::Deref};

use bytes::Bytes;

use super::BufferPool;

/// First allocation for a message that arrives in parts, in bytes, if it announced at least so much.
const FIRST_CAPACITY: usize = 1024;

/// A growable buffer that holds one message; a large one goes back to its [`BufferPool`] when it is dropped.
#[derive(Debug, Default)]
pub struct PooledBuffer {
    /// Initialised memory. What lies beyond `filled` is left over from earlier use, so that reading into it need
    /// not clear it again.
    bytes: Vec<u8>,
    filled: usize,
    pool: Option<BufferPool>,
}

impl PooledBuffer {
    pub(crate) const fn new(pool: BufferPool) -> Self {
        Self { bytes: Vec::new(), filled: 0, pool: Some(pool) }
    }

    /// Makes room for `needed` bytes in all, of at most `announced` that may come.
    ///
    /// Grows by doubling, so that memory follows the bytes received and not the length announced.
    pub(crate) fn reserve_total(&mut self, needed: usize, announced: usize) -> Result<(), TryReserveError> {
        let capacity = self.bytes.capacity();
        if capacity >= needed {
            return Ok(());
        }
        let doubled = needed.max(capacity.saturating_mul(2)).max(FIRST_CAPACITY);
        let target = doubled.min(announced.max(needed));
        if let Some(pool) = self.pool.as_ref().filter(|pool| target >= pool.buffer_size())
            && let Some(mut larger) = pool.take(needed, announced)
        {
            overwrite(&mut larger, 0, &self.bytes[..self.filled]);
            pool.put_back(mem::replace(&mut self.bytes, larger));
            return Ok(());
        }
        self.bytes.try_reserve_exact(target - self.bytes.len())
    }

    /// Appends bytes; the caller has reserved.
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        overwrite(&mut self.bytes, self.filled, bytes);
        self.filled += bytes.len();
    }

    /// Room behind the payload, at most `max` bytes of it, to read into.
    pub(crate) fn spare_mut(&mut self, max: usize) -> &mut [u8] {
        let end = self.bytes.capacity().min(self.filled.saturating_add(max));
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end]
    }

    /// Says that `n` bytes of [`spare_mut`](Self::spare_mut) were filled.
    pub(crate) fn commit(&mut self, n: usize) {
        self.filled = self.bytes.len().min(self.filled + n);
    }

    /// The payload from `start` on.
    pub(crate) fn tail_mut(&mut self, start: usize) -> &mut [u8] {
        &mut self.bytes[start..self.filled]
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes, without a copy; but a small payload is copied out of a large buffer rather than pin it.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        if self.filled < self.bytes.capacity() / 4 {
            return Bytes::copy_from_slice(&self);
        }
        match &self.pool {
            Some(pool) if self.bytes.capacity() >= pool.buffer_size() => Bytes::from_owner(self),
            _ => {
                let mut bytes = mem::take(&mut self.bytes);
                bytes.truncate(self.filled);
                Bytes::from(bytes)
            }
        }
    }
}

/// Writes `bytes` at `at`, over what is initialised and beyond it.
fn overwrite(target: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let (over, beyond) = bytes.split_at(bytes.len().min(target.len() - at));
    target[at..at + over.len()].copy_from_slice(over);
    target.extend_from_slice(beyond);
}

/// A buffer that belongs to no pool.
impl From<Vec<u8>> for PooledBuffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { filled: bytes.len(), bytes, pool: None }
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take().filter(|_| self.bytes.capacity() > 0) {
            pool.put_back(mem::take(&mut self.bytes));
        }
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
