//! The fast path for the common case: no partial message, and a complete message in one frame.
//!
//! All other cases, including every frame with a fault, go to the general path, which parses the same bytes from the
//! start. The fast path halves the cost of a small message in this crate (`bench/LOG.md`).

use std::ops::Range;

use crate::{
    mask::{apply_mask, apply_mask_and_test},
    memory::{ReceiveBuffer, TransmitQueue},
    message::{MessageKind, MessageRef},
    utf8::is_valid_utf8,
};

use super::{Connection, Flow, closing::Phase, event::message_in_window};

const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;

/// The longest header that the fast path parses: two bytes, a length of two bytes, a mask key.
const LONGEST: usize = 8;

/// A message in the receive window that is unmasked and consumed.
#[derive(Clone, Copy)]
pub(super) struct FastMessage {
    pub(super) kind: MessageKind,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Connection {
    /// Whether the next message is delivered, and may take the fast path.
    #[inline]
    pub(super) const fn delivers_fast(&self) -> bool {
        self.partial.is_none()
            && self.inbox.is_none()
            && matches!(self.phase, Phase::Open)
            && matches!(self.flow, Flow::Deliver)
    }

    /// Whether nothing was received that is not processed, and nothing is in progress: there is no event. Then the
    /// whole window is spare again.
    #[inline]
    pub(super) fn is_drained(&self, rx: &mut ReceiveBuffer, tx: &TransmitQueue) -> bool {
        let is_drained = rx.is_empty() && self.is_settled() && !tx.is_blocked();
        if is_drained {
            rx.rewind();
        }
        is_drained
    }

    /// Whether the connection is settled, and neither counts nor records, nor expects a large message. It may mask and
    /// compress. For a driver that then takes fast paths.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.is_plain()) && self.is_settled()
    }

    /// Delivers messages again, as [`resume`](Self::resume) does. Only if the connection [is plain](Self::is_plain).
    #[doc(hidden)]
    #[inline]
    pub const fn resume_plain(&mut self) {
        self.flow = Flow::Deliver;
    }

    /// Returns the next event if it is a message that takes the fast path. `None`: call
    /// [`poll_event`](Self::poll_event). It is inlined, and separate from that, so that the message is passed to the
    /// application in registers: copying one that was just written stalls the processor.
    #[doc(hidden)]
    #[inline(always)]
    pub fn poll_message<'rx>(
        &mut self,
        rx: &'rx mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<MessageRef<'rx>> {
        self.poll_first_message(rx, tx).map(|(message, _)| message)
    }

    /// Returns the next message, as [`poll_message`](Self::poll_message) does, and whether more bytes were received.
    #[doc(hidden)]
    #[inline(always)]
    pub fn poll_first_message<'rx>(
        &mut self,
        rx: &'rx mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<(MessageRef<'rx>, bool)> {
        if !self.delivers_fast() || rx.is_empty() {
            return None;
        }
        let FastMessage { kind, start, len } = self.fast_message(rx, tx)?;
        let has_more = !rx.is_empty();
        Some((message_in_window(kind, self.config.validate_utf8, rx, start, len), has_more))
    }

    /// While the application is paused, holds all messages for which the fast path applies.
    pub(super) fn hold_fast(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) {
        if self.partial.is_some() || !matches!(self.phase, Phase::Open) || self.ends_held() {
            return;
        }
        // With their headers they are what the inbox holds.
        let received = self.fast_messages(rx, tx);
        self.hold_run(received, rx);
    }

    /// Consumes the next messages, as long as the fast path applies. Returns where their frames are.
    pub(super) fn fast_messages(&mut self, rx: &mut ReceiveBuffer, tx: &mut TransmitQueue) -> Range<usize> {
        let (from, mut latest) = (rx.start, rx.start);
        loop {
            let start = rx.start;
            if self.fast_message(rx, tx).is_none() {
                break;
            }
            latest = start;
        }
        self.note_run(rx.start - from, rx.start - latest);
        from..rx.start
    }

    /// Returns a message if the next bytes are one complete frame with a complete message.
    #[inline(never)]
    pub(super) fn fast_message(
        &mut self,
        rx: &mut ReceiveBuffer,
        tx: &mut TransmitQueue,
    ) -> Option<FastMessage> {
        let base = rx.start;
        let bytes = rx.unprocessed_mut();
        let head = u64::from_le_bytes(bytes.first_chunk().copied().unwrap_or_else(|| padded(bytes)));
        let kind = match head as u8 {
            FINAL_TEXT => MessageKind::Text,
            FINAL_BINARY => MessageKind::Binary,
            _ => return None,
        };
        let (len, key_at, key) = match (head >> 8) as u8 & 0x7f {
            short @ 0..126 => (usize::from(short), 2, (head >> 16) as u32),
            126 => (usize::from(((head >> 16) as u16).swap_bytes()), 4, (head >> 32) as u32),
            _ => return None,
        };
        let limits = &self.config.limits;
        let most =
            limits.max_frame_size.map_or(limits.max_message_size, |most| most.min(limits.max_message_size));
        if len > most || (key_at == 4 && len < 126) {
            return None;
        }
        let is_client = self.rare.as_ref().is_some_and(|rare| rare.masks.is_some());
        let is_masked = head & 0x8000 != 0;
        if is_masked == is_client {
            return None;
        }
        let start = if is_masked { key_at + 4 } else { key_at };
        let payload = bytes.get_mut(start..start + len)?;
        let key = key.to_le_bytes();
        if kind == MessageKind::Text && self.config.validate_utf8 {
            let is_ascii = is_masked && apply_mask_and_test(key, payload);
            if !is_ascii && !is_valid_utf8(payload) {
                return refuse(is_masked.then_some(key), payload);
            }
        } else if is_masked {
            apply_mask(key, payload);
        }
        rx.consume(start + len);
        self.note_activity();
        if self.rare.is_some() {
            self.observe_fast_message(kind, len);
        }
        tx.traffic.received.count_message(len);
        Some(FastMessage { kind, start: base + start, len })
    }
}

/// The payload is masked again, for the general path.
#[cold]
fn refuse(key: Option<[u8; 4]>, payload: &mut [u8]) -> Option<FastMessage> {
    if let Some(key) = key {
        apply_mask(key, payload);
    }
    None
}

/// The beginning of a window that has fewer bytes than the longest header.
#[cold]
fn padded(bytes: &[u8]) -> [u8; LONGEST] {
    let mut padded = [0; LONGEST];
    padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    padded
}
