//! Drops futures before they end; a transport that is slow and fails.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Polls `future` at most `polls` times and then drops it. It is polled when it wakes the task, and after each third
/// poll without a wake-up. Returns `None` if it was not ready.
pub async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        // Also wakes the task before the last poll, which ends this future in any case.
        if left.is_multiple_of(3) {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// A transport that moves a few bytes per call, wakes the task before it is ready, and can fail.
#[derive(Debug)]
pub struct SlowTransport<S> {
    io: S,
    piece: usize,
    polls: usize,
    fails_after: usize,
    /// Whether the latest poll of this direction returned `Pending`. Every other poll does.
    reads: bool,
    writes: bool,
}

impl<S> SlowTransport<S> {
    /// Moves at most `piece` bytes per call.
    pub const fn new(io: S, piece: usize) -> Self {
        Self { io, piece, polls: 0, fails_after: usize::MAX, reads: false, writes: false }
    }

    /// Fails with `ConnectionReset` after this many polls, and at each poll from then on.
    #[must_use]
    pub const fn failing_after(mut self, polls: usize) -> Self {
        self.fails_after = polls;
        self
    }

    fn proceed_reading(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.reads = !self.reads;
        self.proceed(!self.reads, cx)
    }

    fn proceed_writing(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.writes = !self.writes;
        self.proceed(!self.writes, cx)
    }

    /// Counts a poll. It is ready if `now` is set, otherwise it wakes the task and is pending.
    fn proceed(&mut self, now: bool, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.polls += 1;
        if self.polls > self.fails_after {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if !now {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SlowTransport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.proceed_reading(cx))?;
        let mut piece = vec![0; self.piece.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut piece);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
        buffer.put_slice(part.filled());
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SlowTransport<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.proceed_writing(cx))?;
        let piece = bytes.len().min(self.piece);
        Pin::new(&mut self.io).poll_write(cx, &bytes[..piece])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.proceed_writing(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
