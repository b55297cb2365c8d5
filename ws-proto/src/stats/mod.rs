//! Statistics of a connection, from [`Connection::stats`](crate::Connection::stats).
//!
//! A connection counts only if [`Config::statistics`](crate::Config::statistics) is set. The counters are plain
//! numbers: they begin at zero with the connection and never decrease.

mod queued;
mod round_trip;

use std::time::{Duration, Instant};

pub use queued::Queued;
pub use round_trip::RoundTrip;

/// What a connection has received and sent so far, and what waits.
///
/// The counters of a direction refer to different moments, so that each of them is exact:
///
/// | counter | received | sent |
/// |---|---|---|
/// | messages, payload bytes | complete, and delivered or held for the application | accepted by a send |
/// | frames, pings, pongs | the frame's header is complete; a ping or pong is complete | encoded into the transmit queue |
/// | compressed messages | inflated | compressed |
/// | wire bytes | read from the transport | accepted by the transport |
///
/// So [`sent.messages`](DirectionStats::messages) includes the messages that wait ([`queued`](Self::queued)) and those
/// that the end of the connection cut off ([`cut_off`](Self::cut_off)); all others are written completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// When the connection was created, which is after its handshake.
    pub opened_at: Instant,
    /// From the peer.
    pub received: DirectionStats,
    /// To the peer.
    pub sent: DirectionStats,
    /// Messages that a send accepted and that the end of the connection, or a failed write, cut off: the peer received
    /// none of them, or only a part.
    pub cut_off: u64,
    /// What waits to be written now.
    pub queued: Queued,
    /// The most messages and the most bytes that have waited, each as of the moments before a write.
    pub queued_peak: Queued,
    /// The round-trip time, from the pings of [`Config::keepalive`](crate::Config::keepalive); `None` before the first
    /// answer.
    pub round_trip: Option<RoundTrip>,
}

impl ConnectionStats {
    /// The statistics of a connection that begins at `opened_at`: nothing was received or sent.
    #[must_use]
    pub fn new(opened_at: Instant) -> Self {
        Self {
            opened_at,
            received: DirectionStats::default(),
            sent: DirectionStats::default(),
            cut_off: 0,
            queued: Queued::default(),
            queued_peak: Queued::default(),
            round_trip: None,
        }
    }

    /// The time from the beginning of the connection to `now`.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened_at)
    }
}

/// Counters of one direction of a connection. [`ConnectionStats`] says what counts when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DirectionStats {
    /// Text and binary messages.
    pub messages: u64,
    /// Bytes of their payloads: after inflating and before compressing.
    pub payload_bytes: u64,
    /// Frames, control frames included. A message has one or more.
    pub frames: u64,
    /// Bytes on the transport: frames with their headers. The opening handshake does not count. Received bytes also
    /// count if they are discarded because the connection is closing.
    pub wire_bytes: u64,
    /// Pings, those of the keepalive included.
    pub pings: u64,
    /// Pongs.
    pub pongs: u64,
    /// The messages that were compressed (RFC 7692).
    pub compressed: CompressedStats,
}

/// Counters of the compressed messages of one direction (RFC 7692).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompressedStats {
    /// Messages.
    pub messages: u64,
    /// Bytes of their payloads, not compressed.
    pub payload_bytes: u64,
    /// Bytes of their payloads, compressed, without the headers of frames.
    pub compressed_bytes: u64,
}

impl CompressedStats {
    /// How many payload bytes a compressed byte stands for: 4.0 if messages shrink to a quarter. `None` without a
    /// compressed message.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        (self.compressed_bytes > 0).then(|| self.payload_bytes as f64 / self.compressed_bytes as f64)
    }
}
