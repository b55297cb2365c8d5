//! From what waits to the transmit queue, as far as the transport takes it.

use crate::memory::{Completion, TransmitQueue};

use super::{
    Connection,
    encode::PUMP_AHEAD,
    outbox::{Begun, Next},
};

/// And of a message that is compressed at most so many pieces, once there is something to write.
const PIECES_AHEAD: usize = 4;

impl Connection {
    /// Moves waiting frames into the transmit queue as far as it is free. Call it after every write, and once the queue is
    /// [blocked](TransmitQueue::set_blocked): what waits then counts against the memory budget.
    #[inline]
    pub fn pump(&mut self, tx: &mut TransmitQueue) {
        self.move_waiting(tx);
        if !self.charge.is_zero() || tx.is_blocked() {
            self.update_charge(tx);
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

    /// Forgets data of which nothing is encoded yet. A frame that has begun goes on: whatever comes next must begin behind
    /// it.
    pub(super) fn drop_waiting_data(&mut self, tx: &mut TransmitQueue) {
        let cut_off = self.outbox.as_deref_mut().map_or(0, |outbox| outbox.drop_data(tx));
        if let Some(closing) = self.closing.as_deref_mut() {
            closing.cut_off += cut_off;
        }
    }
}
