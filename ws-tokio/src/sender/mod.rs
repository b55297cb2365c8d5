use std::{fmt, future::poll_fn, sync::Arc};

use ws_proto::{
    CloseCode, ConnectionState, Message, MessageRef, PreparedMessage,
    error::{ControlError, SendError},
};

use crate::{
    feed::{Attach, Feed},
    wait_list::Place,
};

mod async_outlet;
mod outlet;
mod pending_send;
mod sink;

pub use outlet::Outlet;
use pending_send::PendingSend;
use sink::SinkState;

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
///
/// As a [`Sink`](futures_sink::Sink), a `Sender` sends the messages of a stream, for example with `forward` of
/// futures-util. Each clone is a sink of its own.
pub struct Sender {
    pub(crate) outlet: Arc<dyn Outlet>,
    /// `None` until this clone is used as a sink.
    sink: Option<Box<SinkState>>,
}

impl Sender {
    /// Creates a handle to `outlet`.
    #[doc(hidden)]
    pub fn new(outlet: Arc<impl Outlet + 'static>) -> Self {
        Self { outlet, sink: None }
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
        let mut waiting = Sending { outlet: &*self.outlet, send: PendingSend::new(message.into()) };
        poll_fn(|cx| waiting.send.poll_written(waiting.outlet, cx)).await
    }

    /// Sends a message that [`recv_ref`](crate::WebSocket::recv_ref) has lent, as [`send`](Self::send) does. Its
    /// payload is copied straight into the write queue, so small messages need no memory of their own. A message of 16
    /// KiB or more, or one that has to wait for room, becomes an owned one, and so does each message to the connection
    /// of a server's `Handler`.
    ///
    /// With [`Config::validate_utf8`](ws_proto::Config::validate_utf8) off, text that is not valid UTF-8 is sent as
    /// binary, as after [`MessageRef::into_message`].
    ///
    /// ```
    /// use tokio::io::{AsyncRead, AsyncWrite};
    /// use ws_proto::{Message, error::SendError};
    /// use ws_tokio::WebSocket;
    ///
    /// /// Sends each message back.
    /// async fn echo<S>(ws: WebSocket<S>) -> Result<(), SendError<Message>>
    /// where
    ///     S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    /// {
    ///     let (sender, mut receiver) = ws.split();
    ///     while let Some(message) = receiver.recv_ref().await {
    ///         sender.send_ref(message).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`SendError::Closed`] with the message, owned, if the connection is not open.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_ref(&self, message: MessageRef<'_>) -> Result<(), SendError<Message>> {
        let send = match self.outlet.send_lent(&message) {
            Ok(None) => return Ok(()),
            Ok(Some(number)) => PendingSend::accepted(number),
            Err(SendError::Full(())) => PendingSend::new(message.into_message()),
            Err(SendError::Closed(())) => return Err(SendError::Closed(message.into_message())),
        };
        let mut waiting = Sending { outlet: &*self.outlet, send };
        poll_fn(|cx| waiting.send.poll_written(waiting.outlet, cx)).await
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

    /// Sends a pong (RFC 6455 section 5.5.3), as an answer or unsolicited. The library answers pings by itself, unless
    /// [`Config::auto_pong`](ws_proto::Config::auto_pong) is off.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&self, payload: &[u8]) -> Result<(), ControlError> {
        self.outlet.pong(payload)
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2), behind the messages that were sent before. This does not
    /// wait; the connection's owner sees the end. Until the peer's Close, the owner still receives messages. A reason
    /// over 123 bytes is cut at a character boundary. Does nothing if the connection is not open.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.outlet.close(Some(code), reason);
    }

    /// Begins the closing handshake, as [`close`](Self::close) does, with an empty Close frame. The peer reports the
    /// code 1005 (RFC 6455 section 7.1.5). A proxy passes on a Close without a code with it. To pass on an end without
    /// a Close frame, 1006, use [`abort`](Self::abort).
    pub fn close_without_code(&self) {
        self.outlet.close(None, "");
    }

    /// Ends the connection at once, without a Close frame: the peer reports the code 1006 (RFC 6455 section 7.1.5).
    /// What waits to be written is dropped, and so are received messages that the owner has not taken. Works on a
    /// connection that is closing, too.
    ///
    /// On a connection of a server's `Handler`, the connection's next turn ends it. On any other connection, the
    /// transport is dropped before `abort` returns. Then the owner's [`recv`](crate::WebSocket::recv) returns `None`.
    pub fn abort(&self) {
        self.outlet.abort();
    }

    /// Waits until nothing more can be sent: the connection is closing or closed, and [`is_open`](Self::is_open) is
    /// false. It returns when either side begins the closing handshake, and does not wait for its end, because from
    /// then on each send fails. Use it to stop work whose result can no longer be sent.
    ///
    /// While the owner has not taken all messages before it, neither the peer's Close nor the end of its stream takes
    /// effect, because the owner may reply. An owner that does not receive delays them by at most `close_timeout`.
    ///
    /// The future does not move bytes: the end is seen while the owner's [`recv`](crate::WebSocket::recv), or any other
    /// future of the connection, is polled. On a server's connection, the server's task does that.
    ///
    /// # Cancel safety
    /// Safe. Dropping the future loses nothing.
    pub async fn closed(&self) {
        let mut waiting = Closing { outlet: &*self.outlet, place: None };
        poll_fn(|cx| waiting.outlet.poll_closed(cx, &mut waiting.place)).await;
    }

    /// Attaches a feed to the connection, as the connection's [`Outlet`](crate::internal::Outlet::attach) does.
    #[doc(hidden)]
    pub fn attach(&self, make: &mut dyn FnMut(Attach) -> Arc<dyn Feed>) -> Option<Arc<dyn Feed>> {
        self.outlet.attach(make)
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outlet.state() == ConnectionState::Open
    }
}

/// A clone does not take over a message that waits in the [`Sink`](futures_sink::Sink) of the original.
impl Clone for Sender {
    fn clone(&self) -> Self {
        Self { outlet: Arc::clone(&self.outlet), sink: None }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(sink) = &mut self.sink {
            sink.leave(&*self.outlet);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("state", &self.outlet.state()).finish()
    }
}

/// The state of a [`Sender::send`].
struct Sending<'a> {
    outlet: &'a dyn Outlet,
    send: PendingSend,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.send.leave(self.outlet);
    }
}

/// The state of a [`Sender::closed`].
struct Closing<'a> {
    outlet: &'a dyn Outlet,
    place: Option<Place>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.outlet.cancelled_closed(place);
        }
    }
}
