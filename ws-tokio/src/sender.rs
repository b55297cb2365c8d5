use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, ConnectionState, ControlError, Message, PreparedMessage, SendError};

use crate::{
    shared::{SharedState, lock, lock_and_poll},
    wait_list::Place,
};

/// Polls of a send without a break. Its waker is stored in up to two places, and may be called in between.
const MAX_ATTEMPTS: usize = 4;

/// Sends on a connection from any task. Cheap to clone; all clones and the connection's owner share one bounded
/// write queue, so a slow peer holds its senders back and not the memory.
///
/// On a server's connection the server moves the bytes. On any other [`WebSocket`](crate::WebSocket) they move while a
/// future of the connection is polled: [`send`](Self::send) moves them itself until its message is handed to the
/// transport. The other methods write once, as far as the transport takes it; the rest goes out while the owner's
/// [`recv`](crate::WebSocket::recv), or any other future of the connection, is polled.
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

    /// A future that waited was dropped: in [`poll_send`](Self::poll_send), where it had a place, so that the next one comes
    /// first, or in [`poll_handed_over`](Self::poll_handed_over).
    fn cancelled(&self, place: Option<Place>);

    /// How many messages were accepted so far, and, by that count, until the transport has taken that many: after
    /// [`poll_send`](Self::poll_send) has accepted one. `number` is `None` at first and kept by the caller. `Ready` at
    /// once where something else moves the bytes.
    fn poll_handed_over(&self, cx: &mut Context<'_>, number: &mut Option<u64>) -> Poll<()> {
        let _ = (cx, number);
        Poll::Ready(())
    }

    /// Queues a ping.
    ///
    /// # Errors
    /// [`ControlError`].
    fn ping(&self, payload: &[u8]) -> Result<(), ControlError>;

    /// Begins the closing handshake; messages are delivered until the peer's Close.
    fn close(&self, code: CloseCode, reason: &str);

    /// Open, closing or closed.
    fn state(&self) -> ConnectionState;
}

impl Sender {
    /// A handle to `outlet`.
    #[doc(hidden)]
    pub fn new(outlet: Arc<impl Outlet + 'static>) -> Self {
        Self { outlet }
    }

    /// Sends a message; waits while the write queue is at its limits. Senders that wait are served in the order in which
    /// they came: once there is room, a future is woken and the room is kept for it until it is polled or dropped. Then, on
    /// a server's connection, the server sends the message; on any other this waits until the transport has taken it, or the
    /// connection is over. Meanwhile what the peer sends is read and held for the owner, up to `max_held_bytes`.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent. Once there was room the message stays queued and
    /// goes out whole: on a server's connection by itself, on any other while a future of the connection is polled.
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

    /// Sends a message if there is room at once: for broadcasts that must not wait for a slow peer. `Ok` says that it is
    /// queued. What the transport does not take at once goes out as the [type](Self) says: unless this is a server's
    /// connection, the owner must be polled.
    ///
    /// # Errors
    /// [`SendError::WriteBusy`] if there is no room, or others wait for it, [`SendError::InvalidState`] if the connection is
    /// not open; with the message.
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

    /// Begins the closing handshake, behind what was sent before; its end shows at the connection's owner. Until the
    /// peer's Close the owner gets the messages that the peer still sends.
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
struct PendingSend<'a> {
    outlet: &'a dyn Outlet,
    message: Option<Message>,
    /// Where it waits for room.
    place: Option<Place>,
    /// Of the message, once it is accepted.
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
        let mut waker = None;
        for _ in 0..MAX_ATTEMPTS {
            let mut state = lock(self);
            let result = state.poll_queue_in_order(cx, message, place, &mut waker);
            if result.is_ready() {
                state.write_queued();
            }
            if result.is_ready() || !state.waker_missing {
                return result;
            }
            drop(state);
            // Cloning it may run its executor's code: not under the lock.
            waker.get_or_insert_with(|| cx.waker().clone());
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
            // Tasks that still wait register again. Otherwise a slow peer, and senders that lose patience, would pile up wakers.
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
