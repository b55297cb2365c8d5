//! The steps of a short turn: a settled connection receives small messages, and the transport takes the replies at once.
//!
//! They are those of a usual turn, without what can have no effect there. After each step, a turn may go on as usual.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Driver, count_turn};
use crate::{thread_buffers::ReceiveLease, traffic::TrafficCounters};

impl<S> Driver<S> {
    /// Returns whether a short turn may begin: nothing is in progress, and messages are delivered.
    #[inline]
    pub const fn awaits_message(&self) -> bool {
        self.tx.is_none() && self.unread.is_none() && self.connection.awaits_message()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads once, as [`poll_read`](Self::poll_read) does. `read` reads from the transport into the memory that it
    /// gets. Call it only if the driver [awaits a message](Self::awaits_message).
    #[inline]
    pub fn read_shortly(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        lease: &mut ReceiveLease,
        read: impl FnOnce(&mut S, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<()> {
        let read = ready!(read(&mut self.io, self.connection.read_target(lease)));
        self.tx = Some(lease.take_queue());
        self.on_read(read, cx, now, lease)
    }

    /// Writes what was queued, as [`poll_write`](Self::poll_write) does, and ends the turn, as
    /// [`end_turn`](Self::end_turn) does. Call it only if the connection is settled. `write` writes to the transport,
    /// which must have no buffer of its own that is to be flushed. `false`: the turn goes on with `poll_write`.
    #[inline]
    pub fn write_shortly(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        lease: &mut ReceiveLease,
        counters: &TrafficCounters,
        write: impl FnOnce(&mut S, &[u8]) -> Poll<io::Result<usize>>,
    ) -> bool {
        let Some(tx) = self.tx.as_deref_mut() else { return false };
        if !tx.is_written() {
            let chunk = tx.chunk();
            if chunk.len() != tx.len() {
                return false;
            }
            let written = write(&mut self.io, chunk);
            if self.on_write(written, cx, now).is_some() {
                return false;
            }
        }
        let Some(tx) = self.tx.take_if(|tx| tx.is_empty() && !tx.has_spent() && !tx.has_completion()) else {
            return false;
        };
        let mut tx = tx;
        count_turn(&mut tx, 0, Some(counters));
        lease.put_queue(tx);
        true
    }
}
