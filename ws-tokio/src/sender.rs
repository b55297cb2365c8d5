use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, ConnectionState, ControlError, Message, PreparedMessage, SendError};

use crate::{
    core::{Core, lock},
    wait_list::Place,
};

/// Sends on a connection from any task. Cheap to clone; all clones and the connection's owner share one bounded
/// write queue, so a slow peer holds its senders back and not the memory.
#[derive(Clone)]
pub struct Sender {
    outlet: Arc<dyn Outlet>,
}

/// Where a [`Sender`] sends to. Implemented by the library's connections.
pub trait Outlet: Send + Sync {
    /// Queues a message if there is room, and sees that it goes out.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>>;

    /// Queues a prepared message if there is room, and sees that it goes out.
    ///
    /// # Errors
    /// [`SendError`].
    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError>;

    /// Queues a message once there is room, and those who came before have had theirs; `message` is taken when it is
    /// accepted or refused. While the sender waits it has a `place`, which begins as `None`.
    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>>;

    /// A future that waited in [`poll_send`](Self::poll_send) was dropped: the next one comes first.
    fn cancelled(&self, place: Place);

    /// Queues a ping.
    ///
    /// # Errors
    /// [`ControlError`].
    fn ping(&self, payload: &[u8]) -> Result<(), ControlError>;

    /// Begins the closing handshake.
    fn close(&self, code: CloseCode, reason: &str);

    /// Open, closing or closed.
    fn state(&self) -> ConnectionState;
}

impl Sender {
    /// A handle to `outlet`.
    pub fn new(outlet: Arc<impl Outlet + 'static>) -> Self {
        Self { outlet }
    }

    /// Sends a message; waits while the write queue is at its limits. Senders that wait are served in the order in which
    /// they came: once there is room, a future is woken and the room is kept for it until it is polled or dropped.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent; after that the message goes out whole.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        let mut waiting = Waiting { outlet: &*self.outlet, message: Some(message.into()), place: None };
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// Sends a message if there is room at once: for broadcasts that must not wait for a slow peer.
    ///
    /// # Errors
    /// [`SendError::WriteBusy`] if there is no room, or others wait for it, [`SendError::InvalidState`] if the connection is not open; with
    /// the message.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        self.outlet.try_send(message.into())
    }

    /// As [`try_send`](Self::try_send), for a message that goes to many: it is framed, and compressed, only once.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.outlet.try_send_prepared(message)
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`ControlError`]: not open, over 125 bytes, or too many control frames waiting.
    pub fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.outlet.ping(payload)
    }

    /// Begins the closing handshake, behind what was sent before; its end shows at the connection's owner.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.outlet.close(code, reason);
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outlet.state() == ConnectionState::Open
    }
}

/// A send under way.
struct Waiting<'a> {
    outlet: &'a dyn Outlet,
    message: Option<Message>,
    /// Where it waits for room.
    place: Option<Place>,
}

impl Waiting<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<Message>>> {
        self.outlet.poll_send(cx, &mut self.message, &mut self.place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.outlet.cancelled(place);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.outlet.state()).finish()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Outlet for Mutex<Core<S>> {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut core = lock(self);
        core.queue_as_newcomer(message)?;
        core.kick();
        Ok(())
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut core = lock(self);
        core.queue_prepared_as_newcomer(message)?;
        core.kick();
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut core = lock(self);
        let result = core.poll_queue_in_order(cx, message, place);
        if result.is_ready() {
            core.kick();
        }
        result
    }

    fn cancelled(&self, place: Place) {
        lock(self).leave(place);
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut core = lock(self);
        core.queue_ping(payload)?;
        core.kick();
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut core = lock(self);
        core.queue_close(code, reason);
        core.kick();
    }

    fn state(&self) -> ConnectionState {
        lock(self).state()
    }
}
