use std::{collections::TryReserveError, fmt};

/// Bytes of a page, in every kernel and on every processor that this matters for.
const PAGE: usize = 4096;
/// From this size on a block's place within a page is chosen.
const PLACED_FROM: usize = 64 * 1024;

/// How far into memory at `pointer` bytes should begin: to half a page behind a page's start.
///
/// The kernel copies a socket's bytes from and to whole pages of its own, mostly from their start, and some processors
/// (Zen 3 among them) copy at a sixteenth of their speed when the target lies 1 to 31 bytes behind the source, modulo a
/// page. Half a page is as far from that as can be, in both directions, and costs the other processors nothing.
/// `bench/RESULTS.md` has the figures.
pub(super) fn placement(pointer: *const u8) -> usize {
    (PAGE / 2).wrapping_sub(pointer.addr()) % PAGE
}

/// What [`placement`] may need beside the bytes themselves.
pub(super) const PLACEMENT_ROOM: usize = PAGE - 1;

/// Memory for one payload; a large one is placed within its page.
#[derive(Default)]
pub(super) struct Block {
    /// Initialised memory. What lies in it beyond the payload is left over from earlier use, so that reading into it
    /// need not clear it again.
    bytes: Vec<u8>,
    /// Where the payload begins.
    start: usize,
}

/// Payloads stay out of logs, also those that are left over.
impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block(capacity of {} bytes)", self.capacity())
    }
}

impl Block {
    /// An empty block with room for at least `capacity` bytes.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let mut block = Self::default();
        // Without memory for it, it stays without room, and growing it fails properly.
        let _ = block.grow(0, capacity);
        block
    }

    /// The most bytes that the payload may have.
    pub(super) const fn capacity(&self) -> usize {
        self.bytes.capacity() - self.start
    }

    /// The memory it takes.
    pub(super) const fn footprint(&self) -> usize {
        self.bytes.capacity()
    }

    /// Grows to `capacity` bytes, keeping the first `filled`.
    pub(super) fn grow(&mut self, filled: usize, capacity: usize) -> Result<(), TryReserveError> {
        let room = if capacity < PLACED_FROM { self.start } else { PLACEMENT_ROOM };
        let wanted = capacity.saturating_add(room);
        self.bytes.try_reserve_exact(wanted - self.bytes.len().min(wanted))?;
        if capacity >= PLACED_FROM {
            self.place(filled);
        }
        Ok(())
    }

    /// Moves the payload to where it should begin. A very large block is mostly grown by moving its pages, and then
    /// there is nothing to do.
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

    /// Writes `bytes` behind the first `filled`; there must be room.
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

    /// The bytes from `from` up to `to`, made readable if they are not.
    pub(super) fn slice_mut(&mut self, from: usize, to: usize) -> &mut [u8] {
        let (from, to) = (self.start + from, self.start + to);
        self.initialize(to);
        &mut self.bytes[from..to]
    }

    /// Where the payload begins in [`memory`](Self::memory).
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// What is readable of it, what lies before the payload included.
    #[inline]
    pub(super) fn memory(&self) -> &[u8] {
        &self.bytes
    }

    #[inline]
    pub(super) fn memory_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The memory, and where in it the payload begins.
    pub(super) fn into_vec(self) -> (Vec<u8>, usize) {
        (self.bytes, self.start)
    }

    /// Makes the memory up to `end` readable.
    fn initialize(&mut self, end: usize) {
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
    }
}

/// A block that is filled, and stays where it is.
impl From<Vec<u8>> for Block {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }
}
