//! Transports that are not the library's own.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_tokio::internal::guarded;

use crate::log_limit::{LogLimits, log_limited};

/// A transport is made before the server that gets it is known.
static LOG_LIMITS: LogLimits = LogLimits::new();

pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Transport for S {}

/// A transport whose panics become errors. After a panic it is dropped.
pub(super) struct Foreign {
    /// The mutex is never locked. It makes a transport `Sync` that is not.
    io: Option<Mutex<Box<dyn Transport>>>,
    is_write_vectored: bool,
}

impl Foreign {
    pub(super) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let is_write_vectored = io.is_write_vectored();
        Self { io: Some(Mutex::new(Box::new(io))), is_write_vectored }
    }

    fn poll<T>(
        &mut self,
        poll: impl FnOnce(Pin<&mut dyn Transport>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let panicked = || Poll::Ready(Err(io::Error::other("the transport panicked")));
        let Some(io) = &mut self.io else { return panicked() };
        let io = io.get_mut().unwrap_or_else(PoisonError::into_inner);
        guarded(|| poll(Pin::new(&mut **io))).unwrap_or_else(|_panicked| {
            log_limited!(LOG_LIMITS, Panic, error, "a transport panicked; its connection ends");
            self.drop_io();
            panicked()
        })
    }

    fn drop_io(&mut self) {
        let io = self.io.take();
        let _ = guarded(|| drop(io));
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        self.drop_io();
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").finish_non_exhaustive()
    }
}

impl AsyncRead for Foreign {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll(|io| io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Foreign {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(|io| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(|io| io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.is_write_vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(|io| io.poll_shutdown(cx))
    }
}
