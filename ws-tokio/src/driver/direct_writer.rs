//! Writes of large payloads, which bypass the transmit queue.

use std::{
    fmt,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::AsyncWrite;
use ws_proto::{Connection, TransmitQueue};

/// What [`Connection::send_through`] needs, from [`Driver::writer_parts`](super::Driver::writer_parts).
#[derive(Debug)]
pub struct WriterParts<'a, S> {
    /// The state machine.
    pub connection: &'a mut Connection,
    /// The queue that its commands write to.
    pub tx: &'a mut TransmitQueue,
    /// Writes to the transport.
    pub writer: DirectWriter<'a, S>,
}

/// Writes to the transport and bypasses the queue.
pub struct DirectWriter<'a, S> {
    pub(super) io: &'a mut S,
    pub(super) needs_flush: &'a mut bool,
}

impl<S: AsyncWrite + Unpin> DirectWriter<'_, S> {
    /// Writes what the transport takes at once and returns the number of bytes, 0 if there are none. The next regular
    /// write reports an error again.
    pub fn write(&mut self, waker: &Waker, slices: &[IoSlice<'_>]) -> usize {
        if !self.io.is_write_vectored() {
            return 0;
        }
        *self.needs_flush = true;
        match Pin::new(&mut *self.io).poll_write_vectored(&mut Context::from_waker(waker), slices) {
            Poll::Ready(Ok(n)) => n,
            _ => 0,
        }
    }
}

impl<S> fmt::Debug for DirectWriter<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectWriter").finish_non_exhaustive()
    }
}
