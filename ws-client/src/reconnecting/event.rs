//! What a client reports.

use std::time::Duration;

use ws_proto::Message;

use super::cause::Cause;

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection.
    Up(Up),
    /// A message was received. It belongs to the connection of the last [`Up`](Self::Up).
    Message(Message),
    /// The connection ended. Each `Up` is followed by one `Down` before the next `Up`.
    Down(Down),
    /// An attempt failed.
    AttemptFailed(AttemptFailed),
    /// Messages were accepted while there was no connection, and dropped because the queue was full
    /// ([`WhenFull::DropOldest`](super::WhenFull::DropOldest)).
    Discarded(Discarded),
    /// The client is over, and these messages were accepted and never sent, in the order in which they were accepted.
    Unsent(Vec<Message>),
}

/// A connection is established, and the hook for new connections has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Up {
    /// The number of this connection. The first one is 1.
    pub connection: u64,
    /// How many attempts it took since the connection before.
    pub attempts: u64,
    /// The negotiated subprotocol.
    pub subprotocol: Option<String>,
}

/// A connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Down {
    /// The number of the connection.
    pub connection: u64,
    /// Why it ended.
    pub cause: Cause,
    /// When the next attempt begins. `None`: there is none, and [`Outcome`] says why.
    pub retry_in: Option<Duration>,
    /// How long the connection served.
    pub served: Duration,
    /// How many messages this connection accepted, those of `in_doubt` included.
    pub accepted: u64,
    /// Messages that this connection accepted and that were not known to be handed to the transport, in the order in
    /// which they were accepted. They are not sent again. The first ones may have reached the server: the client only
    /// knows when the transport has taken everything. They are at most 1 MiB and one message.
    pub in_doubt: Vec<Message>,
}

/// An attempt failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct AttemptFailed {
    /// The number of the attempt, as in [`Attempt::number`](super::Attempt::number).
    pub attempt: u64,
    /// Why it failed.
    pub cause: Cause,
    /// When the next attempt begins. `None`: there is none, and [`Outcome`] says why.
    pub retry_in: Option<Duration>,
}

/// Messages that were dropped from the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discarded {
    /// How many messages.
    pub messages: u64,
    /// The bytes of their payloads.
    pub bytes: u64,
}

/// Why a client is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The application closed it.
    Closed,
    /// The decision about the last failure was to stop.
    Stopped,
    /// The limit of [`GiveUp`](super::GiveUp) was reached.
    GaveUp,
}
