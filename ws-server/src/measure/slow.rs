use std::{net::SocketAddr, time::Duration};

use ws_proto::stats::Queued;

/// A connection whose peer does not take what is sent, for [`Observer::slow`](super::Observer::slow).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slow {
    /// The number of [`Opened::id`](super::Opened::id).
    pub id: u64,
    /// The client's address, as far as it is known.
    pub peer: Option<SocketAddr>,
    /// What the slow peer has led to.
    pub reason: SlowReason,
    /// What waits: in the write queue, in the queue of a handler's [`Sender`](crate::Sender)s, and of the
    /// [topics](mod@crate::topics).
    pub queued: Queued,
    /// How long the transport has taken no bytes. Often 0: it has just taken some.
    pub blocked_for: Duration,
    /// How long the connection is open.
    pub age: Duration,
}

/// What a slow peer has led to, in [`Slow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SlowReason {
    /// At least half of [`write_queue_messages`](crate::ServerBuilder::write_queue_messages) or
    /// [`write_queue_bytes`](crate::ServerBuilder::write_queue_bytes) waits.
    Backlog,
    /// A message was refused with `Full`, or waits for room.
    NoRoom,
    /// A [`SlowPolicy`](crate::topics::SlowPolicy) has dropped publications.
    MissedPublications,
    /// A [`SlowPolicy`](crate::topics::SlowPolicy) closes the connection.
    Disconnected,
}

/// A connection that was slow and has caught up, for [`Observer::caught_up`](super::Observer::caught_up).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaughtUp {
    /// The number of [`Opened::id`](super::Opened::id).
    pub id: u64,
    /// The client's address, as far as it is known.
    pub peer: Option<SocketAddr>,
    /// The time since [`Observer::slow`](super::Observer::slow).
    pub slow_for: Duration,
}
