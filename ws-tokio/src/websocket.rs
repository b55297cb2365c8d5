use std::{
    fmt,
    future::poll_fn,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionError, ConnectionState, ControlError, Initiator, Message,
    PreparedMessage, SendError, SendQueue, TransmitQueue,
};

use crate::{
    sender::Sender,
    shared::{Shared, SharedState, lock, lock_and_poll},
};

/// A WebSocket on any tokio transport, client's or server's side.
///
/// The library answers pings, drives the closing handshake and watches the deadlines of its
/// [`Config`](ws_proto::Config) whenever one of the futures here is polled; a server's `serve` polls all the time,
/// elsewhere be in [`recv`](Self::recv). A task that only sends does the same with each [`send`](Self::send) and
/// [`flush`](Self::flush); messages that come meanwhile are held for `recv`, up to `max_held_bytes`.
///
/// All state is in the connection: every future here may be dropped at any point, as `select!` does, without losing or
/// doubling anything.
///
/// Dropped under a server's `serve` it closes with 1000 in the background; elsewhere it ends the transport, and the
/// peer sees no Close: call [`close`](Self::close).
///
/// Destructors of payloads and wakers of tasks may use the connection, and a panic in one of them ends nothing else. The
/// transport itself is polled, and the mask source of a client asked, under the connection's lock: neither may use a
/// handle to the connection.
pub struct WebSocket<S> {
    shared: Shared<S>,
    /// Whether a server's task writes what is sent.
    has_server_task: bool,
    subprotocol: Option<Box<str>>,
    /// False once `into_parts` took the connection.
    owned: bool,
    /// Whether the end was reported through `Stream`.
    terminated: bool,
    /// What a `Sink` has taken, and the write queue has no room for yet.
    left_over: Option<Box<Message>>,
}

/// What [`WebSocket::into_parts`] gives back.
pub struct Parts<S> {
    /// The transport.
    pub io: S,
    /// The state machine, with messages that were received and not asked for.
    pub connection: Connection,
    /// What was sent and is not written.
    pub transmit: TransmitQueue,
    /// What was received behind the handshake and not looked at.
    pub received: Bytes,
}

