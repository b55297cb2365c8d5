use std::{
    sync::Arc,
    task::{Context, Poll},
};

use ws_proto::{
    CloseCode, ConnectionState, Message, MessageRef, PreparedMessage,
    error::{ControlError, SendError},
};

use crate::{
    feed::{Attach, Feed},
    pings::PingOutlet,
    wait_list::Place,
};

/// The destination of a [`Sender`](crate::Sender): one of the library's connections.
pub trait Outlet: PingOutlet + Send + Sync {
    /// Queues a message if there is room, and starts to write it.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>>;

    /// Queues a prepared message if there is room, and starts to write it.
    ///
    /// # Errors
    /// [`SendError`].
    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError>;

    /// Queues a message once there is room and all senders that came before are served. `message` is taken when it is
    /// accepted or refused. `place` is `None` at first; it is set while the sender waits.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>>;

    /// Queues a copy of a lent message, if that takes no wait, and starts to write it. Returns the number to pass to
    /// [`poll_handed_over`](Self::poll_handed_over), or `None` if another task writes.
    ///
    /// # Errors
    /// [`SendError`]. After `Full`, send an owned message with [`poll_send`](Self::poll_send). By default, every message
    /// is sent like that.
    fn send_lent(&self, message: &MessageRef<'_>) -> Result<Option<u64>, SendError> {
        let _ = message;
        Err(SendError::Full(()))
    }

    /// A future was dropped while it waited: in [`poll_send`](Self::poll_send) if it had a place, which the next sender
    /// gets, or in [`poll_handed_over`](Self::poll_handed_over).
    fn cancelled(&self, place: Option<Place>);

    /// Waits until the transport has taken the message that [`poll_send`](Self::poll_send) has just accepted. `number`
    /// is `None` at first; the first call sets it to the count of accepted messages, and the caller keeps it. `Ready`
    /// at once if another task writes.
    fn poll_handed_over(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<()> {
        let _ = (cx, number);
        Poll::Ready(())
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// [`ControlError`].
    fn ping(&self, payload: &[u8]) -> Result<(), ControlError>;

    /// Queues a pong.
    ///
    /// # Errors
    /// [`ControlError`].
    fn pong(&self, payload: &[u8]) -> Result<(), ControlError>;

    /// Begins the closing handshake. Messages are delivered until the peer's Close. Without a code, the Close frame is
    /// empty.
    fn close(&self, code: Option<CloseCode>, reason: &str);

    /// Ends the connection at once, without a Close frame.
    fn abort(&self);

    /// Waits until [`state`](Self::state) is no longer open. `place` is `None` at first; it is set while the task
    /// waits.
    fn poll_closed(&self, cx: &mut Context<'_>, place: &mut Option<Place>) -> Poll<()>;

    /// A future was dropped while it waited in [`poll_closed`](Self::poll_closed).
    fn cancelled_closed(&self, place: Place);

    /// Attaches the feed that `make` makes, and returns it. If there is one already, it is returned, and `make` is not
    /// called. `None`: the connection is not open. `make` runs under the connection's lock; it must not use a handle to
    /// the connection.
    fn attach(&self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>>;

    /// Returns whether the connection is open, closing or closed. It is not open once a close was requested.
    fn state(&self) -> ConnectionState;
}
