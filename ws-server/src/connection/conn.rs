use std::{io::IoSlice, sync::Arc, task::Waker, time::Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use ws_proto::{
    CloseCode, Connection, ConnectionState, ControlError, Message, MessageKind, MessageRef, PreparedMessage,
    SendError, TransmitQueue, Utf8Bytes,
};
use ws_tokio::{Sender, internal::DirectWriter};

use super::{handler_state::HandlerState, mailbox::Mailbox};

/// A handler's own connection, for the length of a callback.
pub struct Conn<'a> {
    pub(crate) writer: &'a mut dyn WriteThrough,
    pub(crate) connection: &'a mut Connection,
    pub(crate) tx: &'a mut TransmitQueue,
    pub(crate) state: &'a mut HandlerState,
    pub(crate) now: Instant,
    /// Wakes the connection's task.
    pub(crate) waker: &'a Waker,
}

/// Borrowed payloads from this size on go straight to the socket.
const WRITE_THROUGH_FROM: usize = 16 * 1024;

/// The connection's socket, whatever its type.
pub(crate) trait WriteThrough {
    fn write_through(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize;
}

impl<S: AsyncWrite + Unpin> WriteThrough for DirectWriter<'_, S> {
    fn write_through(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize {
        self.write(waker, slices)
    }
}

/// A payload of a text message: `&str` is copied into the write buffer; `String` and [`Utf8Bytes`] are taken over and
/// get an `on_write_complete`.
pub trait TextPayload: Sized {
    /// Queues it.
    #[doc(hidden)]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>>;
}

/// A payload of a binary message: slices are copied into the write buffer; `Vec<u8>` and [`Bytes`] are taken over and
/// get an `on_write_complete`.
pub trait BinaryPayload: Sized {
    /// Queues it.
    #[doc(hidden)]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>>;
}

impl Conn<'_> {
    /// Sends a text message.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] unless the connection is open, [`SendError::WriteBusy`] at the write queue's limits;
    /// both give the payload back.
    #[inline]
    pub fn send_text<P: TextPayload>(&mut self, text: P) -> Result<(), SendError<P>> {
        let sent = text.queue(self);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    #[inline]
    pub fn send_binary<P: BinaryPayload>(&mut self, payload: P) -> Result<(), SendError<P>> {
        let sent = payload.queue(self);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a received message on, as the kind it is: a small one is copied, a large one passed on without a copy. No
    /// `on_write_complete` follows.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text), with the message, owned.
    #[inline]
    pub fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError<Message>> {
        let sent = if message.is_assembled() {
            self.connection.send_message(message.into_message(), false, self.tx)
        } else {
            self.send_lent(message.kind(), message.as_bytes())
                .map_err(|error| error.map(|()| message.into_message()))
        };
        self.note_refusal(&sent);
        sent
    }

    /// Sends an owned message; an `on_write_complete` follows.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text), with the message.
    pub fn send_message(&mut self, message: Message) -> Result<(), SendError<Message>> {
        let sent = self.connection.send_message(message, true, self.tx);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a message that goes out on many connections: it is framed, and compressed, only once. No `on_write_complete`
    /// follows.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        let sent = self.connection.send_prepared(message, false, self.tx);
        self.note_refusal(&sent);
        sent
    }

    /// Whether messages that are sent from now on may be compressed, if that was agreed upon: yes, until this says no.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        self.connection.set_compression(on);
    }

    /// What was agreed upon about compression; `None` if there is none.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate_params(&self) -> Option<ws_proto::DeflateParams> {
        self.connection.deflate_params()
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The payload is copied.
    ///
    /// # Errors
    /// [`ControlError`]: not open, over 125 bytes, or 256 bytes of control frames waiting.
    pub fn send_ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.connection.send_ping(payload, self.tx)
    }

