//! From commands to bytes (RFC 6455 sections 5.2 and 6.1).

use std::io::IoSlice;

use bytes::Bytes;

use crate::{
    budget::MemoryBudget,
    buffer::{Completion, TransmitQueue},
    close::CloseFrame,
    control_queue::{CONTROL_QUEUE_CAPACITY, ControlQueue},
    error::{ControlError, SendError},
    frame::{FrameHeader, MAX_CONTROL_PAYLOAD, OpCode},
    mask::Mask,
    message::{Message, MessageKind},
    prepared::PreparedMessage,
};

use super::{
    Connection, Role,
    closing::Phase,
    compressed::fits_one_frame,
    outbox::{Begun, Form, Masking, Next, Outgoing},
};

/// Owned payloads from this size on are written in place; smaller ones are copied next to their header.
const IN_PLACE_FROM: usize = 16 * 1024;
/// How much waiting data is encoded ahead of the transport. A client's large payloads are masked in pieces of this size,
/// as the transport takes them: the copy stays small, and in the processor's cache until the kernel copies it again.
const PUMP_AHEAD: usize = 64 * 1024;
/// And of a message that is compressed at most so many pieces, once there is something to write.
const PIECES_AHEAD: usize = 4;
/// Beyond so many bytes that wait, only the latest ping is answered: a peer that pings and does not read would have an
/// answer to each ping of a whole read wait for it.
const PONGS_AHEAD: usize = 16 * 1024;

impl Connection {
    /// Sends a message from a borrowed payload, which is copied.
    ///
    /// # Errors
    /// [`SendError::InvalidState`] unless the connection is open, [`SendError::WriteBusy`] when the write queue is at
    /// its limit in messages or bytes, or not empty and without a share of the memory budget.
    #[inline]
    pub fn send(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        self.admit(payload.len(), tx)?;
        let compress = self.compresses(payload.len());
        if self.must_wait(tx) || (compress && !fits_one_frame(payload.len())) {
            let payload = Bytes::copy_from_slice(payload);
            self.send_or_wait(Outgoing { kind, payload, notify: false, form: form(compress) }, tx);
        } else if !compress || !self.encode_deflated(kind, payload, false, tx) {
            self.encode(kind.opcode(), payload, tx);
            tx.end_send(false);
        }
        Ok(())
    }

