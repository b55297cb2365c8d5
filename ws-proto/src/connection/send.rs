//! Sends messages (RFC 6455 section 6.1): which are accepted, and which must wait.

use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

use crate::{
    error::SendError,
    frame::FrameHeader,
    memory::{Backlog, MemoryBudget, Notify, TransmitQueue},
    message::{Message, MessageKind, MessageRef},
    prepared::PreparedMessage,
    role::Role,
    stats::Queued,
};

use super::{
    Connection,
    closing::Phase,
    compressed::fits_one_frame,
    encode::IN_PLACE_FROM,
    outbox::{Form, Outgoing},
};

impl Connection {
    /// Sends a message from a borrowed payload, which is copied.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection is not open. [`SendError::Full`] if the write queue is at its
    /// limit in messages or bytes, or if it is not empty and the memory budget does not allow the message.
    #[inline]
    pub fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        if self.sends_as_is(tx) {
            return self.send_as_is(kind, payload, tx);
        }
        self.send_any(kind, payload, tx)
    }

    fn send_any(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        self.admit(payload.len(), payload.len(), tx)?;
        let compress = self.compresses(payload.len());
        if self.must_wait(tx) || (compress && !fits_one_frame(payload.len())) {
            let payload = Bytes::copy_from_slice(payload);
            self.send_or_wait(Outgoing { kind, payload, notify: Notify::No, form: form(compress) }, tx);
        } else if !compress || !self.encode_deflated(kind, payload, Notify::No, tx) {
            self.encode(kind.opcode(), payload, tx);
            tx.end_send(Notify::No);
        }
        Ok(())
    }

    /// Whether a message is neither masked nor compressed nor counted, and need not wait, so that
    /// [`send_as_is`](Self::send_as_is) sends it.
    #[inline]
    fn sends_as_is(&self, tx: &TransmitQueue) -> bool {
        self.rare.is_none() && self.phase == Phase::Open && !self.must_wait(tx)
    }

    /// Sends a message as [`send_any`](Self::send_any) does. It is the short form for most messages of a server.
    #[inline]
    fn send_as_is(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        let len = payload.len();
        if !self.has_room_after(tx.pending_sends(), tx.len() + tx.overhead(), len, len) {
            return Err(SendError::Full(()));
        }
        tx.traffic.sent.count_message(len);
        self.note_other_write();
        tx.push_message(kind.opcode(), payload);
        Ok(())
    }

    /// Payloads of this many bytes or more are written from where they are, and not copied into the queue.
    #[doc(hidden)]
    pub const IN_PLACE_FROM: usize = IN_PLACE_FROM;

    /// Sends a message, as [`send`](Self::send) does, if it is small, is not counted, need not wait, and there is room.
    /// Returns whether it was sent. For `ws-tokio`, which sends owned messages in this way too.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn send_if_plain(&mut self, kind: MessageKind, payload: &[u8], tx: &mut TransmitQueue) -> bool {
        if self.rare.is_some() {
            return self.send_any_if_plain(kind, payload, tx);
        }
        payload.len() < IN_PLACE_FROM && self.sends_as_is(tx) && self.send_as_is(kind, payload, tx).is_ok()
    }

    /// The same for a connection that masks or compresses.
    #[inline(never)]
    fn send_any_if_plain(&mut self, kind: MessageKind, payload: &[u8], tx: &mut TransmitQueue) -> bool {
        payload.len() < IN_PLACE_FROM
            && self.rare.as_ref().is_some_and(|rare| rare.is_plain())
            && !self.must_wait(tx)
            && self.send_any(kind, payload, tx).is_ok()
    }

    /// As [`send`](Self::send), but a large payload is offered to the transport at once, after the pending bytes. Only
    /// the part that the transport does not accept is copied. `write` writes what it can of the slices and returns the
    /// number of bytes written, 0 if none. It may ignore an error: the next write reports it again.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_through(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        tx: &mut TransmitQueue,
        write: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) -> Result<(), SendError> {
        let in_place =
            payload.len() >= IN_PLACE_FROM && self.role() == Role::Server && !self.compresses(payload.len());
        if !in_place || self.must_wait(tx) {
            return self.send(kind, payload, tx);
        }
        self.admit(payload.len(), payload.len(), tx)?;
        self.observe_queue(tx);
        let header = self.next_header(FrameHeader::new(kind.opcode(), 0, None), payload.len());
        tx.push_header(&header, 0);
        tx.push_through(payload, write);
        tx.end_send(Notify::No);
        Ok(())
    }

    /// Sends a message from an owned payload. A large payload is written in place, without a copy. With
    /// [`Notify::Yes`] the send has exactly one [`Completion`](crate::Completion) from
    /// [`poll_completion`](Self::poll_completion); completions are in the order of the sends.
    ///
    /// # Errors
    /// As [`send`](Self::send). The error contains the payload.
    #[inline]
    pub fn send_bytes(
        &mut self,
        kind: MessageKind,
        payload: Bytes,
        notify: Notify,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Bytes>> {
        if payload.len() < IN_PLACE_FROM && !notify.is_yes() && self.sends_as_is(tx) {
            if self.send_as_is(kind, &payload, tx).is_err() {
                return Err(SendError::Full(payload));
            }
            tx.spend(payload);
            return Ok(());
        }
        self.send_any_bytes(kind, payload, notify, tx)
    }

    fn send_any_bytes(
        &mut self,
        kind: MessageKind,
        payload: Bytes,
        notify: Notify,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Bytes>> {
        if let Err(error) = self.admit(payload.len(), payload.len(), tx) {
            return Err(error.map(|()| payload));
        }
        let form = form(self.compresses(payload.len()));
        self.send_or_wait(Outgoing { kind, payload, notify, form }, tx);
        Ok(())
    }

    /// Sends an owned [`Message`]; as [`send_bytes`](Self::send_bytes).
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes). The error contains the message.
    #[inline]
    pub fn send_message(
        &mut self,
        message: Message,
        notify: Notify,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Message>> {
        let kind = message.kind();
        self.send_bytes(kind, message.into_bytes(), notify, tx)
            .map_err(|error| error.map(|payload| Message::received(kind, true, payload)))
    }

    /// Sends a received message, as text or binary as it was received. A message in a buffer of its own is not copied.
    /// Text that was not checked as it arrived ([`Config::validate_utf8`](crate::Config::validate_utf8)) is sent
    /// unchanged and unchecked. There is no completion.
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes). The error contains the message, owned.
    #[inline]
    pub fn send_received(
        &mut self,
        message: MessageRef<'_>,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Message>> {
        let kind = message.kind();
        if !message.is_assembled() {
            let sent = self.send(kind, message.as_bytes(), tx);
            return sent.map_err(|error| error.map(|()| message.into_message()));
        }
        let validated = message.is_validated();
        self.send_bytes(kind, message.into_bytes(), Notify::No, tx)
            .map_err(|error| error.map(|payload| Message::received(kind, validated, payload)))
    }

    /// Sends a [`PreparedMessage`]; as [`send_bytes`](Self::send_bytes). A server sends the prepared frame as it is,
    /// except where it compresses with context takeover.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(
        &mut self,
        message: &PreparedMessage,
        notify: Notify,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        let (kind, payload) = (message.kind(), message.payload());
        let compress = message.may_compress() && self.compresses(payload.len());
        let is_framed = self.role() == Role::Server && !(compress && self.compresses_in_order());
        self.admit(payload.len(), if is_framed { 0 } else { payload.len() }, tx)?;
        let (payload, form) = if !is_framed {
            (payload.clone(), form(compress))
        } else {
            (self.prepared_frame(message, compress).clone(), Form::Framed)
        };
        self.send_or_wait(Outgoing { kind, payload, notify, form }, tx);
        Ok(())
    }

    /// Whether a driver may send a prepared message with [`begin_prepared`](Self::begin_prepared): nothing is in
    /// progress, and the prepared frame is sent as it is. The transmit queue must be empty.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn sends_prepared_frames(&self) -> bool {
        let is_plain = match &self.rare {
            None => true,
            Some(rare) => {
                // A monitor counts what is sent.
                let is_plain = rare.masks.is_none() && rare.monitor.is_none();
                is_plain && !self.compresses_in_order()
            }
        };
        is_plain && self.is_settled()
    }

    /// The frame of a prepared message, for a driver that writes it without a transmit queue, and then calls
    /// [`handle_written`](Self::handle_written). What the transport does not take goes into a queue with
    /// [`send_rest`](Self::send_rest). Only if the connection
    /// [sends prepared frames](Self::sends_prepared_frames), and the transmit queue is empty.
    #[doc(hidden)]
    #[inline]
    pub fn begin_prepared<'m>(&mut self, message: &'m PreparedMessage) -> &'m [u8] {
        let compress =
            self.rare.is_some() && message.may_compress() && self.compresses(message.payload().len());
        self.prepared_frame(message, compress)
    }

    /// Queues what is left of a prepared message whose first `written` bytes were written.
    #[doc(hidden)]
    #[cold]
    pub fn send_rest(&mut self, message: &PreparedMessage, written: usize, tx: &mut TransmitQueue) {
        tx.traffic.sent.count_message(message.payload().len());
        let compress = message.may_compress() && self.compresses(message.payload().len());
        let payload = self.prepared_frame(message, compress).clone();
        self.encode_owned(
            Outgoing { kind: message.kind(), payload, notify: Notify::No, form: Form::Framed },
            tx,
        );
        tx.advance(written);
    }

    /// A server's frame of a prepared message.
    #[inline]
    fn prepared_frame<'m>(&mut self, message: &'m PreparedMessage, compress: bool) -> &'m Bytes {
        let compressed = if compress { self.compressed_frame(message) } else { None };
        compressed.unwrap_or_else(|| message.plain_frame())
    }

    /// Sends a message beyond the limits of the write queue. For `ws-tokio`, which has accepted the message before, and
    /// closes the connection behind it or returns its parts.
    ///
    /// # Errors
    /// [`SendError::Closed`] with the message if the connection is not open.
    #[doc(hidden)]
    pub fn send_accepted(
        &mut self,
        message: Message,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Message>> {
        if self.phase != Phase::Open {
            return Err(SendError::Closed(message));
        }
        let (kind, payload) = (message.kind(), message.into_bytes());
        self.observe_send(payload.len(), &Ok(()), tx);
        tx.traffic.sent.count_message(payload.len());
        let form = form(self.compresses(payload.len()));
        self.send_or_wait(Outgoing { kind, payload, notify: Notify::No, form }, tx);
        Ok(())
    }

    /// The data messages that are accepted and not completely written, and the bytes that wait.
    #[inline]
    #[must_use]
    pub fn queued(&self, tx: &TransmitQueue) -> Queued {
        let (messages, bytes) = self.outbox.as_ref().map_or((0, 0), |outbox| (outbox.len(), outbox.bytes()));
        Queued { messages: messages + tx.pending_sends(), bytes: bytes + tx.len() }
    }

    /// Whether a small message would be accepted, and the memory budget allows a larger one. After a refusal with
    /// `Full`, try again once this is true.
    #[must_use]
    pub fn has_room(&self, tx: &TransmitQueue) -> bool {
        self.admits(1, MemoryBudget::SMALL, tx).is_ok()
    }

    /// Accepts a message of `len` bytes, of which `owned` are not shared, or refuses it.
    #[inline]
    fn admit(&mut self, len: usize, owned: usize, tx: &mut TransmitQueue) -> Result<(), SendError> {
        let admitted = self.admits(len, owned, tx);
        self.observe_send(len, &admitted, tx);
        admitted?;
        tx.traffic.sent.count_message(len);
        Ok(())
    }

    #[inline]
    fn admits(&self, len: usize, owned: usize, tx: &TransmitQueue) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::Closed(()));
        }
        if self.finds_room(len, owned, &Backlog::default(), tx) { Ok(()) } else { Err(SendError::Full(())) }
    }

    /// Whether an open connection would accept a message of `len` bytes in addition to the `promised` ones. For
    /// `ws-tokio` and `ws-server`, which keep room for senders that wait.
    #[doc(hidden)]
    #[must_use]
    pub fn has_room_beside(&self, len: usize, promised: &Backlog, tx: &TransmitQueue) -> bool {
        self.finds_room(len, len, promised, tx)
    }

    #[inline]
    fn finds_room(&self, len: usize, owned: usize, promised: &Backlog, tx: &TransmitQueue) -> bool {
        let Queued { messages, bytes } = self.queued(tx);
        let bytes = bytes + tx.overhead() + promised.bytes();
        self.has_room_after(messages + promised.messages(), bytes, len, owned)
    }

    /// Whether there is room for a message of `len` bytes behind `messages` that count `bytes`.
    #[inline]
    fn has_room_after(&self, messages: usize, bytes: usize, len: usize, owned: usize) -> bool {
        self.config.has_room_for(len, messages, bytes) && self.has_budget_for(owned, bytes)
    }

    /// Whether new frames must wait in the connection: the transport is blocked, or older frames wait.
    pub(super) const fn must_wait(&self, tx: &TransmitQueue) -> bool {
        tx.is_blocked() || self.outbox.is_some()
    }

    fn send_or_wait(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        if self.must_wait(tx) {
            self.outbox.get_or_insert_default().push(message);
            self.update_charge(tx);
        } else {
            self.encode_owned(message, tx);
        }
    }
}

const fn form(compress: bool) -> Form {
    if compress { Form::Compress } else { Form::Plain }
}
