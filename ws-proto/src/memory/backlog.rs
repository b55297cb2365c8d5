//! Messages that wait, and what they count.

/// What a message that waits counts beside its payload, in bytes, so that a flood of empty messages is bounded too. An entry
/// in a queue takes 40 bytes, or 80 right after the queue has doubled.
///
/// It counts wherever a message waits in an entry of its own: to be written, in a handler's mailbox, and for an application
/// that has paused reading. Messages that are encoded side by side count the bytes of their frames, and half of the
/// overhead for each entry that says where a send ends: one for each send that asks for a report, one for many others.
pub const MESSAGE_OVERHEAD: usize = 64;

/// How many messages wait in a queue, and what they count against
/// [`Config::write_queue_bytes`](crate::Config::write_queue_bytes) and the [`MemoryBudget`](crate::memory::MemoryBudget).
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    messages: usize,
    bytes: usize,
    /// Payload bytes that belong to others too.
    shared: usize,
}

impl Backlog {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: 0, bytes: 0, shared: 0 }
    }

    /// A message comes in. `shared` of its `len` payload bytes belong to others too.
    pub const fn add(&mut self, len: usize, shared: usize) {
        self.messages += 1;
        self.bytes += MESSAGE_OVERHEAD + len;
        self.shared += shared;
    }

    /// A message that was added with the same numbers goes.
    pub const fn remove(&mut self, len: usize, shared: usize) {
        self.messages -= 1;
        self.bytes -= MESSAGE_OVERHEAD + len;
        self.shared -= shared;
    }

    /// Messages that wait.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// What they count against the write queue's limit: payloads, and [`MESSAGE_OVERHEAD`] each.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they count against the memory budget: the same without what is shared.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.bytes - self.shared
    }
}
