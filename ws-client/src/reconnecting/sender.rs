//! Sends from any task, on whichever connection there is.

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use ws_proto::{CloseCode, Message};

/// Sends on a client's current connection, from any task. It survives reconnecting, and it is cheap to clone.
///
/// [`WhileAway`](super::WhileAway) says what happens while there is no connection. Messages that are sent one after the
/// other go out in this order. A message is never sent twice.
///
/// A sender writes its own message as far as the transport takes it. What is left is written while the client is
/// polled, or while another sender waits.
#[derive(Clone)]
pub struct Sender {
    outlet: Arc<dyn Outlet>,
}

/// How a message was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Accepted {
    /// It is in the write queue of this connection. If the connection ends, its [`Down`](super::Down) says whether the
    /// message was handed to the transport. Whether the server has received it, only the server can say.
    Queued {
        /// The number of the connection, as in [`Up`](super::Up).
        connection: u64,
    },
    /// It is kept for the next connection ([`WhileAway::Keep`](super::WhileAway::Keep)).
    Kept,
}

/// Why a message was not accepted. Nothing of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no connection.
    #[error("there is no connection")]
    Away(Message),
    /// The write queue of the connection, or the queue of kept messages, is full. Or other senders wait.
    #[error("the queue is full")]
    Full(Message),
    /// The client is over.
    #[error("the client is over")]
    Over(Message),
}

impl SendError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            Self::Away(message) | Self::Full(message) | Self::Over(message) => message,
        }
    }
}

/// What a sender uses of a client.
pub(super) trait Outlet: Send + Sync {
    fn try_send(&self, message: Message) -> Result<Accepted, SendError>;

    /// `message` is taken when it is accepted or refused. `place` is set while the sender waits.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<u64>,
    ) -> Poll<Result<Accepted, SendError>>;

    /// A sender that waits is dropped.
    fn leave(&self, place: Option<u64>);

    fn close(&self, code: CloseCode, reason: &str);

    fn connection(&self) -> Option<u64>;
}

impl Sender {
    pub(super) fn new(outlet: Arc<impl Outlet + 'static>) -> Self {
        Self { outlet }
    }

    /// Sends a message. Waits while the connection's write queue is full, behind the senders that came before. With
    /// [`WhileAway::Wait`](super::WhileAway::Wait) it also waits for a connection, which needs another task that polls
    /// the client.
    ///
    /// # Errors
    /// [`SendError`] with the message.
    ///
    /// # Cancel safety
    /// If the future is dropped, the message was not accepted.
    pub async fn send(&self, message: impl Into<Message>) -> Result<Accepted, SendError> {
        let mut waiting = Waiting { outlet: &*self.outlet, message: Some(message.into()), place: None };
        poll_fn(|cx| waiting.outlet.poll_send(cx, &mut waiting.message, &mut waiting.place)).await
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    /// [`SendError`] with the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<Accepted, SendError> {
        self.outlet.try_send(message.into())
    }

    /// Ends the client, as [`Reconnecting::close`](crate::Reconnecting::close) does.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.outlet.close(code, reason);
    }

    /// The number of the current connection. `None` while there is none that is open.
    #[must_use]
    pub fn connection(&self) -> Option<u64> {
        self.outlet.connection()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("connection", &self.connection()).finish()
    }
}

/// A [`Sender::send`] that waits.
struct Waiting<'a> {
    outlet: &'a dyn Outlet,
    message: Option<Message>,
    place: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.outlet.leave(self.place.take());
    }
}
