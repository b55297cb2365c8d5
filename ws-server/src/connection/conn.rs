//! What a handler's callbacks can do with their connection.

use std::{fmt, io::IoSlice, sync::Arc, task::Waker, time::Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use ws_proto::{
    CloseCode, Connection, ConnectionState, Message, MessageKind, MessageRef, Notify, PreparedMessage,
    Queued, ReceiveBuffer, TransmitQueue,
    error::{ControlError, SendError},
    recorder::Recording,
    stats::ConnectionStats,
};
use ws_tokio::{
    Sender,
    internal::{DirectWriter, Filled},
};

use super::{handler_state::HandlerState, mailbox::Mailbox};

/// The connection that a callback belongs to.
///
/// What a callback sends is collected and written after the callbacks for everything that was received together have
/// returned. To send from elsewhere, use a [`Sender`](Self::sender).
pub struct Conn<'a> {
    pub(super) writer: &'a mut dyn WriteThrough,
    pub(super) connection: &'a mut Connection,
    pub(super) tx: &'a mut TransmitQueue,
    pub(super) state: &'a mut HandlerState,
    pub(super) now: Instant,
    /// Wakes the connection's task.
    pub(super) waker: &'a Waker,
}

/// A socket of any type.
pub(super) trait WriteThrough {
    /// Writes what the socket takes now, and returns how many bytes that is.
    fn write_through(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize;
}

impl<S: AsyncWrite + Unpin> WriteThrough for DirectWriter<'_, S> {
    fn write_through(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize {
        self.write(waker, slices)
    }
}

impl Conn<'_> {
    /// Sends a received message, as text or binary as it was received. A small message is copied, a large one is not.
    /// `on_write_complete` is not called.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text). The error returns the message, owned.
    #[inline]
    pub fn send(&mut self, message: MessageRef<'_>) -> Result<(), SendError<Message>> {
        if message.is_assembled() {
            return self.send_assembled(message);
        }
        match self.send_lent(message.kind(), message.as_bytes()) {
            Ok(()) => Ok(()),
            refused => self.return_lent(refused, message),
        }
    }

    fn send_assembled(&mut self, message: MessageRef<'_>) -> Result<(), SendError<Message>> {
        if !self.fill_from_feed() {
            return self.refuse(message.into_message());
        }
        let sent = self.connection.send_received(message, self.tx);
        self.note_refusal(&sent);
        sent
    }

    #[cold]
    fn return_lent(
        &mut self,
        refused: Result<(), SendError>,
        message: MessageRef<'_>,
    ) -> Result<(), SendError<Message>> {
        self.note_refusal(&refused);
        refused.map_err(|error| error.map(|()| message.into_message()))
    }

    /// Sends an owned message. `on_write_complete` is called once it is written.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text). The error returns the message.
    pub fn send_message(&mut self, message: Message) -> Result<(), SendError<Message>> {
        if !self.fill_from_feed() {
            return self.refuse(message);
        }
        let sent = self.connection.send_message(message, Notify::Yes, self.tx);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a message that goes to many connections. It is framed, and compressed, only once for all of them.
    /// `on_write_complete` is not called.
    ///
    /// # Errors
    /// As [`send_text`](Self::send_text).
    pub fn send_prepared(&mut self, message: &PreparedMessage) -> Result<(), SendError> {
        if !self.fill_from_feed() {
            return self.refuse(());
        }
        let sent = self.connection.send_prepared(message, Notify::No, self.tx);
        self.note_refusal(&sent);
        sent
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The payload is copied. The keepalive of the configuration sends its own.
    ///
    /// # Errors
    /// [`ControlError::Closed`] unless the connection is open, [`ControlError::TooLong`] if the
    /// payload is longer than 125 bytes, [`ControlError::Full`] if it does not fit into the 256 bytes for control
    /// frames that wait.
    #[doc(alias = "send_ping")]
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.connection.ping(payload, self.tx)
    }

    /// Sends a pong (RFC 6455 section 5.5.3), as an answer or unsolicited. The payload is copied.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    #[doc(alias = "send_pong")]
    pub fn pong(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.connection.pong(payload, self.tx)
    }

    /// Answers a ping, whatever [`Config::auto_pong`](ws_proto::Config::auto_pong) says. While the peer does not read,
    /// only the latest answer is kept, so this never fails and never grows.
    pub fn answer_ping(&mut self, payload: &[u8]) {
        self.connection.answer_ping(payload, self.tx);
    }

    /// The default of [`Handler::on_ping`](crate::Handler::on_ping).
    pub(super) fn answer_ping_if_automatic(&mut self, payload: &[u8]) {
        if self.state.registration.shard().server.protocol.auto_pong {
            self.answer_ping(payload);
        }
    }

    /// Starts the closing handshake (RFC 6455 section 7.1.2).
    ///
    /// Messages that were accepted before are written first, as long as the peer takes bytes within
    /// [`write_timeout`](crate::ServerBuilder::write_timeout). The Close follows; once it is written,
    /// [`close_timeout`](crate::ServerBuilder::close_timeout) begins.
    ///
    /// Messages that are held, or received from now on, are dropped. This also applies after a [`Sender::close`], which
    /// by itself delivers messages until the peer's Close. Otherwise the call does nothing unless the connection is
    /// open.
    ///
    /// A reason over 123 bytes is cut at a character boundary.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.fill_from_feed();
        self.connection.close(code, reason, self.now, self.tx);
    }

