use bytes::Bytes;

use super::TransmitQueue;

/// The number of payloads for which memory is kept.
const FEW: usize = 64;

/// Payloads that are no longer needed.
///
/// A payload with an owner ([`Bytes::from_owner`]) runs the owner's destructor when it is dropped. That is code of
/// the application: it may panic, or use the connection. So the drop is deferred to the end of an operation, and a
/// driver that holds a lock can defer it further.
#[derive(Debug, Default)]
pub(super) struct Spent {
    payloads: Vec<Bytes>,
    /// Whether they are kept for the driver.
    pub(super) kept: bool,
}

impl Spent {
    pub(super) const fn new() -> Self {
        Self { payloads: Vec::new(), kept: false }
    }

    /// Adds a payload. One that owns its memory alone is freed at once: that runs no foreign destructor.
    #[inline]
    pub(super) fn push(&mut self, payload: Bytes) {
        // `is_unique` is false for a payload with an owner.
        if !payload.is_unique() {
            self.payloads.push(payload);
        }
    }

    /// Ends an operation: drops the payloads, unless they are kept for the driver.
    #[inline]
    pub(super) fn settle(&mut self) {
        if !self.kept {
            // One at a time: if a destructor panics, the other payloads stay for the next call.
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
    /// Sets whether payloads that are no longer needed are kept for [`drain_spent`](Self::drain_spent). By default
    /// they are dropped. A payload with an owner ([`Bytes::from_owner`]) runs the owner's destructor when it is
    /// dropped, so a driver that holds a lock while it uses the queue keeps them, and drops them after it has
    /// released the lock.
    pub fn keep_spent(&mut self, keep: bool) {
        self.spent.kept = keep;
        self.spent.settle();
    }

    /// Whether [`drain_spent`](Self::drain_spent) would return a payload.
    #[inline]
    #[must_use]
    pub const fn has_spent(&self) -> bool {
        !self.spent.is_empty()
    }

    /// Takes the payloads that were kept: those that were written, copied or discarded.
    pub fn drain_spent(&mut self) -> impl Iterator<Item = Bytes> {
        self.spent.drain()
    }

    /// Adds a payload that is no longer needed. Call it when the connection's state is consistent.
    #[inline]
    pub(crate) fn spend(&mut self, payload: Bytes) {
        self.spent.push(payload);
        self.spent.settle();
    }
}
