//! Encodes messages and control frames (RFC 6455 section 5.2).

use bytes::Buf as _;

use crate::{
    close::CloseFrame,
    frame::{FrameHeader, MAX_CONTROL_PAYLOAD, OpCode},
    mask::Mask,
    memory::TransmitQueue,
    recorder::RecordedEvent,
};

use super::{
    Connection, UnwrittenPing,
    compressed::fits_one_frame,
    outbox::{Begun, Form, Masking, Outgoing},
};

/// Owned payloads of at least this size are written in place. Smaller ones are copied next to their header.
pub(super) const IN_PLACE_FROM: usize = 16 * 1024;
/// How many bytes are encoded ahead of the transport. A client's large payloads are masked in pieces of this size as
/// the transport accepts them. So the copy stays small, and in the processor's cache until the kernel copies it again.
pub(super) const PUMP_AHEAD: usize = 64 * 1024;

impl Connection {
    #[inline]
    pub(super) fn encode(&mut self, opcode: OpCode, payload: &[u8], tx: &mut TransmitQueue) {
        self.encode_frame(FrameHeader::new(opcode, 0, None), payload, tx);
    }

    /// Encodes a control frame.
    pub(super) fn encode_control(&mut self, opcode: OpCode, payload: &[u8], tx: &mut TransmitQueue) {
        tx.traffic.sent.control_frames += 1;
        self.encode(opcode, payload, tx);
    }

    /// Encodes a frame. It sets the payload length and the mask key of `header`.
    #[inline]
    pub(super) fn encode_frame(&mut self, header: FrameHeader, payload: &[u8], tx: &mut TransmitQueue) {
        let header = self.next_header(header, payload.len());
        tx.push_header(&header, payload.len());
        match header.mask {
            None => tx.push_slice(payload),
            Some(key) => tx.push_masked(&mut Mask::new(key), payload),
        }
    }

    pub(super) fn encode_owned(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        match message.form {
            Form::Framed => return self.encode_framed(message, tx),
            Form::Compress if self.encode_compressed(&message, tx) => return tx.spend(message.payload),
            Form::Compress | Form::Plain => {}
        }
        let Outgoing { kind, payload, notify, .. } = message;
        if payload.len() < IN_PLACE_FROM {
            self.encode(kind.opcode(), &payload, tx);
            tx.end_send(notify);
            return tx.spend(payload);
        }
        let header = self.next_header(FrameHeader::new(kind.opcode(), 0, None), payload.len());
        tx.push_header(&header, 0);
        match header.mask {
            None => {
                tx.push_bytes(payload);
                tx.end_send(notify);
            }
            Some(key) if payload.len() < 2 * PUMP_AHEAD => {
                tx.push_masked(&mut Mask::new(key), &payload);
                tx.end_send(notify);
                tx.spend(payload);
            }
            Some(key) => {
                let masking = Masking { payload, mask: Mask::new(key), notify };
                self.encode_rest(Begun::Masking(masking), tx);
            }
        }
    }

    /// Compresses a message into one frame, or begins to send it in several; false if it is to be sent as it is.
    fn encode_compressed(&mut self, message: &Outgoing, tx: &mut TransmitQueue) -> bool {
        let Outgoing { kind, payload, notify, .. } = message;
        if fits_one_frame(payload.len()) {
            return self.encode_deflated(*kind, payload, *notify, tx);
        }
        let Some(deflating) = self.begin_deflating(*kind, payload, *notify) else { return false };
        let mut rest = Some(deflating);
        // The first bytes of output may come only after several pieces of input.
        while let Some(deflating) = rest.take() {
            rest = self.encode_deflated_piece(deflating, tx);
            if !tx.is_empty() {
                break;
            }
        }
        if rest.is_some() {
            self.outbox.get_or_insert_default().begun = rest.map(Begun::Deflating);
        }
        true
    }

    /// Queues a frame that is already encoded.
    fn encode_framed(&mut self, message: Outgoing, tx: &mut TransmitQueue) {
        self.note_other_write();
        self.observe_framed(&message.payload);
        if message.payload.len() < IN_PLACE_FROM {
            tx.push_slice(&message.payload);
        } else {
            tx.push_shared(message.payload);
        }
        tx.end_send(message.notify);
    }

    /// Encodes the next piece of a message that is partly encoded.
    pub(super) fn encode_rest(&mut self, begun: Begun, tx: &mut TransmitQueue) {
        let rest = match begun {
            Begun::Masking(masking) => mask_piece(masking, tx).map(Begun::Masking),
            Begun::Deflating(deflating) => self.encode_deflated_piece(deflating, tx).map(Begun::Deflating),
        };
        if rest.is_some() {
            self.outbox.get_or_insert_default().begun = rest;
        }
    }

    pub(super) fn encode_keepalive(&mut self, tx: &mut TransmitQueue) {
        let alone = tx.is_empty();
        match self.next_keepalive_payload() {
            Some(number) => self.encode_control(OpCode::Ping, &number, tx),
            None => self.encode_control(OpCode::Ping, b"", tx),
        }
        self.observe_keepalive();
        self.unwritten_ping = if alone { UnwrittenPing::Alone } else { UnwrittenPing::WithOthers };
    }

    pub(super) fn encode_close(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        let mut payload = [0; MAX_CONTROL_PAYLOAD];
        let len = frame.encode(&mut payload);
        self.encode_control(OpCode::Close, &payload[..len], tx);
        self.observe(RecordedEvent::CloseSent { code: frame.code });
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.info.sent = Some(frame);
        }
    }

    /// Notes that bytes other than a keepalive ping are pending.
    #[inline]
    pub(super) fn note_other_write(&mut self) {
        if self.unwritten_ping == UnwrittenPing::Alone {
            self.unwritten_ping = UnwrittenPing::WithOthers;
        }
    }

    /// Completes the header of a frame to send with its payload length; a client's gets a fresh mask key.
    #[inline]
    pub(super) fn next_header(&mut self, header: FrameHeader, len: usize) -> FrameHeader {
        self.note_other_write();
        let mut header = FrameHeader { payload_len: len as u64, ..header };
        if let Some(rare) = &mut self.rare {
            header.mask = rare.masks.as_mut().map(|masks| masks.mask_key());
            if let Some(monitor) = &mut rare.monitor {
                monitor.on_frame_sent(&header);
            }
        }
        header
    }
}

/// Masks the next piece of a large payload into the queue. Returns the rest, if any.
fn mask_piece(mut masking: Masking, tx: &mut TransmitQueue) -> Option<Masking> {
    let room = PUMP_AHEAD.saturating_sub(tx.len());
    let piece = masking.payload.len().min(room);
    tx.push_masked(&mut masking.mask, &masking.payload[..piece]);
    masking.payload.advance(piece);
    if !masking.payload.is_empty() {
        return Some(masking);
    }
    tx.end_send(masking.notify);
    tx.spend(masking.payload);
    None
}
