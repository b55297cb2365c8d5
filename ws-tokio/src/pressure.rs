//! What a slow peer leads to.

use std::time::Instant;

use ws_proto::stats::Queued;

/// What waits for a connection's peer, and what that has led to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// What waits to be written, also in front of the write queue.
    pub queued: Queued,
    /// The time since which the transport has taken no more bytes.
    pub blocked_since: Option<Instant>,
    /// A message was refused for lack of room since nothing waited, or waits for room.
    pub refused: bool,
    /// The feed has dropped messages since it was empty.
    pub missed: bool,
    /// The feed has closed the connection.
    pub cut_off: bool,
}

impl Pressure {
    /// Adds what waits elsewhere.
    pub const fn add_waiting(&mut self, messages: usize, bytes: usize) {
        self.queued.messages += messages;
        self.queued.bytes += bytes;
    }

    /// Adds what waits in a feed. The feed is asked only while the transport takes no bytes.
    pub fn add_feed(&mut self, ask: impl FnOnce() -> FeedPressure) {
        if self.blocked_since.is_some() {
            let feed = ask();
            self.add_waiting(feed.messages, feed.bytes);
            self.missed |= feed.missed;
        }
    }
}

/// What waits in a [`Feed`](crate::feed::Feed).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedPressure {
    /// Messages that wait.
    pub messages: usize,
    /// Bytes that wait.
    pub bytes: usize,
    /// Messages were dropped since nothing waited.
    pub missed: bool,
}
