//! The steps of a fast turn: a settled connection receives small messages, and the transport takes the replies at once.
//!
//! They are those of a usual turn, without what can have no effect there. After each step, a turn may continue as
//! usual.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{ReceiveBuffer, TransmitQueue};

use super::{Driver, count_turn};
use crate::{thread_buffers::ThreadReceiveBuffer, traffic::TrafficCounters, transport_io::read_once};

impl<S> Driver<S> {
    /// Returns whether a fast turn may begin: nothing is in progress, and messages are delivered.
    #[inline]
    pub fn awaits_message(&self) -> bool {
        self.tx.is_none() && self.reads_plainly() && !self.connection.is_paused()
    }

    /// Returns whether the connection is plain, and the next bytes are those of the transport.
    #[inline]
    pub(crate) fn reads_plainly(&self) -> bool {
        self.unread.is_none() && self.connection.is_plain()
    }

    /// Returns whether nothing was sent that the transport has not taken.
    #[inline]
    pub(crate) const fn has_no_output(&self) -> bool {
        self.tx.is_none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// Reads once, as [`poll_read`](Self::poll_read) does. `read` reads from the transport into the memory that it
    /// gets. Call it only if the driver [awaits a message](Self::awaits_message).
    #[inline]
    pub fn read_fast(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        rx: &mut ThreadReceiveBuffer,
        read: impl FnOnce(&mut S, &mut [u8]) -> Poll<io::Result<usize>>,
    ) -> Poll<()> {
        let read = ready!(read(&mut self.io, self.connection.read_target(rx)));
        self.tx = Some(rx.take_queue());
        self.on_read(read, cx, now, rx)
    }

    /// Writes what was queued, as [`poll_write`](Self::poll_write) does, and ends the turn, as
    /// [`end_turn`](Self::end_turn) does. Call it only if the connection is settled. `write` writes to the transport,
    /// which must have no buffer of its own that is to be flushed. `false`: continue with `poll_write`.
    #[inline]
    pub fn write_turn_fast(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        rx: &mut ThreadReceiveBuffer,
        counters: &TrafficCounters,
        write: impl FnOnce(&mut S, &[u8]) -> Poll<io::Result<usize>>,
    ) -> bool {
        if !self.write_all_with(cx, now, write) {
            return false;
        }
        let is_done = |tx: &mut Box<TransmitQueue>| tx.is_empty() && !tx.has_spent() && !tx.has_completion();
        let Some(mut tx) = self.tx.take_if(is_done) else { return false };
        count_turn(&mut tx, 0, Some(counters));
        rx.put_queue(tx);
        true
    }

    /// Reads once, as [`poll_read`](Self::poll_read) does. `now` is called if there is something. Returns whether the
    /// bytes fill the memory for them, so that more may have arrived. Call it only if the driver
    /// [reads plainly](Self::reads_plainly).
    // Inlined, because the fast path of `recv` is slower if it is split into functions (`bench/LOG.md`).
    #[inline(always)]
    pub(crate) fn read_plain(
        &mut self,
        cx: &mut Context<'_>,
        now: impl FnOnce() -> Instant,
        rx: &mut ReceiveBuffer,
    ) -> Poll<bool> {
        let target = self.connection.read_target(rx);
        let room = target.len();
        let read = ready!(read_once(&mut self.io, cx, target, self.is_trusted));
        let fills = read.as_ref().is_ok_and(|n| *n == room);
        self.on_read(read, cx, now(), rx).map(|()| fills)
    }

    /// Writes and flushes what was queued, as [`poll_write`](Self::poll_write) does. Call it only if the connection is
    /// settled. `false`: call `poll_write`.
    #[inline]
    pub(crate) fn write_plain(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.tx.as_ref().is_some_and(|tx| !tx.is_written()) {
            self.needs_flush = true;
            let mut write_cx = Context::from_waker(cx.waker());
            if !self.write_all_with(cx, now, |io, chunk| Pin::new(io).poll_write(&mut write_cx, chunk)) {
                return false;
            }
        }
        if self.needs_flush {
            let flushed = Pin::new(&mut self.io).poll_flush(cx);
            return self.on_flush(flushed, cx, now).is_ready();
        }
        true
    }

    /// Writes what was queued, if it is one run of bytes that `write` takes whole. `false`: something is left, or the
    /// transport has failed.
    #[inline]
    fn write_all_with(
        &mut self,
        cx: &Context<'_>,
        now: Instant,
        write: impl FnOnce(&mut S, &[u8]) -> Poll<io::Result<usize>>,
    ) -> bool {
        let Some(tx) = self.tx.as_deref() else { return true };
        if tx.is_written() {
            return true;
        }
        let chunk = tx.chunk();
        if chunk.len() != tx.len() {
            return false;
        }
        let written = write(&mut self.io, chunk);
        self.on_write(written, cx, now).is_none() && self.tx.as_ref().is_none_or(|tx| tx.is_written())
    }
}
