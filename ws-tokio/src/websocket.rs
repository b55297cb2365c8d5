use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionState, Message, PreparedMessage, SendQueue, TransmitQueue,
    close::Initiator,
    error::{ConnectionError, ControlError, SendError},
};

use crate::{
    sender::Sender,
    shared::{Shared, SharedState, lock, lock_and_poll},
};

/// A WebSocket connection on any tokio transport, for clients and servers.
///
/// # Progress
/// The connection answers pings, completes the closing handshake and watches the deadlines of its
/// [`Config`](ws_proto::Config) while one of its futures is polled. A server's `serve` polls the connection by itself.
/// In all other cases, keep a task in [`recv`](Self::recv). In a task that only sends, each [`send`](Self::send) and
/// [`flush`](Self::flush) also reads what has arrived; messages are held for `recv`, up to `max_held_bytes`.
///
/// # Cancel safety
/// All state is in the connection. Any future can be dropped at any point, as `select!` does, and no message is lost
/// or sent twice.
///
/// # Dropping
/// Under a server's `serve`, dropping the `WebSocket` closes the connection with 1000 in the background. In all other
/// cases it drops the transport, and the peer receives no Close frame; call [`close`](Self::close) first.
///
/// # Panics and reentrancy
/// Destructors of payloads and wakers of tasks may use the connection. The library catches their panics, and the
/// connection continues. The transport and a client's mask source are called while the connection is locked. They must
/// not use a handle to the connection, and their panics reach the caller.
pub struct WebSocket<S> {
    shared: Shared<S>,
    /// Whether a server's task writes the messages.
    has_server_task: bool,
    subprotocol: Option<Box<str>>,
    /// False after `into_parts`.
    owned: bool,
    /// Whether `Stream` has reported the end.
    terminated: bool,
    /// A message that the `Sink` has accepted and the write queue has no room for yet.
    left_over: Option<Box<Message>>,
}

/// The parts of a connection, from [`WebSocket::into_parts`].
pub struct Parts<S> {
    /// The transport.
    pub io: S,
    /// The state machine, with messages that were received and not taken.
    pub connection: Connection,
    /// Encoded bytes that are not written yet.
    pub transmit: TransmitQueue,
    /// Bytes from [`WebSocket::with_received`] that are not parsed yet.
    pub received: Bytes,
}

/// Omits payloads, to keep them out of logs.
impl<S: fmt::Debug> fmt::Debug for Parts<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("io", &self.io)
            .field("connection", &self.connection)
            .field("transmit", &self.transmit)
            .field("received_len", &self.received.len())
            .finish()
    }
}

impl<S> WebSocket<S> {
    /// Creates a `WebSocket` from a transport and a connection whose opening handshake is complete.
    #[must_use]
    pub fn new(io: S, connection: Connection) -> Self {
        Self::from_shared(SharedState::inline(io, connection).shared(), false)
    }

    pub(crate) const fn from_shared(shared: Shared<S>, has_server_task: bool) -> Self {
        Self { shared, has_server_task, subprotocol: None, owned: true, terminated: false, left_over: None }
    }

    pub(crate) const fn shared(&self) -> &Shared<S> {
        &self.shared
    }

    pub(crate) const fn is_terminated_stream(&self) -> bool {
        self.terminated
    }

    /// Returns the error that ended the connection, at the first call only.
    pub(crate) fn take_error(&mut self) -> Option<ConnectionError> {
        if std::mem::replace(&mut self.terminated, true) {
            return None;
        }
        lock(&self.shared).close_info().filter(|info| !info.is_clean()).and_then(|info| info.error)
    }

