//! Sends control frames: pings, pongs and the Close (RFC 6455 section 5.5).

use crate::{
    close::CloseFrame,
    error::ControlError,
    frame::{CONTROL_QUEUE_CAPACITY, ControlQueue, MAX_CONTROL_PAYLOAD, OpCode},
    memory::TransmitQueue,
};

use super::{Connection, closing::Phase};

/// With at least this many bytes pending, only the latest ping is answered. Otherwise a peer that pings and does not
/// read could fill the queue with an answer to each ping of a whole read.
const PONGS_AHEAD: usize = 16 * 1024;

impl Connection {
    /// Sends a ping (RFC 6455 section 5.5.2). The payload is copied. There is no completion.
    ///
    /// # Errors
    /// [`ControlError`]: the connection is not open, the payload is over 125 bytes, or 256 bytes of control frames are
    /// waiting.
    pub fn ping(&mut self, payload: &[u8], tx: &mut TransmitQueue) -> Result<(), ControlError> {
        self.send_control(OpCode::Ping, payload, tx)
    }

    /// Sends a pong, solicited or not (RFC 6455 section 5.5.3). As [`ping`](Self::ping).
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub fn pong(&mut self, payload: &[u8], tx: &mut TransmitQueue) -> Result<(), ControlError> {
        self.send_control(OpCode::Pong, payload, tx)
    }

    /// Answers a ping. While the transport is blocked, or 16 KiB are pending, only the answer to the latest ping is
    /// kept (RFC 6455 section 5.5.3). So this cannot fail, and memory does not grow.
    pub fn answer_ping(&mut self, payload: &[u8], tx: &mut TransmitQueue) {
        let payload = &payload[..payload.len().min(MAX_CONTROL_PAYLOAD)];
        if self.phase != Phase::Open {
            return;
        }
        if self.must_wait(tx) || tx.len() >= PONGS_AHEAD {
            self.outbox.get_or_insert_default().set_pong(payload);
        } else {
            self.encode_control(OpCode::Pong, payload, tx);
        }
    }

    /// Queues a Close in place of the messages that are not encoded yet.
    pub(super) fn queue_close_at_once(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        self.drop_waiting_data(tx);
        if !tx.is_blocked() {
            // Waiting pings and pongs still go first. They are at most 512 bytes.
            self.pump(tx);
        }
        self.queue_close(frame, tx);
    }

    /// Queues a Close after the messages already accepted.
    pub(super) fn queue_close(&mut self, frame: CloseFrame, tx: &mut TransmitQueue) {
        if self.must_wait(tx) {
            self.outbox.get_or_insert_default().close = Some(frame);
        } else {
            self.encode_close(frame, tx);
        }
    }

    /// Queues a keepalive ping. It has a slot of its own, so that the application's pings cannot displace it.
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
            return Err(ControlError::Closed);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(ControlError::TooLong { len: payload.len() });
        }
        let entry = ControlQueue::entry_len(payload.len());
        let waiting = tx.control_bytes() + self.outbox.as_ref().map_or(0, |outbox| outbox.control_bytes());
        if waiting + entry > CONTROL_QUEUE_CAPACITY {
            return Err(ControlError::Full);
        }
        if self.must_wait(tx) {
            let queue = self.outbox.get_or_insert_default().control_mut();
            return queue.push(opcode, payload).map_err(|_| ControlError::Full);
        }
        self.encode_control(opcode, payload, tx);
        tx.count_control(entry);
        Ok(())
    }
}
