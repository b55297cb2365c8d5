//! The receiving half of a WebSocket, and how to get both halves.

use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseInfo, Message, recorder::Recording, stats::ConnectionStats};

use super::WebSocket;
use crate::sender::Sender;

/// The receiving half of a [`WebSocket`], from [`WebSocket::split`].
///
/// It owns the connection, and a [`Sender`] is the other half. Keep a task in [`recv`](Self::recv): it answers pings,
/// completes the closing handshake and watches the deadlines, as described on [`WebSocket`].
///
/// # Dropping
/// Dropping the `Receiver` drops the `WebSocket`: under a server's `serve` the connection closes with 1000, in all
/// other cases the transport is dropped without a Close frame. Each [`Sender`] then gets an error. Dropping the senders
/// does not end the connection.
#[derive(Debug)]
pub struct Receiver<S> {
    pub(super) ws: WebSocket<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocket<S> {
    /// Creates a handle for other tasks to send through. It is cheap to clone and uses the same bounded write queue.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(self.shared.clone())
    }

    /// Splits the connection into a half that sends and a half that receives, for two tasks. Both halves have the
    /// methods and traits that tasks need; no lock is added, because a [`Sender`] locks the connection for each call.
    ///
    /// The sender comes first, as in the `split` of futures-util. That one keeps each message until its sink is polled
    /// again, so it cannot send the reply to the last message before a Close that arrives together with it.
    ///
    /// A message that the `Sink` of the `WebSocket` has accepted and not yet queued goes out first when the `Sink` of
    /// this [`Sender`] is polled.
    #[must_use]
    pub fn split(mut self) -> (Sender, Receiver<S>) {
        let left_over = self.take_left_over().map(|left_over| left_over.message);
        (self.sender().with_left_over(left_over), Receiver { ws: self })
    }
}

impl<S> Receiver<S> {
    pub(crate) const fn websocket(&self) -> &WebSocket<S> {
        &self.ws
    }

    pub(crate) const fn websocket_mut(&mut self) -> &mut WebSocket<S> {
        &mut self.ws
    }

    /// Returns the whole connection. The senders remain usable.
    #[must_use]
    pub fn unsplit(self) -> WebSocket<S> {
        self.ws
    }

    /// Returns the negotiated subprotocol (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.ws.subprotocol()
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.ws.is_open()
    }

    /// Returns how the connection ended. `None` until [`recv`](Self::recv) has returned `None`. See
    /// [`WebSocket::close_info`].
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.ws.close_info()
    }

    /// Returns what the connection has received and sent. See [`WebSocket::stats`].
    #[must_use]
    pub fn stats(&self) -> Option<ConnectionStats> {
        self.ws.stats()
    }

    /// Returns the connection's latest events. See [`WebSocket::recording`].
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.ws.recording()
    }

    /// Calls `f` with the transport. See [`WebSocket::with_io`].
    pub fn with_io<R>(&self, f: impl FnOnce(&S) -> R) -> Option<R> {
        self.ws.with_io(f)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Receiver<S> {
    /// Receives the next text or binary message. Returns `None` once the connection is over. See [`WebSocket::recv`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. The next call continues where this one stopped.
    pub async fn recv(&mut self) -> Option<Message> {
        self.ws.recv().await
    }

    /// Polls for the next message, as [`recv`](Self::recv) does.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.ws.poll_recv(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Receiver<S> {
    /// Creates another handle to send through.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.ws.sender()
    }
}
