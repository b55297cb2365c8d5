use std::{collections::TryReserveError, fmt};

/// The page size in bytes, on every platform that the placement helps.
const PAGE: usize = 4096;
/// The size in bytes from which a block's position within a page is chosen.
const PLACED_FROM: usize = 64 * 1024;

/// The offset from `pointer` at which bytes should begin: half a page after the start of a page.
///
/// The kernel copies a socket's bytes from and to whole pages of its own, mostly from their start. Some processors
/// (Zen 3 among them) copy at a sixteenth of their speed if the target is 1 to 31 bytes after the source, modulo a
/// page. Half a page is the largest distance from that in both directions, and it costs other processors nothing.
/// `bench/LOG.md` has the figures.
pub(super) fn placement(pointer: *const u8) -> usize {
    (PAGE / 2).wrapping_sub(pointer.addr()) % PAGE
}

/// The extra bytes that [`placement`] may need.
pub(super) const PLACEMENT_ROOM: usize = PAGE - 1;

/// The size of a cache line in bytes. A block that is placed has room for one before a payload of its capacity, so that
/// it can hold a frame's header too.
pub(super) const LINE: usize = 64;

/// Memory for one payload. A large one is placed within its page.
#[derive(Default)]
pub(super) struct Block {
    /// Initialized memory. Beyond the payload it has bytes of earlier use, so that reading into it does not clear it
    /// again.
    bytes: Vec<u8>,
    /// The offset of the payload.
    start: usize,
}

/// Payloads must not reach logs, including those of earlier use.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block(capacity of {} bytes)", self.capacity())
    }
}

impl Block {
    /// Creates an empty block with room for at least `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut block = Self::default();
        // If the allocation fails, the block has no room, and growing it reports the error.
        let _ = block.grow(0, capacity);
        block
    }

    /// The most bytes that the payload can have.
    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity() - self.start
    }

    /// The allocated memory, in bytes.
    pub(super) const fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// Grows to `capacity` bytes and keeps the first `filled`.
    pub(super) fn grow(&mut self, filled: usize, capacity: usize) -> Result<(), TryReserveError> {
        let room = if capacity < PLACED_FROM { self.start } else { PLACEMENT_ROOM + LINE };
        let wanted = capacity.saturating_add(room);
        self.bytes.try_reserve_exact(wanted - self.bytes.len().min(wanted))?;
        if capacity >= PLACED_FROM {
            self.place(filled);
        }
        Ok(())
    }

    /// Moves the payload to its position within a page. The allocator mostly grows a very large block by remapping
    /// its pages, and then the position is right already.
    fn place(&mut self, filled: usize) {
        let start = placement(self.bytes.as_ptr());
        if start == self.start {
            return;
        }
        if filled > 0 {
            self.initialize(self.start.max(start) + filled);
            self.bytes.copy_within(self.start..self.start + filled, start);
        }
        self.start = start;
    }

    /// Writes `bytes` after the first `filled`; there must be room.
    pub(super) fn write(&mut self, filled: usize, bytes: &[u8]) {
        let at = self.start + filled;
        self.initialize(at);
        let (over, beyond) = bytes.split_at(bytes.len().min(self.bytes.len() - at));
        self.bytes[at..at + over.len()].copy_from_slice(over);
        self.bytes.extend_from_slice(beyond);
    }

    /// The first `filled` bytes.
    pub(super) fn slice(&self, filled: usize) -> &[u8] {
        &self.bytes[self.start.min(self.bytes.len())..][..filled]
    }

    /// The bytes from `from` up to `to`. Those that are not yet initialized are cleared.
    pub(super) fn slice_mut(&mut self, from: usize, to: usize) -> &mut [u8] {
        let (from, to) = (self.start + from, self.start + to);
        self.initialize(to);
        &mut self.bytes[from..to]
    }

    /// How many bytes of the payload need not be cleared before they are read into.
    pub(super) fn initialized(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    /// Drops the first `n` bytes of the payload.
    pub(super) const fn advance(&mut self, n: usize) {
        self.start += n;
    }

    /// Makes the block empty, at its position within a page.
    pub(super) fn clear(&mut self) {
        if self.footprint() >= PLACED_FROM + PLACEMENT_ROOM {
            self.place(0);
        } else {
            self.start = 0;
        }
    }

    /// The offset of the payload in [`memory`](Self::memory).
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// The initialized memory, including the bytes before the payload.
    #[inline]
    pub(super) fn memory(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(super) fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The memory, and the offset of the payload in it.
    pub(super) fn into_vec(self) -> (Vec<u8>, usize) {
        (self.bytes, self.start)
    }

    /// Clears memory up to `end` that is not initialized.
    fn initialize(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }
}

/// A filled block that keeps its position.
impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}
