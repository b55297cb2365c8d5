//! Accounting for messages that wait in a queue.

/// What a waiting message counts in addition to its payload, in bytes. It bounds a flood of empty messages too. An
/// entry in a queue takes 40 bytes, or 80 right after the queue has doubled.
///
/// It counts wherever a message waits in an entry of its own: in the write queue, in a handler's mailbox, and for an
/// application that has paused reading. Messages that are encoded side by side count the bytes of their frames, and
/// half of the overhead for each entry that marks the end of a send. A send that asks for a report has its own entry;
/// other sends share entries.
pub const MESSAGE_OVERHEAD: usize = 64;

/// The number of messages in a queue, and what they count against
/// [`Config::write_queue_bytes`](crate::Config::write_queue_bytes) and the
/// [`MemoryBudget`](crate::memory::MemoryBudget). For `ws-tokio` and `ws-server`, which have queues of their own.
#[doc(hidden)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    messages: usize,
    bytes: usize,
    /// Payload bytes that other owners share.
    shared: usize,
}

impl Backlog {
    /// An empty backlog.
    #[must_use]
    pub const fn new() -> Self {
        Self { messages: 0, bytes: 0, shared: 0 }
    }

    /// Adds a message. `shared` of its `len` payload bytes have other owners too.
    pub const fn add(&mut self, len: usize, shared: usize) {
        self.messages += 1;
        self.bytes += MESSAGE_OVERHEAD + len;
        self.shared += shared;
    }

    /// Removes a message that was added with the same numbers.
    pub const fn remove(&mut self, len: usize, shared: usize) {
        self.messages -= 1;
        self.bytes -= MESSAGE_OVERHEAD + len;
        self.shared -= shared;
    }

    /// The number of messages that wait.
    #[must_use]
    pub const fn messages(&self) -> usize {
        self.messages
    }

    /// What they count against the write queue's limit, in bytes: the payloads, plus [`MESSAGE_OVERHEAD`] each.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they count against the memory budget, in bytes: as [`bytes`](Self::bytes), without the shared payload
    /// bytes.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.bytes - self.shared
    }
}
