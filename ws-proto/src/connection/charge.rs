//! The memory that a connection holds, and its charge to the budget (see
//! [`MemoryBudget`](crate::memory::MemoryBudget)).
//!
//! A growing message asks the budget before it grows. Everything else is charged here, after a driver has drained the
//! outputs.

use crate::{
    config::ValidConfig,
    error::ConnectionError,
    memory::{Charge, MemoryBudget, PooledBuffer, TransmitQueue},
};

use super::Connection;

/// Grows a message's buffer and charges the connection for it.
pub(super) struct ChargedMemory<'a> {
    charge: &'a mut Charge,
    budget: Option<&'a MemoryBudget>,
}

impl<'a> ChargedMemory<'a> {
    pub(super) fn of(charge: &'a mut Charge, config: &'a ValidConfig) -> Self {
        Self { charge, budget: config.memory_budget() }
    }

    /// Makes room for `needed` bytes in total. At most `announced` bytes are expected.
    pub(super) fn reserve(
        &mut self,
        buffer: &mut PooledBuffer,
        needed: usize,
        announced: usize,
    ) -> Result<(), ConnectionError> {
        self.charge.grow(buffer.growth(needed, announced), self.budget)?;
        buffer.reserve_total(needed, announced).map_err(|_| ConnectionError::Internal)
    }

    /// Charges `bytes` for a buffer that a message is about to take. Returns whether the budget allows it.
    pub(super) fn allows(&mut self, bytes: usize) -> bool {
        self.charge.grow(bytes, self.budget).is_ok()
    }
}

impl Connection {
    /// Bytes of memory held for this connection: of messages that are incomplete, held for the application, or waiting
    /// to be written. A server's connection with nothing in flight holds none.
    #[must_use]
    pub(super) fn memory_in_use(&self, tx: &TransmitQueue) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.held_bytes());
        let inbox = self.inbox.as_ref().map_or(0, |inbox| inbox.held_bytes());
        let outbox = self.outbox.as_ref().map_or(0, |outbox| outbox.held_bytes());
        partial + inbox + outbox + tx.held_bytes()
    }

    /// Charges the connection for what it holds now.
    #[inline]
    pub(super) fn update_charge(&mut self, tx: &TransmitQueue) {
        // A transport that is not blocked soon accepts the pending bytes, so they are not charged.
        if (tx.is_blocked() || !self.is_settled()) && self.config.memory_budget().is_some() {
            let held = self.memory_in_use(tx);
            self.charge.set(held, self.config.memory_budget());
        }
    }

    /// Whether the connection is charged for what it holds, no more and no less. It holds once `poll_event` has
    /// returned `None` and the outputs are drained. For simulations.
    #[doc(hidden)]
    #[must_use]
    pub fn is_charged_exactly(&self, tx: &TransmitQueue) -> bool {
        let counts = tx.is_blocked() || !self.is_settled();
        let held = if counts { self.memory_in_use(tx) } else { 0 };
        self.config.memory_budget().is_none() || self.charge.is_for(held)
    }

    /// Whether the budget allows a message to wait after `waiting` bytes. `len` is the part of it that is not shared.
    #[inline]
    pub(super) fn has_budget_for(&self, len: usize, waiting: usize) -> bool {
        MemoryBudget::has_room(len, waiting, || self.charge.allows(len, self.config.memory_budget()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.charge.is_zero() {
            self.charge.set(0, self.config.memory_budget());
        }
    }
}