    /// Starts the closing handshake, as [`close`](Self::close) does, with an empty Close frame. The peer reports the
    /// code 1005 (RFC 6455 section 7.1.5). A proxy passes on a Close without a code with it. To pass on an end without
    /// a Close frame, 1006, use [`abort`](Self::abort).
    pub fn close_without_code(&mut self) {
        self.fill_from_feed();
        self.connection.close_without_code(self.now, self.tx);
    }

    /// Ends the connection immediately, without a Close frame: the peer reports the code 1006 (RFC 6455 section 7.1.5).
    pub fn abort(&mut self) {
        self.connection.abort(self.tx);
    }

    /// Holds received messages until [`resume`](Self::resume). Pings are still answered, and the peer's Close is still
    /// processed, until `max_held_bytes` of messages are held; then nothing more is read.
    pub fn pause(&mut self) {
        self.state.pauses.by_handler = true;
        self.connection.pause();
    }

    /// Delivers messages again, the held ones first. The callbacks run after the current one has returned.
    pub fn resume(&mut self) {
        self.state.pauses.by_handler = false;
        if !self.state.pauses.by_blocked_write {
            self.connection.resume();
        }
        self.state.wants.turn = true;
    }

    /// Creates a handle for other tasks, and the handlers of other connections, to send through. It is cheap to clone.
    ///
    /// All senders of a connection share a bounded queue of their own, with the limits
    /// [`write_queue_messages`](crate::ServerBuilder::write_queue_messages) and
    /// [`write_queue_bytes`](crate::ServerBuilder::write_queue_bytes). The first call allocates it.
    pub fn sender(&mut self) -> Sender {
        let HandlerState { registration, mailbox, .. } = &mut *self.state;
        let mailbox = mailbox.get_or_insert_with(|| {
            let counters = Arc::clone(&registration.shard().server.counters.traffic);
            Arc::new(Mailbox::new(self.connection.config(), registration.waker(self.waker), counters))
        });
        Sender::new(Arc::clone(mailbox))
    }

    /// Sets whether messages that are sent from now on may be compressed, if compression was negotiated. Default:
    /// `true`.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&mut self, on: bool) {
        self.connection.set_compression(on);
    }

    /// Returns whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    /// Returns whether the connection is open, closing or closed.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.connection.state()
    }

    /// Returns the data messages that are accepted and not completely written, and the bytes that wait. What waits in
    /// the queue of the [`Sender`](Self::sender)s does not count.
    #[must_use]
    pub fn queued(&self) -> Queued {
        self.connection.queued(self.tx)
    }

    /// Returns what the connection has received and sent so far, and its round-trip time; also in
    /// [`on_close`](crate::Handler::on_close). `None` without [`statistics`](crate::ServerBuilder::statistics).
    #[must_use]
    pub fn stats(&self) -> Option<ConnectionStats> {
        self.connection.stats(self.tx)
    }

    /// Returns the connection's latest events, to find out why it closes; also in
    /// [`on_close`](crate::Handler::on_close), where [`CloseInfo::recording`](ws_proto::CloseInfo::recording) has them
    /// too. `None` without [`recorder`](crate::ServerBuilder::recorder).
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.connection.recording()
    }

    /// The negotiated parameters of compression; `None` without compression.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate_params(&self) -> Option<ws_proto::deflate::DeflateParams> {
        self.connection.deflate_params()
    }

    /// This turn delivers no further messages.
    #[cold]
    pub(super) fn end_messages(&mut self, rx: &mut ReceiveBuffer) {
        self.state.wants.messages = true;
        self.connection.set_aside(rx, self.tx);
    }

    /// Moves what waits in the connection's feed to the write queue, before a message of the handler or a Close.
    /// Returns whether the message may follow; if not, there will be room later.
    #[inline]
    fn fill_from_feed(&mut self) -> bool {
        self.state.mailbox_with_feed().is_none() || self.transfer_feed()
    }

    #[cold]
    fn transfer_feed(&mut self) -> bool {
        let Some(mailbox) = &self.state.mailbox else { return true };
        if mailbox.transfer_feed(self.connection, self.tx, self.now) == Filled::Empty {
            return true;
        }
        self.state.wants.room = true;
        self.state.wants.room_for_mailbox = true;
        false
    }

    /// Refuses a message behind a feed that is not empty.
    #[cold]
    fn refuse<P>(&mut self, payload: P) -> Result<(), SendError<P>> {
        self.state.note_refusal();
        Err(SendError::Full(payload))
    }

    #[inline]
    pub(super) fn note_refusal<P>(&mut self, sent: &Result<(), SendError<P>>) {
        if matches!(sent, Err(SendError::Full(_))) {
            self.state.note_refusal();
        }
    }

    /// Sends a borrowed payload. A large one is written to the socket at once; only what the socket does not take is
    /// copied.
    #[inline]
    pub(super) fn send_lent(&mut self, kind: MessageKind, payload: &[u8]) -> Result<(), SendError> {
        if !self.fill_from_feed() {
            return Err(SendError::Full(()));
        }
        if payload.len() < Connection::IN_PLACE_FROM {
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

    pub(super) fn queue_owned(&mut self, kind: MessageKind, payload: Bytes) -> Result<(), SendError<Bytes>> {
        if !self.fill_from_feed() {
            return Err(SendError::Full(payload));
        }
        self.connection.send_bytes(kind, payload, Notify::Yes, self.tx)
    }
}

impl fmt::Debug for Conn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, queued) = (self.state(), self.queued());
        f.debug_struct("Conn").field("state", &state).field("queued", &queued).finish_non_exhaustive()
    }
}
