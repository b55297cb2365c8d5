//! Prepared messages that are written without the queue.

use std::time::Instant;

use ws_proto::PreparedMessage;

use super::Driver;
use crate::traffic::TrafficCounters;

impl<S> Driver<S> {
    /// Returns whether nothing is in progress and nothing waits, and the frame of a prepared message is sent as it is.
    #[inline]
    pub fn sends_prepared_frames(&self) -> bool {
        self.tx.is_none() && self.connection.sends_prepared_frames()
    }

    /// Writes a prepared message and bypasses the queue. Call it only if the driver
    /// [sends prepared frames](Self::sends_prepared_frames). `write` writes what the transport takes at once, and
    /// returns the number of bytes, 0 if there are none. The transport must have no buffer of its own that is to be
    /// flushed. Returns whether all is written; if not, the rest is queued, and [`poll_write`](Self::poll_write) writes
    /// it or reports the error. What was sent is added to the server's `counters`.
    #[inline]
    pub fn send_prepared_through(
        &mut self,
        message: &PreparedMessage,
        now: Instant,
        counters: &TrafficCounters,
        write: impl FnOnce(&mut S, &[u8]) -> usize,
    ) -> bool {
        let frame = self.connection.begin_prepared(message);
        let written = write(&mut self.io, frame).min(frame.len());
        let is_written = written == frame.len();
        if is_written {
            counters.add_sent(message.payload().len(), written);
        } else {
            let (connection, tx) = self.parts_mut();
            connection.send_rest(message, written, tx);
        }
        if written > 0 {
            self.connection.handle_written(now);
        }
        is_written
    }
}
