use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::block::Block;

/// How many buffers a [`BufferPool`] keeps for reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferPoolConfig {
    /// Smallest buffer that is pooled, in bytes; messages below it live in plain allocations. Default 64 KiB.
    pub buffer_size: usize,
    /// Buffers made at the start, and kept by [`BufferPool::trim`]; at most [`MAX_PREHEAT`](Self::MAX_PREHEAT), more counts
    /// as that. Default 8.
    pub preheat: usize,
    /// Most bytes kept in unused buffers; what comes back beyond it is freed. Default 32 MiB: a message of the default
    /// limit, and some more.
    pub max_retained: usize,
}

impl BufferPoolConfig {
    /// The most buffers that a pool makes at the start.
    pub const MAX_PREHEAT: usize = 65_536;

    /// The most that a pool keeps if nobody says otherwise.
    const LARGEST_DEFAULT: usize = 256 * 1024 * 1024;

    /// The defaults, and room for a message of `max_message_size` bytes, up to 256 MiB: whoever accepts such messages
    /// may get several.
    #[must_use]
    pub fn for_messages_of(max_message_size: usize) -> Self {
        let default = Self::default();
        // With what a buffer takes beside its payload.
        let largest = max_message_size.saturating_add(default.buffer_size).min(Self::LARGEST_DEFAULT);
        Self { max_retained: default.max_retained.max(largest), ..default }
    }
}

impl Default for BufferPoolConfig {
    fn default() -> Self {
        Self { buffer_size: 64 * 1024, preheat: 8, max_retained: 32 * 1024 * 1024 }
    }
}

/// Buffers for large messages, reused: fresh pages cost more than the copy into them.
///
/// Cloning gives another handle to the same pool. A buffer returns when the last owner of its bytes drops them,
/// on whichever thread; the lock is taken per large message, never per small one.
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
    /// The fewest buffers that lay unused since the last trim: what nobody needed.
    low_mark: usize,
}

impl BufferPool {
    /// A pool, with its first buffers made.
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

    /// The smallest pooled buffer, in bytes.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.0.config.buffer_size
    }

    /// Bytes in unused buffers.
    #[must_use]
    pub fn retained(&self) -> usize {
        self.unused().bytes
    }

    /// Whether there is no other handle to the pool, and no buffer of it in use.
    #[must_use]
    pub fn is_unshared(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Frees the buffers that nobody needed since the last call, except the preheated ones. Call it now and then.
    pub fn trim(&self) {
        let mut unused = self.unused();
        let count = unused.buffers.len();
        let keep = self.0.config.preheat.max(count - unused.low_mark.min(count)).min(count);
        unused.buffers.sort_unstable_by_key(Block::capacity);
        let freed = unused.buffers.split_off(keep);
        unused.bytes -= freed.iter().map(Block::footprint).sum::<usize>();
        unused.low_mark = unused.buffers.len();
    }

    /// An unused buffer of at least `needed` bytes; of several the smallest that holds `wanted`, else the largest. None that
    /// is several times as large: whoever has it is charged for all of it.
    pub(super) fn take(&self, needed: usize, wanted: usize) -> Option<Block> {
        let mut unused = self.unused();
        let most = wanted.max(needed).max(self.0.config.buffer_size).saturating_mul(4);
        let rank = |buffer: &Block| match buffer.capacity() {
            capacity if capacity >= wanted => (0, capacity),
            capacity => (1, usize::MAX - capacity),
        };
        let best = (0..unused.buffers.len())
            .filter(|at| (needed..=most).contains(&unused.buffers[*at].capacity()))
            .min_by_key(|at| rank(&unused.buffers[*at]))?;
        let buffer = unused.buffers.swap_remove(best);
        unused.bytes -= buffer.footprint();
        unused.low_mark = unused.low_mark.min(unused.buffers.len());
        Some(buffer)
    }

    /// Keeps `buffer` for reuse if it is large enough and there is room.
    pub(super) fn put_back(&self, buffer: Block) {
        let mut unused = self.unused();
        let bytes = unused.bytes + buffer.footprint();
        if buffer.capacity() >= self.0.config.buffer_size && bytes <= self.0.config.max_retained {
            unused.bytes = bytes;
            unused.buffers.push(buffer);
        }
    }

    fn unused(&self) -> MutexGuard<'_, Unused> {
        // Nothing that runs under the lock can leave the list half-changed.
        self.0.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for BufferPool {
    fn default() -> Self {
        Self::new(BufferPoolConfig::default())
    }
}
