//! Futures that are dropped, and transports that stall and fail.

use std::{
    future::poll_fn,
    io::{self, ErrorKind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Polls `future` so often, as it is woken and now and then without reason, then drops it. `None`: it was not done.
pub async fn dropped_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(cx).map(Some);
        // The last poll is the end, whether or not anything would have woken it.
        if left.is_multiple_of(3) {
            cx.waker().wake_by_ref();
        }
        polled
    })
    .await
}

/// A transport that moves a few bytes at a time, wakes before it is ready, and may fail.
#[derive(Debug)]
pub struct Crawling<S> {
    io: S,
    piece: usize,
    polls: usize,
    fails_after: usize,
    /// Whether the latest poll of a direction came too early; both may be polled in turn.
    reads: bool,
    writes: bool,
}

impl<S> Crawling<S> {
    /// Moves `piece` bytes at a time.
    pub const fn new(io: S, piece: usize) -> Self {
        Self { io, piece, polls: 0, fails_after: usize::MAX, reads: false, writes: false }
    }

    /// Fails for good once it was polled so often.
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

    /// Whether this poll may do something `now`; else it was woken too early.
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

impl<S: AsyncRead + Unpin> AsyncRead for Crawling<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for Crawling<S> {
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
