use std::time::Duration;

use super::TransmitQueue;

/// What the connections that a [`TransmitQueue`] was lent to have received and sent. For `ws-tokio`, which sums it up.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub received: TrafficCounts,
    pub sent: TrafficCounts,
    /// How often the transport took no more bytes.
    pub blocked: u64,
    /// A sample of the round-trip time.
    pub round_trip: Option<Duration>,
}

/// Counts of one direction.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    pub messages: u64,
    pub payload_bytes: u64,
    /// Of sent bytes, those that the transport has taken.
    pub wire_bytes: u64,
    pub control_frames: u64,
}

impl Traffic {
    pub(super) const NONE: Self =
        Self { received: TrafficCounts::NONE, sent: TrafficCounts::NONE, blocked: 0, round_trip: None };
}

impl TrafficCounts {
    const NONE: Self = Self { messages: 0, payload_bytes: 0, wire_bytes: 0, control_frames: 0 };

    #[inline]
    pub(crate) const fn count_message(&mut self, len: usize) {
        self.messages += 1;
        self.payload_bytes += len as u64;
    }
}

impl TransmitQueue {
    /// A driver has read `bytes` for the connection that has this queue.
    #[doc(hidden)]
    #[inline]
    pub const fn count_read(&mut self, bytes: usize) {
        self.traffic.received.wire_bytes += bytes as u64;
    }

    /// What was counted since the last call. The caller sets what it takes to zero. `waiting` bytes wait to be written
    /// now; the second value is by how much that is more, in wrapping arithmetic.
    #[doc(hidden)]
    #[inline]
    pub const fn traffic(&mut self, waiting: usize) -> (&mut Traffic, u64) {
        let growth = (waiting as u64).wrapping_sub(self.counted_waiting);
        self.counted_waiting = waiting as u64;
        self.traffic.sent.wire_bytes = self.written - self.counted;
        self.counted = self.written;
        (&mut self.traffic, growth)
    }

    /// Forgets what was counted since the last call.
    #[doc(hidden)]
    #[inline]
    pub const fn discard_traffic(&mut self, waiting: usize) {
        *self.traffic(waiting).0 = Traffic::NONE;
    }
}

#[cfg(test)]
mod tests;
