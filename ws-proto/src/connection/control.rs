//! Control frames that are sent: pings, pongs and the Close (RFC 6455 section 5.5).

use crate::{
    close::CloseFrame,
    error::ControlError,
    frame::{CONTROL_QUEUE_CAPACITY, ControlQueue, MAX_CONTROL_PAYLOAD, OpCode},
    memory::TransmitQueue,
};

use super::{Connection, closing::Phase};

/// Beyond so many bytes that wait, only the latest ping is answered: a peer that pings and does not read would have an
/// answer to each ping of a whole read wait for it.
const PONGS_AHEAD: usize = 16 * 1024;

impl Connection {
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

    /// Queues a Close: behind the data already accepted, or, with `at_once`, in place of what is not encoded yet.
    pub(super) fn queue_close(&mut self, frame: CloseFrame, at_once: bool, tx: &mut TransmitQueue) {
        if at_once {
            self.drop_waiting_data(tx);
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

    fn pump_control(&mut self, tx: &mut TransmitQueue) {
        if !tx.is_blocked() {
            self.pump(tx);
        }
    }
}
