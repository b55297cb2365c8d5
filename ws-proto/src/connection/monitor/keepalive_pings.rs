//! The number and the times of the keepalive's latest ping.

use std::time::{Duration, Instant};

/// The pings of the keepalive, which carry a number, and the time of the latest one.
#[derive(Debug, Default)]
pub(super) struct KeepalivePings {
    /// The number of the latest ping.
    number: u64,
    latest: Latest,
    /// When the transport last accepted bytes.
    written_at: Option<Instant>,
}

#[derive(Debug, Default)]
enum Latest {
    /// None was sent, or it is answered.
    #[default]
    Answered,
    /// The ping is being encoded.
    Encoding,
    /// The ping is encoded, and ends at this position of the stream.
    Unwritten {
        end: u64,
    },
    Written {
        at: Instant,
    },
}

impl KeepalivePings {
    /// The payload of the next ping.
    pub(super) const fn next_payload(&mut self) -> [u8; 8] {
        self.number = self.number.wrapping_add(1);
        self.latest = Latest::Encoding;
        self.number.to_be_bytes()
    }

    /// The next ping is encoded and ends at the position `end` of the stream.
    pub(super) const fn on_encoded(&mut self, end: u64) {
        self.latest = Latest::Unwritten { end };
    }

    pub(super) const fn on_write(&mut self, now: Instant) {
        self.written_at = Some(now);
    }

    /// The bytes before `position` are written.
    pub(super) fn on_position(&mut self, position: u64) {
        if let (Latest::Unwritten { end }, Some(at)) = (&self.latest, self.written_at)
            && *end <= position
        {
            self.latest = Latest::Written { at };
        }
    }

    /// Returns the round-trip time if the pong answers the latest ping. The pong to an earlier ping says little about
    /// the time that this one takes.
    pub(super) fn on_pong(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let Latest::Written { at } = self.latest else { return None };
        if payload != self.number.to_be_bytes() {
            return None;
        }
        self.latest = Latest::Answered;
        Some(now.saturating_duration_since(at))
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn is_encoding(&self) -> bool {
        matches!(self.latest, Latest::Encoding)
    }

    /// Whether a ping waits to be written or answered.
    pub(super) const fn is_timing(&self) -> bool {
        !matches!(self.latest, Latest::Answered)
    }
}
