//! Compresses messages when they are encoded, because then their order is known. A large message is compressed in
//! pieces, as the transport accepts bytes; each piece is a frame.

use bytes::{Buf as _, Bytes};

use crate::{
    deflate::{Deflater, Reservation, Session},
    error::ConnectionError,
    frame::{FrameHeader, OpCode, RSV1},
    memory::{Notify, TransmitQueue},
    message::MessageKind,
    prepared::PreparedMessage,
};

use super::super::{Connection, inbox::End};

/// Payloads up to this size are compressed into one frame.
const WHOLE: usize = 256 * 1024;
/// Larger payloads are compressed in pieces of this size.
const PIECE: usize = 64 * 1024;

/// The rest of a large message that is being sent.
#[derive(Debug)]
pub(in crate::connection) struct Deflating {
    payload: Bytes,
    /// The opcode of the first frame; `None` after it.
    opcode: Option<OpCode>,
    deflater: Box<Deflater>,
    notify: Notify,
    _reservation: Option<Reservation>,
}

impl Deflating {
    /// Payload bytes that are not compressed yet.
    pub(in crate::connection) fn remaining(&self) -> usize {
        self.payload.len()
    }

    pub(in crate::connection) const fn notifies(&self) -> bool {
        self.notify.is_yes()
    }

    pub(in crate::connection) fn into_payload(self) -> Bytes {
        self.payload
    }
}

/// Whether a payload of this length is compressed into one frame.
pub(in crate::connection) const fn fits_one_frame(len: usize) -> bool {
    len <= WHOLE
}

impl Connection {
    pub(in crate::connection) fn compresses(&self, len: usize) -> bool {
        self.compression().is_some_and(|compression| compression.wants(len))
    }

    /// Whether a message may refer to earlier messages, so that it cannot be compressed in advance.
    pub(in crate::connection) fn compresses_in_order(&self) -> bool {
        self.compression().is_some_and(Session::sends_with_takeover)
    }

    /// The compressed frame of a prepared message; `None` if compression does not make it smaller.
    pub(in crate::connection) fn compressed_frame<'m>(
        &mut self,
        message: &'m PreparedMessage,
    ) -> Option<&'m Bytes> {
        let compression = self.compression_mut()?;
        let frame = message.compressed_frame(compression.send_window_bits(), |payload| {
            let mut deflater = compression.take_deflater();
            let mut out = Vec::new();
            let done = deflater.deflate(payload, true, &mut out);
            compression.put_deflater(deflater);
            done.then_some(out)
        })?;
        self.observe_compressed_frame(message.payload().len(), frame);
        Some(frame)
    }

    /// Begins to compress a large message in several frames; `None` if it is to be sent as it is. A peer that does not
    /// read keeps the deflater in use, so its memory is reserved.
    pub(in crate::connection) fn begin_deflating(
        &mut self,
        kind: MessageKind,
        payload: &Bytes,
        notify: Notify,
    ) -> Option<Box<Deflating>> {
        let compression = self.compression_mut()?;
        let reservation = compression.reserve_deflater()?;
        Some(Box::new(Deflating {
            payload: payload.clone(),
            opcode: Some(kind.opcode()),
            deflater: compression.take_deflater(),
            notify,
            _reservation: reservation,
        }))
    }

    /// Compresses a message into one frame; false if it is to be sent as it is.
    pub(in crate::connection) fn encode_deflated(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        notify: Notify,
        tx: &mut TransmitQueue,
    ) -> bool {
        let Some(compression) = self.compression_mut() else { return false };
        if compression.is_small(payload.len()) {
            let mut out = std::mem::take(&mut tx.scratch);
            out.clear();
            compression.deflate_small(payload, &mut out);
            let shrinks = out.len() < payload.len();
            if shrinks {
                self.observe_deflated(true, payload.len(), out.len());
                self.encode_frame(compressed_header(kind), &out, tx);
                tx.end_send(notify);
            }
            tx.scratch = out;
            return shrinks;
        }
        let mut deflater = compression.take_deflater();
        let takeover = compression.sends_with_takeover();
        let mut out = deflater.take_out();
        // With takeover the message is part of the context now, so it must be sent compressed.
        let is_compressed =
            deflater.deflate(payload, true, &mut out) && (takeover || out.len() < payload.len());
        if is_compressed {
            self.observe_deflated(true, payload.len(), out.len());
            self.encode_frame(compressed_header(kind), &out, tx);
            tx.end_send(notify);
        }
        if is_compressed || !takeover {
            self.give_back(deflater, out);
        }
        is_compressed
    }

    /// Compresses the next piece of a large message into a frame. Returns the rest, if any.
    pub(in crate::connection) fn encode_deflated_piece(
        &mut self,
        mut deflating: Box<Deflating>,
        tx: &mut TransmitQueue,
    ) -> Option<Box<Deflating>> {
        let piece = deflating.payload.len().min(PIECE);
        let fin = piece == deflating.payload.len();
        let mut out = deflating.deflater.take_out();
        let done = deflating.deflater.deflate(&deflating.payload[..piece], fin, &mut out);
        deflating.payload.advance(piece);
        if !done {
            // The message cannot be finished, and no other message can be sent before that.
            self.observe_dropped(1);
            self.end(End::Failure(ConnectionError::Internal), tx);
            if let Some(closing) = self.closing.as_deref_mut() {
                closing.cut_off += usize::from(deflating.notifies());
            }
            tx.spend(deflating.into_payload());
            return None;
        }
        self.observe_deflated(fin, piece, out.len());
        if fin || !out.is_empty() {
            let (rsv, opcode) = match deflating.opcode.take() {
                Some(opcode) => (RSV1, opcode),
                None => (0, OpCode::Continuation),
            };
            self.encode_frame(FrameHeader { fin, rsv, ..FrameHeader::new(opcode, 0, None) }, &out, tx);
        }
        if !fin {
            deflating.deflater.put_out(out);
            return Some(deflating);
        }
        let Deflating { payload, deflater, notify, .. } = *deflating;
        tx.end_send(notify);
        self.give_back(deflater, out);
        tx.spend(payload);
        None
    }

    fn give_back(&mut self, mut deflater: Box<Deflater>, out: Vec<u8>) {
        deflater.put_out(out);
        if let Some(compression) = self.compression_mut() {
            compression.put_deflater(deflater);
        }
    }
}

/// The header of a compressed message in one frame, without payload length and mask key.
const fn compressed_header(kind: MessageKind) -> FrameHeader {
    FrameHeader { rsv: RSV1, ..FrameHeader::new(kind.opcode(), 0, None) }
}
