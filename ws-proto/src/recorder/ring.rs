use std::time::Instant;

use crate::error::ConnectionError;

use super::{RecordedEvent, Recording, packed::Packed};

/// Keeps the latest events of a connection.
pub(crate) struct Recorder {
    opened_at: Instant,
    /// Grows up to `length`; then the oldest event is replaced.
    events: Vec<Packed>,
    length: usize,
    /// The place of the oldest event, once all places are taken.
    oldest: usize,
    omitted: u64,
    /// The error that the connection failed with.
    error: Option<ConnectionError>,
}

/// The events that the first allocation has room for.
const FIRST: usize = 16;

impl Recorder {
    /// `length` is at least 1.
    pub(crate) const fn new(length: usize, opened_at: Instant) -> Self {
        Self { opened_at, events: Vec::new(), length, oldest: 0, omitted: 0, error: None }
    }

    pub(crate) fn record(&mut self, event: RecordedEvent, now: Instant) {
        if let RecordedEvent::Failed(error) = event {
            if self.error.is_some() {
                return;
            }
            self.error = Some(error);
        }
        let packed = Packed::new(now.saturating_duration_since(self.opened_at), event);
        let filled = self.events.len();
        if filled < self.length {
            if filled == self.events.capacity() {
                let more = filled.max(FIRST).min(self.length - filled);
                self.events.reserve_exact(more);
            }
            self.events.push(packed);
        } else if let Some(oldest) = self.events.get_mut(self.oldest) {
            *oldest = packed;
            self.oldest = (self.oldest + 1) % self.length;
            self.omitted += 1;
        }
    }

    /// Allocated places.
    #[cfg(test)]
    pub(crate) const fn capacity(&self) -> usize {
        self.events.capacity()
    }

    pub(crate) fn recording(&self) -> Recording {
        let (later, earlier) = self.events.split_at(self.oldest);
        Recording::new(self.opened_at, [earlier, later].concat(), self.omitted, self.error)
    }
}
