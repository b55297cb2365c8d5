use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::error::ConnectionError;

use super::{RecordedEvent, packed::Packed};

/// The latest events of a connection, the oldest first.
///
/// It prints as lines, with the seconds since the connection began:
///
/// ```text
///     0.000000 s  received text, 5 bytes
///     0.000000 s  sent text, 5 bytes
///    30.000000 s  sent keepalive ping 1
///    60.000000 s  failed: a deadline passed: no pong within the keepalive timeout
///    60.000000 s  sent Close 1011
///    65.000000 s  ended
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Recording {
    opened_at: Instant,
    events: Box<[Packed]>,
    omitted: u64,
    error: Option<ConnectionError>,
}

/// An event and its time. It prints as a line of a [`Recording`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// The time since the connection began, in microseconds: the latest time that the driver had reported.
    pub at: Duration,
    /// What happened.
    pub event: RecordedEvent,
}

impl Recording {
    pub(super) fn new(
        opened_at: Instant,
        events: Vec<Packed>,
        omitted: u64,
        error: Option<ConnectionError>,
    ) -> Self {
        Self { opened_at, events: events.into(), omitted, error }
    }

    /// When the connection was created, which is after its handshake.
    #[must_use]
    pub const fn opened_at(&self) -> Instant {
        self.opened_at
    }

    /// The number of earlier events, which are no longer recorded.
    #[must_use]
    pub const fn omitted(&self) -> u64 {
        self.omitted
    }

    /// The events, the oldest first.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = Recorded> + ExactSizeIterator + '_ {
        self.events.iter().map(|packed| Recorded { at: packed.at(), event: packed.event(self.error) })
    }
}

/// Prints one line for each event, without a line break at the end.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if self.omitted > 0 {
            write!(f, "({} earlier events)", self.omitted)?;
            separator = "\n";
        }
        for recorded in self.events() {
            write!(f, "{separator}{recorded}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6} s  {}", self.at.as_secs_f64(), self.event)
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording")
            .field("omitted", &self.omitted)
            .field("events", &self.events().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
