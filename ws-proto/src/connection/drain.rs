//! Drains waiting frames into the transmit queue, as far as the transport accepts bytes, and reports completions.

use crate::memory::{Completion, TransmitQueue};

use super::{
    Connection,
    encode::PUMP_AHEAD,
    outbox::{Begun, Next},
};

/// The most pieces of a compressed message encoded at a time, if there are bytes to write.
const PIECES_AHEAD: usize = 4;

impl Connection {
    /// Moves waiting frames into the transmit queue while it has room. Call it after every write, and also after the
    /// queue becomes [blocked](TransmitQueue::set_blocked): from then on waiting bytes count against the memory budget.
    #[inline]
    pub fn pump(&mut self, tx: &mut TransmitQueue) {
        let something_waits = self.outbox.is_some() || tx.is_blocked() || !self.charge.is_zero();
        // With a monitor, there is something to observe.
        if something_waits || self.rare.is_some() {
            self.pump_waiting(tx);
        }
    }

    fn pump_waiting(&mut self, tx: &mut TransmitQueue) {
        self.observe_queue(tx);
        self.move_waiting(tx);
        if !self.charge.is_zero() || tx.is_blocked() {
            self.update_charge(tx);
        }
    }

    fn move_waiting(&mut self, tx: &mut TransmitQueue) {
        let mut pieces = 0;
        while !tx.is_blocked() && tx.len() < PUMP_AHEAD {
            let Some(outbox) = self.outbox.as_deref_mut() else { return };
            match outbox.pop() {
                None => {
                    self.outbox = None;
                    return;
                }
                Some(Next::Control(frame)) => self.encode_control(frame.opcode(), frame.payload(), tx),
                Some(Next::Rest(begun)) => {
                    self.encode_rest(begun, tx);
                    pieces += 1;
                    // Data that compresses well is much work for few bytes of output.
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

    /// Whether a large message is being compressed as it is sent. That takes processor time, so a driver whose
    /// transport never blocks should yield from time to time.
    #[must_use]
    pub fn is_deflating(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| matches!(outbox.begun, Some(Begun::Deflating(_))))
    }

    /// Takes the completion of the oldest send that requested one: written, or cut off by the end of the connection.
    pub fn poll_completion(&mut self, tx: &mut TransmitQueue) -> Option<Completion> {
        if let Some(completion) = tx.poll_completion() {
            return Some(completion);
        }
        if tx.pending_sends() > 0 || self.outbox.as_ref().is_some_and(|outbox| outbox.begun.is_some()) {
            // Earlier sends may still be written, and completions are in order.
            return None;
        }
        let closing = self.closing.as_deref_mut()?;
        closing.cut_off = closing.cut_off.checked_sub(1)?;
        Some(Completion::CutOff)
    }

    /// Drops messages that are not encoded yet. A partly encoded frame stays: the next frame can only begin after it.
    pub(super) fn drop_waiting_data(&mut self, tx: &mut TransmitQueue) {
        self.observe_queue(tx);
        let Some(outbox) = self.outbox.as_deref_mut() else { return };
        let before = outbox.len();
        let cut_off = outbox.drop_data(tx);
        let dropped = before - outbox.len();
        self.observe_dropped(dropped);
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.cut_off += cut_off;
        }
    }
}