    /// Sends a pong (RFC 6455 section 5.5.3). The payload is copied.
    ///
    /// # Errors
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.connection.send_pong(payload, self.tx)
    }

    /// Answers a ping; while the peer does not read, only the latest answer is kept, so this never fails.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        self.connection.answer_ping(payload, self.tx);
    }

    /// Begins the closing handshake: what was accepted goes out first, for as long as the peer takes it (`write_timeout`),
    /// then a Close, and `close_timeout` begins. Messages that are held or still come are dropped, also after a
    /// [`Sender::close`], which lets them be delivered until the peer's Close. Does nothing else unless the connection is
    /// open. A reason over 123 bytes is cut between characters.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.connection.close(code, reason, self.now, self.tx);
    }

    /// Ends the connection at once, without a Close frame.
    pub fn abort(&mut self) {
        self.connection.abort(self.tx);
    }

    /// Open, closing or closed.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.connection.state()
    }

    /// Holds messages back until [`resume`](Self::resume). Pings are still answered and the peer's Close is still seen;
    /// once `max_held_bytes` are held, nothing more is read.
    pub const fn pause(&mut self) {
        self.state.paused = true;
        self.connection.pause();
    }

    /// Delivers messages again, those held back first; never from within this call.
    pub fn resume(&mut self) {
        self.state.paused = false;
        if !self.state.held_back {
            self.connection.resume();
        }
        self.state.again = true;
    }

    /// Data messages, and their bytes, that are accepted and not written.
    #[must_use]
    pub fn queued(&self) -> (usize, usize) {
        self.connection.queued(self.tx)
    }

    /// A handle through which other tasks and other connections' handlers send on this connection. Its queue has the
    /// limits of the write queue. The first call allocates it.
    pub fn sender(&mut self) -> Sender {
        let HandlerState { registration, mailbox, .. } = &mut *self.state;
        let mailbox = mailbox.get_or_insert_with(|| {
            Arc::new(Mailbox::new(self.connection.config(), registration.waker(self.waker)))
        });
        Sender::new(Arc::clone(mailbox))
    }

    #[inline]
    const fn note_refusal<P>(&mut self, sent: &Result<(), SendError<P>>) {
        if matches!(sent, Err(SendError::WriteBusy(_))) {
            self.state.refused = true;
        }
    }

    /// Sends a borrowed payload; a large one straight to the socket, as far as that takes it.
    #[inline]
    fn send_lent(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        if payload.len() < WRITE_THROUGH_FROM {
            return self.connection.send(kind, payload, self.tx);
        }
        let (mut taken, writer, waker) = (0, &mut *self.writer, self.waker);
        let sent = self.connection.send_through(kind, payload, self.tx, |slices| {
            taken = writer.write_through(waker, slices);
            taken
        });
        if taken > 0 {
            self.connection.handle_written(self.now);
        }
        sent
    }

    fn queue_owned(&mut self, kind: MessageKind, payload: Bytes) -> Result<(), SendError<Bytes>> {
        self.connection.send_bytes(kind, payload, true, self.tx)
    }
}

impl TextPayload for &str {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        let sent = conn.send_lent(MessageKind::Text, self.as_bytes());
        sent.map_err(|error| error.map(|()| self))
    }
}

impl TextPayload for String {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        Utf8Bytes::from(self).queue(conn).map_err(|error| error.map(Self::from))
    }
}

impl TextPayload for Utf8Bytes {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        // The text comes back unchanged, so it is still UTF-8; the check costs only whoever is refused.
        conn.queue_owned(MessageKind::Text, self.into_bytes())
            .map_err(|error| error.map(|bytes| Self::try_from(bytes).unwrap_or_default()))
    }
}

impl BinaryPayload for &[u8] {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        let sent = conn.send_lent(MessageKind::Binary, self);
        sent.map_err(|error| error.map(|()| self))
    }
}

impl<const N: usize> BinaryPayload for &[u8; N] {
    #[inline]
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        self.as_slice().queue(conn).map_err(|error| error.map(|_| self))
    }
}

impl BinaryPayload for Vec<u8> {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        Bytes::from(self).queue(conn).map_err(|error| error.map(Self::from))
    }
}

impl BinaryPayload for Bytes {
    fn queue(self, conn: &mut Conn<'_>) -> Result<(), SendError<Self>> {
        conn.queue_owned(MessageKind::Binary, self)
    }
}