/// Payloads stay out of logs.
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
    /// Puts a connection whose handshake is done on its transport.
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

    /// What went wrong, the first time it is asked.
    pub(crate) fn take_error(&mut self) -> Option<ConnectionError> {
        if std::mem::replace(&mut self.terminated, true) {
            return None;
        }
        lock(&self.shared).close_info().filter(|info| !info.is_clean()).and_then(|info| info.error)
    }

    /// With the bytes that were read behind the handshake: the peer's first frames.
    #[must_use]
    pub fn with_received(self, received: &[u8]) -> Self {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.preload(received);
        }
        self
    }

    /// With the subprotocol that was negotiated.
    #[must_use]
    pub fn with_subprotocol(mut self, subprotocol: Option<String>) -> Self {
        self.subprotocol = subprotocol.map(String::into_boxed_str);
        self
    }

    /// With a transport that can tell what its send queue looks like: a peer that reads slowly is told from one that does
    /// not read, and one that vanished is noticed while the application does not take what was received. `look` is called
    /// now and then, when a deadline is about to pass; it has the connection's lock, so it must not use this handle. The
    /// servers and clients of this workspace do so for TCP on Linux.
    #[must_use]
    pub fn with_send_queue(self, look: fn(&S) -> Option<SendQueue>) -> Self {
        lock(&self.shared).watch_send_queue(look);
        self
    }

    /// The subprotocol in use (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    /// Open, closing or closed.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        lock(&self.shared).state()
    }

    /// How the connection ended: who closed, with what code, whether cleanly, and what went wrong. `None` until
    /// [`recv`](Self::recv) has returned `None` or [`close`](Self::close) has returned.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        lock(&self.shared).close_info().cloned()
    }

    /// Whether messages that are sent from now on may be compressed, if that was agreed upon: yes, until this says no.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        if let Some(driver) = lock(&self.shared).driver_mut() {
            driver.connection_mut().set_compression(on);
        }
    }

    /// What was agreed upon about compression; `None` if there is none, or the connection is over.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate_params(&self) -> Option<ws_proto::DeflateParams> {
        lock(&self.shared).driver()?.connection().deflate_params()
    }

    /// Takes the connection back from the transport; `None` if it is over. Other handles to it are dead afterwards.
    #[must_use]
    pub fn into_parts(mut self) -> Option<Parts<S>> {
        self.owned = false;
        let driver = lock(&self.shared).take_driver()?;
        let (io, mut connection, transmit, received) = driver.into_parts();
        connection.resume();
        Some(Parts { io, connection, transmit, received })
    }

    /// Calls `f` with the transport, for its addresses or options; `None` if the connection is over. `f` has the
    /// connection's lock: it must not use this handle or a [`Sender`] of it.
    pub fn with_io<R>(&self, f: impl FnOnce(&S) -> R) -> Option<R> {
        lock(&self.shared).driver().map(|driver| f(driver.io()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// The next message, or `None` when the connection is over, for whatever reason:
    /// [`close_info`](Self::close_info) tells. Text and binary only; control frames are the library's business.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call goes on where this one was.
    pub async fn recv(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Self::recv) as a poll function.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        lock_and_poll(&self.shared, cx, SharedState::poll_recv)
    }

    /// Sends a message. Waits while the write queue is at its limits; then, under a server's `serve`, the message
    /// goes out at the end of the turn, together with all others of that turn; elsewhere waits until the transport
    /// has taken it. Meanwhile what the peer sends is read and held, up to `max_held_bytes`, so that pings are
    /// answered and two ends that both send do not wait for each other. A send that does not wait looks at what has come
    /// too, unless [`recv`](Self::recv) was polled since the last one.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] with the message if the connection is not open.
    ///
    /// # Cancel safety
    /// If the future is dropped while the queue is full, nothing is sent. Once there was room the message goes out
    /// whole, dropped or not.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError<Message>> {
        self.feed(message).await?;
        if !self.has_server_task {
            self.flush().await;
        }
        Ok(())
    }

    /// Queues a message without flushing: for many small ones, with one [`flush`](Self::flush) at the end. Waits while
    /// the write queue is at its limits.
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

    /// As [`send`](Self::send), for a message that goes out on many connections: it is framed, and compressed, only once.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] if the connection is not open.
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

    /// Waits until everything queued is handed to the transport, or the connection is over.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn flush(&mut self) {
        poll_fn(|cx| lock_and_poll(&self.shared, cx, SharedState::poll_flush)).await;
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The keepalive of the configuration does it by itself.
    ///
    /// # Errors
    /// [`ControlError`]: not open, over 125 bytes, or too many control frames waiting.
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

    /// Closes the connection properly (RFC 6455 section 7): what was sent before goes out for as long as the peer takes it
    /// (`write_timeout`), then a Close frame, then the peer's answer is awaited, `close_timeout` at most. Messages that are
    /// held or still come are dropped; to receive them until the peer's Close, close with a [`Sender`], or as a `Sink`, and
    /// [`recv`](Self::recv). A reason over 123 bytes is cut between characters. If the connection is closing already, waits
    /// for its end.
    ///
    /// # Cancel safety
    /// The Close is queued at the first poll; call again, or [`recv`](Self::recv) until `None`, to see it through.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> CloseInfo {
        // Refused if the connection is not open any more; then its end is all that is left to wait for.
        let _ = poll_fn(|cx| self.poll_left_over(cx)).await;
        lock(&self.shared).queue_close(code, reason);
        while self.recv().await.is_some() {}
        self.close_info().unwrap_or(CloseInfo {
            received: None,
            sent: None,
            initiator: Initiator::Local,
            error: None,
        })
    }
}

/// What [`Sink`](futures_sink::Sink) needs: `start_send` must not refuse, but a message may be larger than the room that
/// is left.
impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Queues a message, or keeps it until there is room.
    pub(crate) fn queue_or_leave_over(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if self.left_over.is_some() {
            return Err(SendError::WriteBusy(message));
        }
        match lock(&self.shared).queue(message) {
            Err(SendError::WriteBusy(message)) => {
                self.left_over = Some(Box::new(message));
                Ok(())
            }
            result => result,
        }
    }

    /// Waits until there is room for what was left over.
    pub(crate) fn poll_left_over(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<Message>>> {
        let Some(message) = self.left_over.take() else { return Poll::Ready(Ok(())) };
        let mut message = Some(*message);
        let result = lock_and_poll(&self.shared, cx, |state, cx| state.poll_queue(cx, &mut message));
        self.left_over = message.map(Box::new);
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// A handle that other tasks send through; cheap to clone, bounded by the same write queue.
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