    /// As [`send`](Self::send), but a large payload is offered to the transport at once, behind what waits, so that
    /// only what it does not take is copied. `write` takes what it can of the slices and returns how many bytes that
    /// were, 0 if none; errors show again at the next write.
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
        self.admit(payload.len(), tx)?;
        let header = self.next_header(kind.opcode(), payload.len());
        tx.push_header(&header, 0);
        tx.push_through(payload, write);
        tx.end_send(false);
        Ok(())
    }

    /// Sends a message from an owned payload: a large one is written in place, without a copy. With `notify` it gets
    /// exactly one [`Completion`] from [`poll_completion`](Self::poll_completion), in the order of the sends.
    ///
    /// # Errors
    /// As [`send`](Self::send); the payload comes back in the error.
    pub fn send_bytes(
        &mut self,
        kind: MessageKind,
        payload: Bytes,
        notify: bool,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Bytes>> {
        if let Err(error) = self.admit(payload.len(), tx) {
            return Err(error.map(|()| payload));
        }
        let form = form(self.compresses(payload.len()));
        self.send_or_wait(Outgoing { kind, payload, notify, form }, tx);
        Ok(())
    }

    /// Sends an owned [`Message`]; as [`send_bytes`](Self::send_bytes).
    ///
    /// # Errors
    /// As [`send_bytes`](Self::send_bytes); the message comes back in the error.
    pub fn send_message(
        &mut self,
        message: Message,
        notify: bool,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError<Message>> {
        let text = matches!(message, Message::Text(_));
        let kind = message.kind();
        self.send_bytes(kind, message.into_bytes(), notify, tx).map_err(|error| {
            error.map(|payload| match kind {
                MessageKind::Binary => Message::Binary(payload),
                MessageKind::Text if text => Message::Text(crate::utf8::Utf8Bytes::from_validated(payload)),
                MessageKind::Text => Message::UncheckedText(payload),
            })
        })
    }

    /// Sends a [`PreparedMessage`]; as [`send_bytes`](Self::send_bytes). A server's frame is taken as it was prepared.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(
        &mut self,
        message: &PreparedMessage,
        notify: bool,
        tx: &mut TransmitQueue,
    ) -> Result<(), SendError> {
        let (kind, payload) = (message.kind(), message.payload());
        let compress = message.may_compress() && self.compresses(payload.len());
        let is_framed = self.role() == Role::Server && !(compress && self.compresses_in_order());
        self.admit_shared(payload.len(), if is_framed { 0 } else { payload.len() }, tx)?;
        let (payload, form) = if !is_framed {
            (payload.clone(), form(compress))
        } else {
            let compressed = if compress { self.compressed_frame(message) } else { None };
            (compressed.unwrap_or_else(|| message.plain_frame()), Form::Framed)
        };
        self.send_or_wait(Outgoing { kind, payload, notify, form }, tx);
        Ok(())
    }

    /// Sends a ping (RFC 6455 section 5.5.2). The payload is copied; there is no completion.
    ///
    /// # Errors
    /// [`ControlError`]: not open, over 125 bytes, or 256 bytes of control frames waiting.
    pub fn send_ping(&mut self, payload: &[u8], tx: &mut TransmitQueue) -> Result<(), ControlError> {
        self.send_control(OpCode::Ping, payload, tx)
    }

    /// Sends a pong, asked for or not (RFC 6455 section 5.5.3). As [`send_ping`](Self::send_ping).
    ///
    /// # Errors
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8], tx: &mut TransmitQueue) -> Result<(), ControlError> {
        self.send_control(OpCode::Pong, payload, tx)
    }

    /// Answers a ping. While the transport is blocked, or much waits for it already, only the latest ping's answer is kept
    /// (RFC 6455 section 5.5.3), so it never fails and never grows.
    pub fn answer_ping(&mut self, payload: &[u8], tx: &mut TransmitQueue) {
        let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        if self.phase != Phase::Open {
            return;
        }
        if self.must_wait(tx) || tx.len() >= PONGS_AHEAD {
            self.outbox.get_or_insert_default().set_pong(payload);
        } else {
            self.encode(OpCode::Pong, payload, tx);
        }
    }

    /// Moves waiting frames into the transmit queue as far as it is free. Call it after every write, and once the queue is
    /// [blocked](TransmitQueue::set_blocked): what waits then counts against the memory budget.
    #[inline]
    pub fn pump(&mut self, tx: &mut TransmitQueue) {
        self.move_waiting(tx);
        if !self.charge.is_zero() || tx.is_blocked() {
            self.settle_account(tx);
        }
    }

    #[inline]
    fn move_waiting(&mut self, tx: &mut TransmitQueue) {
        let mut pieces = 0;
        while !tx.is_blocked() && tx.len() < PUMP_AHEAD {
            let Some(outbox) = self.outbox.as_deref_mut() else { return };
            match outbox.pop() {
                None => {
                    self.outbox = None;
                    return;
                }
                Some(Next::Control(frame)) => self.encode(frame.opcode(), frame.payload(), tx),
                Some(Next::Rest(begun)) => {
                    self.encode_rest(begun, tx);
                    pieces += 1;
                    // What shrinks to nothing is much work for few bytes.
                    if pieces >= PIECES_AHEAD && !tx.is_empty() {
                        break;
                    }
                }
                Some(Next::Data(message)) => self.encode_owned(message, tx),
                Some(Next::Keepalive) => self.encode_keepalive(tx),
                Some(Next::Close(frame)) => self.encode_close(frame, tx),
            }
        }
        if self.outbox.as_ref().is_some_and(|outbox| outbox.is_empty()) {
            self.outbox = None;
        }
    }

    /// Whether a large message is being compressed as it is sent. That takes time and not only the transport's: a driver
    /// whose transport takes everything had better let others have their turn now and then.
    #[must_use]
    pub fn is_deflating(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| matches!(outbox.begun, Some(Begun::Deflating(_))))
    }

    /// Takes one report of a send that asked for it: written, or cut off by the end of the connection.
    pub fn poll_completion(&mut self, tx: &mut TransmitQueue) -> Option<Completion> {
        if let Some(completion) = tx.poll_completion() {
            return Some(completion);
        }
        if tx.pending_sends() > 0 || self.outbox.as_ref().is_some_and(|outbox| outbox.begun.is_some()) {
            // Earlier ones, which may still be written.
            return None;
        }
        let closing = self.closing.as_deref_mut()?;
        closing.cut_off = closing.cut_off.checked_sub(1)?;
        Some(Completion::CutOff)
    }

    /// Data messages, and their bytes, that are accepted and not completely written.
    #[inline]
    #[must_use]
    pub fn queued(&self, tx: &TransmitQueue) -> (usize, usize) {
        let (messages, bytes) = self.outbox.as_ref().map_or((0, 0), |outbox| (outbox.len(), outbox.bytes()));
        (messages + tx.pending_sends(), bytes + tx.len())
    }

    /// Whether a small message would be accepted, and the memory budget has a share for a larger one: after a refusal with
    /// `WriteBusy`, when to try again.
    #[must_use]
    pub fn has_room(&self, tx: &TransmitQueue) -> bool {
        self.admit_shared(1, MemoryBudget::SMALL, tx).is_ok()
    }

    /// Queues a Close: behind the data already accepted, or, with `at_once`, in place of what is not encoded yet.
    pub(super) fn queue_close(&mut self, frame: CloseFrame, at_once: bool, tx: &mut TransmitQueue) {
        if at_once {
            self.drop_waiting_data();
            // Pings and pongs that wait still go first; they are at most 512 bytes.
            self.pump_control(tx);
        }
        if self.must_wait(tx) {
            self.outbox.get_or_insert_default().close = Some(frame);
        } else {
            self.encode_close(frame, tx);
        }
    }

    /// Queues a keepalive ping; it has its own place, so that the application's pings cannot keep it out.
    pub(super) fn queue_keepalive(&mut self, tx: &mut TransmitQueue) {
        if self.must_wait(tx) {
            self.outbox.get_or_insert_default().keepalive = true;
        } else {
            self.encode_keepalive(tx);
        }
    }

    /// Forgets data of which nothing is encoded yet. A frame that has begun goes on: whatever comes next must begin behind
    /// it.
    pub(super) fn drop_waiting_data(&mut self) {
        let cut_off = self.outbox.as_deref_mut().map_or(0, |outbox| outbox.drop_data());
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.cut_off += cut_off;
        }
    }

    fn pump_control(&mut self, tx: &mut TransmitQueue) {
        if !tx.is_blocked() {
            self.pump(tx);
        }
    }

    #[inline]
    fn admit(&self, len: usize, tx: &TransmitQueue) -> Result<(), SendError> {
        self.admit_shared(len, len, tx)
    }

    /// As [`admit`](Self::admit), for a message of which only `owned` bytes are its own.
    #[inline]
    fn admit_shared(&self, len: usize, owned: usize, tx: &TransmitQueue) -> Result<(), SendError> {
        if self.phase != Phase::Open {
            return Err(SendError::InvalidState(()));
        }
        let (messages, bytes) = self.queued(tx);
        let over = bytes > 0 && bytes.saturating_add(len) > self.config.write_queue_bytes;
        if messages >= self.config.write_queue_messages || over || !self.has_budget_for(owned, bytes) {
            return Err(SendError::WriteBusy(()));
        }
        Ok(())
    }

    /// Whether new frames must stay in the connection because older ones wait for the transport.
    const fn must_wait(&self, tx: &TransmitQueue) -> bool {
        tx.is_blocked() || self.outbox.is_some()
    }

    fn send_or_wait(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        if self.must_wait(tx) {
            self.outbox.get_or_insert_default().push(message);
            self.settle_account(tx);
        } else {
            self.encode_owned(message, tx);
        }
    }

    fn send_control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) -> Result<(), ControlError> {
        if self.phase != Phase::Open {
            return Err(ControlError::InvalidState);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::ControlFrameTooBig(payload.len()));
        }
        let entry = ControlQueue::entry_len(payload.len());
        let waiting = tx.control_bytes() + self.outbox.as_ref().map_or(0, |outbox| outbox.control_bytes());
        if waiting + entry > CONTROL_QUEUE_CAPACITY {
            return Err(ControlError::QueueFull);
        }
        if self.must_wait(tx) {
            let queue = self.outbox.get_or_insert_default().control_mut();
            return queue.push(opcode, payload).map_err(|_| ControlError::QueueFull);
        }
        self.encode(opcode, payload, tx);
        tx.count_control(entry);
        Ok(())
    }

    fn encode_keepalive(&mut self, tx: &mut TransmitQueue) {
        let alone = tx.is_empty();
        self.encode(OpCode::Ping, b"", tx);
        self.only_keepalive = alone;
        self.ping_unwritten = true;
    }

    fn encode_close(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        let mut payload = [0; MAX_CONTROL_PAYLOAD];
        let len = frame.encode(&mut payload);
        self.encode(OpCode::Close, &payload[..len], tx);
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.info.sent = Some(frame);
        }
    }

    #[inline]
    fn encode(&mut self, opcode: OpCode, payload: &[u8], tx: &mut TransmitQueue) {
        self.encode_frame(FrameHeader::new(opcode, 0, None), payload, tx);
    }

    /// Encodes a frame; of its header the payload's length and the key are still to be set.
    #[inline]
    pub(super) fn encode_frame(&mut self, header: FrameHeader, payload: &[u8], tx: &mut TransmitQueue) {
        let FrameHeader { payload_len, mask, .. } = self.next_header(header.opcode, payload.len());
        let header = FrameHeader { payload_len, mask, ..header };
        tx.push_header(&header, payload.len());
        match header.mask {
            None => tx.push_slice(payload),
            Some(key) => tx.push_masked(&mut Mask::new(key), payload),
        }
    }

    fn encode_owned(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        match message.form {
            Form::Framed => return self.encode_framed(message, tx),
            Form::Compress if self.encode_compressed(&message, tx) => return,
            Form::Compress | Form::Plain => {}
        }
        let Outgoing { kind, payload, notify, .. } = message;
        if payload.len() < IN_PLACE_FROM {
            self.encode(kind.opcode(), &payload, tx);
            return tx.end_send(notify);
        }
        let header = self.next_header(kind.opcode(), payload.len());
        tx.push_header(&header, 0);
        match header.mask {
            None => {
                tx.push_bytes(payload);
                tx.end_send(notify);
            }
            Some(key) if payload.len() < 2 * PUMP_AHEAD => {
                tx.push_masked(&mut Mask::new(key), &payload);
                tx.end_send(notify);
            }
            Some(key) => {
                let masking = Masking { payload, mask: Mask::new(key), notify };
                self.encode_rest(Begun::Masking(masking), tx);
            }
        }
    }

    /// Queues a frame that is encoded already.
    fn encode_framed(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        self.only_keepalive = false;
        if message.payload.len() < IN_PLACE_FROM {
            tx.push_slice(&message.payload);
        } else {
            tx.push_shared(message.payload);
        }
        tx.end_send(message.notify);
    }

    /// Encodes the next piece of a message that has begun.
    fn encode_rest(&mut self, begun: Begun, tx: &mut TransmitQueue) {
        let rest = match begun {
            Begun::Masking(masking) => mask_piece(masking, tx).map(Begun::Masking),
            Begun::Deflating(deflating) => self.encode_deflated_piece(deflating, tx).map(Begun::Deflating),
        };
        if rest.is_some() {
            self.outbox.get_or_insert_default().begun = rest;
        }
    }

    /// The header of a frame to send, with a fresh key if this is a client.
    #[inline]
    fn next_header(&mut self, opcode: OpCode, len: usize) -> FrameHeader {
        self.only_keepalive = false;
        let masks = self.special.as_mut().and_then(|special| special.masks.as_mut());
        let key = masks.map(|masks| masks.mask_key());
        FrameHeader::new(opcode, len as u64, key)
    }
}

const fn form(compress: bool) -> Form {
    if compress { Form::Compress } else { Form::Plain }
}

/// Masks the next piece of a large payload into the queue; gives back the rest.
fn mask_piece(mut masking: Masking, tx: &mut TransmitQueue) -> Option<Masking> {
    let room = PUMP_AHEAD.saturating_sub(tx.len());
    let piece = masking.payload.split_to(masking.payload.len().min(room));
    tx.push_masked(&mut masking.mask, &piece);
    if !masking.payload.is_empty() {
        return Some(masking);
    }
    tx.end_send(masking.notify);
    None
}
