use bytes::Bytes;

use crate::Position;

/// One entry of a topic's log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogEntry {
    /// Its position.
    pub position: Position,
    /// What was published.
    pub envelope: Bytes,
}

impl LogEntry {
    /// An entry at a position.
    #[must_use]
    pub const fn new(position: Position, envelope: Bytes) -> Self {
        Self { position, envelope }
    }
}

/// A part of a topic's log, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct History {
    /// The entries behind the position that was asked for, oldest first.
    pub entries: Vec<LogEntry>,
    /// The newest position of the log. The offset is 0 if nothing was published in this epoch. Epoch and offset are 0
    /// if the topic has no log and the broker draws the epoch with the first entry.
    pub newest: Position,
    /// Whether each entry between the position that was asked for and the first one of `entries` is there. `false`:
    /// some are gone, or the position belongs to another epoch.
    pub complete: bool,
    /// Whether `entries` ends before `newest` because of the limit. Ask again from the last entry.
    pub more: bool,
}

impl History {
    /// A part of a log.
    #[must_use]
    pub const fn new(entries: Vec<LogEntry>, newest: Position, complete: bool, more: bool) -> Self {
        Self { entries, newest, complete, more }
    }
}