    /// Sets the bytes that were read together with the handshake: the peer's first frames.
    #[must_use]
    pub fn with_received(self, received: &[u8]) -> Self {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.preload(received);
        }
        self
    }

    /// Sets the negotiated subprotocol.
    #[must_use]
    pub fn with_subprotocol(mut self, subprotocol: Option<String>) -> Self {
        self.subprotocol = subprotocol.map(String::into_boxed_str);
        self
    }

    /// Sets a function that reads the state of the transport's send queue. With it, a peer that reads slowly is not
    /// mistaken for one that does not read, and a peer that has vanished is detected while the application takes no
    /// messages. `read` is called only when a deadline is about to pass. The connection is locked during the call, so
    /// `read` must not use this handle. `ws-server` and `ws-client` set it for TCP on Linux.
    #[must_use]
    pub fn with_send_queue(self, read: fn(&S) -> Option<SendQueue>) -> Self {
        lock(&self.shared).watch_send_queue(read);
        self
    }

    /// Returns the negotiated subprotocol (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    /// Returns whether the connection is open, closing or closed.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        lock(&self.shared).state()
    }

    /// Returns how the connection ended: the side that closed it, the close code, whether the end was clean, and the
    /// error. `None` until [`recv`](Self::recv) has returned `None` or [`close`](Self::close) has returned.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        lock(&self.shared).close_info().cloned()
    }

    /// Sets whether later messages may be compressed. On by default; no effect unless compression was negotiated.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.connection_mut().set_compression(on);
        }
    }

    /// Returns the negotiated compression parameters. `None` without compression or after the connection's end.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate_params(&self) -> Option<ws_proto::deflate::DeflateParams> {
        lock(&self.shared).driver()?.connection().deflate_params()
    }

    /// Splits the connection into its parts. `None` if the connection is over. Afterwards, every [`Sender`] of it
    /// behaves as after the connection's end.
    #[must_use]
    pub fn into_parts(mut self) -> Option<Parts<S>> {
        self.owned = false;
        let driver = lock(&self.shared).take_driver()?;
        let (io, mut connection, transmit, received) = driver.into_parts();
        connection.resume();
        Some(Parts { io, connection, transmit, received })
    }

    /// Calls `f` with the transport, to read its addresses or set its options. `None` if the connection is over. The
    /// connection is locked during the call, so `f` must not use this handle or a [`Sender`] of it.
    pub fn with_io<R>(&self, f: impl FnOnce(&S) -> R) -> Option<R> {
        lock(&self.shared).driver().map(|driver| f(driver.io()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Receives the next text or binary message. Returns `None` once the connection is over;
    /// [`close_info`](Self::close_info) says how it ended. The library handles control frames.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next message, as [`recv`](Self::recv) does.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        lock_and_poll(&self.shared, cx, SharedState::poll_recv)
    }

    /// Sends a message. Waits while the write queue is at its limits.
    ///
    /// Under a server's `serve`, `send` then returns, and the server writes the message at the end of the turn,
    /// together with all other messages of that turn. In all other cases, `send` returns once the transport has taken
    /// the message.
    ///
    /// While it waits, `send` also reads what the peer sends and holds the messages, up to `max_held_bytes`. So pings
    /// are answered, and two ends that both send do not wait for each other. A `send` that does not wait reads what has
    /// arrived too, unless [`recv`](Self::recv) was polled since the last one.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent. Once the message is queued, it goes out whole
    /// even if the future is dropped.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        self.feed(message).await?;
        if !self.has_server_task {
            self.flush().await;
        }
        Ok(())
    }

    /// Queues a message without flushing. Use it for many small messages, with one [`flush`](Self::flush) at the end.
    /// Waits while the write queue is at its limits.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn feed(&mut self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        let mut message = Some(message.into());
        poll_fn(|cx| {
            let _ = ready!(self.poll_left_over(cx));
            lock_and_poll(&self.shared, cx, |state, cx| state.poll_queue(cx, &mut message))
        })
        .await
    }

    /// Sends a message that goes to many connections, as [`send`](Self::send) does. It is framed and compressed only
    /// once.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection is not open.
    ///
    /// # Cancel safety
    /// As [`send`](Self::send).
    pub async fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        poll_fn(|cx| {
            let _ = ready!(self.poll_left_over(cx));
            lock_and_poll(&self.shared, cx, |state, cx| state.poll_queue_prepared(cx, message))
        })
        .await?;
        if !self.has_server_task {
            self.flush().await;
        }
        Ok(())
    }

    /// Waits until the transport has taken everything that is queued, or the connection is over.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&mut self) {
        poll_fn(|cx| lock_and_poll(&self.shared, cx, SharedState::poll_flush)).await;
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The keepalive of the configuration sends its own.
    ///
    /// # Errors
    /// [`ControlError`] if the connection is not open, the payload is over 125 bytes, or too many control frames wait.
    ///
    /// # Cancel safety
    /// The ping is queued at the first poll.
    pub async fn ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        lock(&self.shared).queue_ping(payload)?;
        if !self.has_server_task {
            self.flush().await;
        }
        Ok(())
    }

    /// Closes the connection with the closing handshake (RFC 6455 section 7) and returns how it ended.
    ///
    /// Messages that were sent before go out first, as long as the peer takes them (`write_timeout`). Then a Close
    /// frame goes out, and the peer has `close_timeout` to answer it. A reason over 123 bytes is cut at a character
    /// boundary. If the connection is already closing, this waits for its end.
    ///
    /// Messages that are held or still arrive are dropped. To receive them until the peer's Close, close with a
    /// [`Sender`] or as a `Sink`, and call [`recv`](Self::recv).
    ///
    /// # Cancel safety
    /// The Close is queued at the first poll. To complete the handshake after the future was dropped, call `close`
    /// again, or [`recv`](Self::recv) until it returns `None`.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> CloseInfo {
        // An error means that the connection is no longer open; then only its end is awaited.
        let _ = poll_fn(|cx| self.poll_left_over(cx)).await;
        lock(&self.shared).queue_close(code, reason);
        while self.recv().await.is_some() {}
        self.close_info().unwrap_or(CloseInfo::new(Initiator::Local))
    }
}

/// For [`Sink`](futures_sink::Sink): `start_send` must accept a message after `poll_ready`, even one that is larger
/// than the room that is left.
impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Queues a message, or stores it as left over until there is room.
    pub(crate) fn queue_or_leave_over(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if self.left_over.is_some() {
            return Err(SendError::Full(message));
        }
        match lock(&self.shared).queue(message) {
            Err(SendError::Full(message)) => {
                self.left_over = Some(Box::new(message));
                Ok(())
            }
            result => result,
        }
    }

    /// Waits until the message that is left over is queued.
    pub(crate) fn poll_left_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<Message>>> {
        let Some(message) = self.left_over.take() else { return Poll::Ready(Ok(())) };
        let mut message = Some(*message);
        let result = lock_and_poll(&self.shared, cx, |state, cx| state.poll_queue(cx, &mut message));
        self.left_over = message.map(Box::new);
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Creates a handle for other tasks to send through. It is cheap to clone and uses the same bounded write queue.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.shared.clone())
    }
}

impl<S> Drop for WebSocket<S> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared);
        if self.owned && state.has_server_task() {
            state.on_owner_dropped();
        } else if self.owned {
            state.end();
        }
    }
}

impl<S> fmt::Debug for WebSocket<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("state", &self.state()).finish_non_exhaustive()
    }
}
