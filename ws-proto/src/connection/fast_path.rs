//! The fast path for the common case: no partial message, and a complete message in one frame.
//!
//! All other cases, including every faulty header, go to the general path, which parses the same bytes from the start.
//! The fast path halves the cost of a small message in this crate (`bench/RESULTS.md`).

use crate::{
    error::ProtocolError,
    mask::apply_mask,
    memory::{ReceiveBuffer, TransmitQueue},
    message::MessageKind,
    role::Role,
    utf8::is_valid_utf8,
};

use super::{Connection, Flow, closing::Phase, event::At};

const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;

impl Connection {
    /// Returns the next message if the fast path applies. While the application is paused, it holds all messages for
    /// which the fast path applies.
    #[inline]
    pub(super) fn next_fast(
        &mut self,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Result<(MessageKind, At), ProtocolError>> {
        if self.partial.is_some() || !matches!(self.phase, Phase::Open) {
            return None;
        }
        if matches!(self.flow, Flow::Deliver) {
            return if self.inbox.is_none() { self.fast_message(rx, tx) } else { None };
        }
        self.hold_fast(rx, tx)
    }

    fn hold_fast(
        &mut self,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Result<(MessageKind, At), ProtocolError>> {
        if self.ends_held() {
            return None;
        }
        loop {
            match self.fast_message(rx, tx)? {
                Ok((kind, at)) => {
                    let more = rx.unprocessed().len();
                    self.inbox.get_or_insert_default().push_slice(kind.opcode(), at.bytes(rx), more);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Returns a message if the next bytes are one complete frame with a complete message.
    #[inline]
    fn fast_message(
        &mut self,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<Result<(MessageKind, At), ProtocolError>> {
        let base = rx.start;
        let bytes = rx.unprocessed_mut();
        let kind = match *bytes.first()? {
            FINAL_TEXT => MessageKind::Text,
            FINAL_BINARY => MessageKind::Binary,
            _ => return None,
        };
        let (len, key_at) = short_len(bytes)?;
        let limits = &self.config.limits;
        if len > limits.max_message_size || limits.max_frame_size.is_some_and(|most| len > most) {
            return None;
        }
        let masked = bytes[1] & 0x80 != 0;
        let start = match (self.role(), masked) {
            (Role::Server, true) => key_at + 4,
            (Role::Client, false) => key_at,
            _ => return None,
        };
        let key = bytes.get(key_at..)?.first_chunk::<4>().copied();
        let payload = bytes.get_mut(start..start + len)?;
        if masked {
            apply_mask(key?, payload);
        }
        let valid = kind == MessageKind::Binary || !self.config.validate_utf8 || is_valid_utf8(payload);
        rx.consume(start + len);
        self.note_activity();
        self.observe_fast_message(kind, len, valid);
        Some(if valid {
            tx.traffic.received.count_message(len);
            Ok((kind, At::Window { start: base + start, len }))
        } else {
            Err(ProtocolError::InvalidUtf8)
        })
    }
}

/// The payload's length and the offset of the mask key, for minimally encoded lengths below 64 KiB.
#[inline]
fn short_len(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.get(1)? & 0x7f {
        126 => {
            let len = u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]);
            (len >= 126).then_some((usize::from(len), 4))
        }
        127 => None,
        short => Some((usize::from(short), 2)),
    }
}
