//! What an inbox knows of an entry that was taken from it.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What the inbox and an entry that was taken from it share as long as the entry counts. If the inbox drops its part,
/// the entry has the lease alone.
#[derive(Debug)]
pub(super) struct Lease {
    /// Bytes of the entry's messages that were taken.
    taken: Arc<AtomicUsize>,
    /// The same when it was last looked at.
    seen: usize,
}

impl Lease {
    /// Both parts of a new lease.
    pub(super) fn new() -> (Self, Self) {
        let taken = Arc::new(AtomicUsize::new(0));
        (Self { taken: Arc::clone(&taken), seen: 0 }, Self { taken, seen: 0 })
    }

    /// Whether the inbox holds the entry no more.
    #[inline]
    pub(super) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.taken) == 1
    }

    /// Notes that a message was taken, which has `bytes` with its header. Only the entry's part does.
    #[inline]
    pub(super) fn note_taken(&self, bytes: usize) {
        self.taken.store(self.taken() + bytes, Ordering::Relaxed);
    }

    /// Bytes of the entry's messages that were taken.
    #[inline]
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether a message was taken since the last call.
    pub(super) fn take_read(&mut self) -> bool {
        let taken = self.taken();
        mem::replace(&mut self.seen, taken) != taken
    }
}
