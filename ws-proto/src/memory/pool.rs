use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// The sizes and limits of a [`BufferPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferPoolConfig {
    /// The smallest buffer that is pooled, in bytes. Smaller messages have plain allocations. Default 64 KiB.
    pub buffer_size: usize,
    /// The number of buffers that are allocated when the pool is created, and kept by [`BufferPool::trim`]. At most
    /// [`MAX_PREHEAT`](Self::MAX_PREHEAT); a larger number counts as that. Default 8.
    pub preheat: usize,
    /// The most bytes kept in unused buffers. A buffer that is returned beyond that is freed. Default 32 MiB, for a
    /// message of the default limit and a few smaller ones.
    pub max_retained: usize,
}

impl BufferPoolConfig {
    /// The most buffers that a pool allocates when it is created.
    pub const MAX_PREHEAT: usize = 65_536;

    /// The upper limit of a derived `max_retained`, in bytes.
    const LARGEST_DEFAULT: usize = 256 * 1024 * 1024;

    /// The defaults, with room for at least one message of `max_message_size` bytes, up to 256 MiB.
    #[must_use]
    pub fn for_messages_of(max_message_size: usize) -> Self {
        let default = Self::default();
        // A buffer takes slightly more than its payload.
        let largest = max_message_size.saturating_add(default.buffer_size).min(Self::LARGEST_DEFAULT);
        Self { max_retained: default.max_retained.max(largest), ..default }
    }
}

impl Default for BufferPoolConfig {
    fn default() -> Self {
        Self { buffer_size: 64 * 1024, preheat: 8, max_retained: 32 * 1024 * 1024 }
    }
}

/// A pool of buffers for large messages. Reuse is worthwhile because fresh pages cost more than the copy into them.
///
/// Cloning gives another handle to the same pool. A buffer returns to the pool when the last owner of its bytes drops
/// them, on any thread. The lock is taken once per large message, never for a small one.
#[derive(Debug, Clone)]
pub struct BufferPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    config: BufferPoolConfig,
    unused: Mutex<Unused>,
}

#[derive(Debug, Default)]
struct Unused {
    buffers: Vec<Block>,
    bytes: usize,
    /// The fewest unused buffers since the last trim: that many were not needed.
    low_mark: usize,
}

impl BufferPool {
    /// Creates a pool and allocates its first buffers.
    #[must_use]
    pub fn new(config: BufferPoolConfig) -> Self {
        let mut unused = Unused::default();
        unused.buffers.extend(
            (0..config.preheat.min(BufferPoolConfig::MAX_PREHEAT))
                .map(|_| Block::with_capacity(config.buffer_size)),
        );
        unused.bytes = unused.buffers.iter().map(Block::footprint).sum();
        unused.low_mark = unused.buffers.len();
        Self(Arc::new(Pool { config, unused: Mutex::new(unused) }))
    }

    /// The size of the smallest pooled buffer, in bytes.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.0.config.buffer_size
    }

    /// Bytes in unused buffers.
    #[must_use]
    pub fn retained(&self) -> usize {
        self.unused().bytes
    }

    /// Whether the pool has no other handle, and none of its buffers is in use.
    #[must_use]
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Frees the buffers that were not needed since the last call, except the preheated number of buffers that are not
    /// twice as large as the preheated ones. Call it periodically.
    pub fn trim(&self) {
        let most = self.0.config.buffer_size.saturating_mul(2);
        let mut unused = self.unused();
        let count = unused.buffers.len();
        let needed = count - unused.low_mark.min(count);
        unused.buffers.sort_unstable_by_key(Block::capacity);
        let small = unused.buffers.partition_point(|buffer| buffer.capacity() < most);
        let keep = needed.max(self.0.config.preheat.min(small));
        let freed = unused.buffers.split_off(keep);
        unused.bytes -= freed.iter().map(Block::footprint).sum::<usize>();
        unused.low_mark = unused.buffers.len();
    }

    /// Takes an unused buffer of at least `needed` bytes: the smallest that holds `wanted`, or the largest if none
    /// does. A buffer of more than four times the size is not taken, because its holder is charged for all of it.
    pub(super) fn take(&self, needed: usize, wanted: usize) -> Option<Block> {
        let mut unused = self.unused();
        let most = wanted.max(needed).max(self.0.config.buffer_size).saturating_mul(4);
        let rank = |buffer: &Block| match buffer.capacity() {
            capacity if capacity >= wanted => (0, capacity),
            capacity => (1, usize::MAX - capacity),
        };
        // Of equal buffers, the one that was returned last is most likely in the processor's cache.
        let best = (0..unused.buffers.len())
            .rev()
            .filter(|at| (needed..=most).contains(&unused.buffers[*at].capacity()))
            .min_by_key(|at| rank(&unused.buffers[*at]))?;
        let buffer = unused.buffers.remove(best);
        unused.bytes -= buffer.footprint();
        unused.low_mark = unused.low_mark.min(unused.buffers.len());
        Some(buffer)
    }

    /// Keeps `buffer` for reuse if it is large enough and the pool has room for it.
    pub(super) fn put_back(&self, mut buffer: Block) {
        buffer.clear();
        let mut unused = self.unused();
        let bytes = unused.bytes + buffer.footprint();
        if buffer.capacity() >= self.0.config.buffer_size && bytes <= self.0.config.max_retained {
            unused.bytes = bytes;
            unused.buffers.push(buffer);
        }
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        // No code under the lock can leave the list half-changed.
        self.0.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(BufferPoolConfig::default())
    }
}
