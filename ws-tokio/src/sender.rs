use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    CloseCode, ConnectionState, Message, PreparedMessage,
    error::{ControlError, SendError},
};

use crate::{
    pings::PingOutlet,
    shared::{SharedState, WakerClones, lock, lock_and_poll},
    wait_list::Place,
};

/// Attempts within one poll of a send: one that finds that the waker must be stored, and one after each wake-up in
/// between.
const MAX_ATTEMPTS: usize = 4;

/// Sends on a connection from any task.
///
/// A `Sender` is cheap to clone. Its queue is bounded, so a slow peer makes senders wait and does not use up memory.
/// The clones and a [`WebSocket`](crate::WebSocket) share one write queue. The senders of a server's handler have a
/// queue of their own, with the limits of the write queue.
///
/// On a server's connection, the server writes. On any other `WebSocket`, bytes are written while a future of the
/// connection is polled. [`send`](Self::send) writes until the transport has taken its message. The other methods write
/// once, as far as the transport takes it, and the rest goes out while the owner's [`recv`](crate::WebSocket::recv), or
/// any other future of the connection, is polled.
#[derive(Clone)]
pub struct Sender {
    pub(crate) outlet: Arc<dyn Outlet>,
}

/// The destination of a [`Sender`]: one of the library's connections.
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

    /// Begins the closing handshake. Messages are delivered until the peer's Close.
    fn close(&self, code: CloseCode, reason: &str);

    /// Returns whether the connection is open, closing or closed.
    fn state(&self) -> ConnectionState;
}

impl Sender {
    /// Creates a handle to `outlet`.
    #[doc(hidden)]
    pub fn new(outlet: Arc<impl Outlet + 'static>) -> Self {
        Self { outlet }
    }

    /// Sends a message. Waits while the write queue is at its limits.
    ///
    /// Waiting senders are served in the order of their arrival. Once there is room, the first one is woken, and the
    /// room is kept for it until it is polled or dropped.
    ///
    /// On a server's connection, `send` returns once the message is queued, and the server writes it. On any other
    /// connection, `send` returns once the transport has taken the message or the connection is over. While it waits,
    /// it also reads what the peer sends and holds the messages for the owner, up to `max_held_bytes`.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent. Once the message is queued, it stays queued
    /// and goes out whole: on a server's connection the server writes it, on any other it is written while a future of
    /// the connection is polled.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        let mut waiting = PendingSend {
            outlet: &*self.outlet,
            message: Some(message.into()),
            place: None,
            number: None,
            is_registered: false,
        };
        poll_fn(|cx| waiting.poll(cx)).await
    }

    /// Sends a message without waiting. Use it for broadcasts that must not wait for a slow peer.
    ///
    /// `Ok` means that the message is queued. On a server's connection the server writes it. On any other connection it
    /// is written as far as the transport takes it at once; for the rest, the owner must be polled (see [`Sender`]).
    ///
    /// # Errors
    /// [`SendError::Full`] with the message if there is no room or other senders wait for it.
    /// [`SendError::Closed`] with the message if the connection is not open.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        self.outlet.try_send(message.into())
    }

    /// Sends a message that goes to many connections, as [`try_send`](Self::try_send) does. It is framed and compressed
    /// only once.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        self.outlet.try_send_prepared(message)
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// [`ControlError`] if the connection is not open, the payload is over 125 bytes, or too many control frames wait.
    pub fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.outlet.ping(payload)
    }

    /// Begins the closing handshake, behind the messages that were sent before. This does not wait; the connection's
    /// owner sees the end. Until the peer's Close, the owner still receives messages.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.outlet.close(code, reason);
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outlet.state() == ConnectionState::Open
    }
}

/// The state of a [`Sender::send`].
struct PendingSend<'a> {
    outlet: &'a dyn Outlet,
    message: Option<Message>,
    /// Its place among the senders that wait for room.
    place: Option<Place>,
    /// The number of the message, once it is accepted.
    number: Option<u64>,
    /// Whether the outlet has its waker.
    is_registered: bool,
}

impl PendingSend<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<Message>>> {
        if self.message.is_some() {
            let accepted = self.outlet.poll_send(cx, &mut self.message, &mut self.place);
            self.is_registered = accepted.is_pending();
            ready!(accepted)?;
        }
        let handed_over = self.outlet.poll_handed_over(cx, &mut self.number);
        self.is_registered = handed_over.is_pending();
        handed_over.map(Ok)
    }
}

impl Drop for PendingSend<'_> {
    fn drop(&mut self) {
        if self.place.is_some() || self.is_registered {
            self.outlet.cancelled(self.place.take());
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.outlet.state()).finish()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Outlet for Mutex<SharedState<S>> {
    fn try_send(&self, message: Message) -> Result<(), SendError<Message>> {
        let mut state = lock(self);
        state.queue_as_newcomer(message)?;
        state.write_queued();
        Ok(())
    }

    fn try_send_prepared(&self, message: &PreparedMessage) -> Result<(), SendError> {
        let mut state = lock(self);
        state.queue_prepared_as_newcomer(message)?;
        state.write_queued();
        Ok(())
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<Place>,
    ) -> Poll<Result<(), SendError<Message>>> {
        let mut clones = WakerClones::default();
        for _ in 0..MAX_ATTEMPTS {
            let mut state = lock(self);
            let result = state.poll_queue_in_order(cx, message, place, &mut clones);
            if result.is_ready() {
                state.write_queued();
            }
            if result.is_ready() || !state.waker_missing {
                return result;
            }
            drop(state);
            clones.fill(cx.waker());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_handed_over(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<()> {
        lock_and_poll(self, cx, |state, cx| {
            let number = *number.get_or_insert(state.accepted);
            state.poll_handed_over(cx, number)
        })
    }

    fn cancelled(&self, place: Option<Place>) {
        let mut state = lock(self);
        match place {
            Some(place) => state.leave_wait_list(place),
            // Removes the waker of the dropped future; tasks that still wait register again. Without this, wakers of
            // dropped futures would accumulate behind a slow peer.
            None => state.waiting.wake_all(),
        }
    }

    fn ping(&self, payload: &[u8]) -> Result<(), ControlError> {
        let mut state = lock(self);
        state.queue_ping(payload)?;
        state.write_queued();
        Ok(())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        let mut state = lock(self);
        state.queue_close_and_receive(code, reason);
        state.write_queued();
    }

    fn state(&self) -> ConnectionState {
        lock(self).state()
    }
}
