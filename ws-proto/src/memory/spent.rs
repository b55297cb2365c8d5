use bytes::Bytes;

use super::TransmitQueue;

/// Room for so many payloads is kept.
const FEW: usize = 64;

/// Payloads that are done with.
///
/// A payload that has an owner ([`Bytes::from_owner`]) runs the owner's destructor when it is dropped. That is the
/// application's code: it may panic, or use the connection. So it does not run in the middle of an operation, and a
/// driver that holds a lock can have it run afterwards.
#[derive(Debug, Default)]
pub(super) struct Spent {
    payloads: Vec<Bytes>,
    /// Whether the driver takes them.
    pub(super) kept: bool,
}

impl Spent {
    pub(super) const fn new() -> Self {
        Self { payloads: Vec::new(), kept: false }
    }

    /// Adds a payload. One that is nothing but memory of its own is freed at once: that runs no destructor.
    #[inline]
    pub(super) fn push(&mut self, payload: Bytes) {
        // False for what has an owner.
        if !payload.is_unique() {
            self.payloads.push(payload);
        }
    }

    /// The end of an operation: drops them, unless the driver does.
    #[inline]
    pub(super) fn settle(&mut self) {
        if !self.kept {
            // One by one: if one panics, the others stay until the next time.
            while let Some(payload) = self.payloads.pop() {
                drop(payload);
            }
            self.shrink_to(FEW);
        }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Bytes> {
        // The connection may wait for its peer afterwards. The memory of a long burst does not wait with it.
        let burst = if self.payloads.len() > FEW { std::mem::take(&mut self.payloads) } else { Vec::new() };
        burst.into_iter().chain(self.payloads.drain(..))
    }

    #[inline]
    pub(super) const fn capacity(&self) -> usize {
        self.payloads.capacity()
    }

    pub(super) fn shrink_to(&mut self, capacity: usize) {
        self.payloads.shrink_to(capacity);
    }
}

impl TransmitQueue {
    /// Keeps payloads that are done with for [`drain_spent`](Self::drain_spent), or drops them again (the default). A
    /// payload with an owner ([`Bytes::from_owner`]) runs the owner's destructor when it is dropped: a driver that holds
    /// a lock while it uses the queue has them kept, and drops them once it holds none.
    pub fn keep_spent(&mut self, keep: bool) {
        self.spent.kept = keep;
        self.spent.settle();
    }

    /// Whether [`drain_spent`](Self::drain_spent) has something.
    #[inline]
    #[must_use]
    pub const fn has_spent(&self) -> bool {
        !self.spent.is_empty()
    }

    /// Takes the payloads that were kept: written, copied, or given up.
    pub fn drain_spent(&mut self) -> impl Iterator<Item = Bytes> {
        self.spent.drain()
    }

    /// Takes a payload that is done with; call it when the connection is consistent.
    #[inline]
    pub(crate) fn spend(&mut self, payload: Bytes) {
        self.spent.push(payload);
        self.spent.settle();
    }
}
