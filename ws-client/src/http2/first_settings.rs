//! Tells when hyper has handled the server's first settings.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};

/// The length of a frame's header (RFC 9113 section 4.1). Its first three bytes are the length of the payload.
pub(crate) const FRAME_HEADER: usize = 9;

/// A transport under hyper. The first frame of a server is its SETTINGS (RFC 9113 section 3.4), and hyper wakes no task
/// when they arrive. So this counts the bytes of that frame. hyper reads again only after it has handled all whole
/// frames of what it has read: the next read shows that the settings are in effect.
#[derive(Debug)]
pub(crate) struct FirstSettings<S> {
    io: S,
    /// Bytes that hyper has read.
    received: usize,
    /// The length of the first frame's payload, as far as it has been received.
    payload_len: usize,
    /// `None` once the settings are in effect.
    handled: Option<oneshot::Sender<()>>,
}

impl<S> FirstSettings<S> {
    pub(crate) const fn new(io: S, handled: oneshot::Sender<()>) -> Self {
        Self { io, received: 0, payload_len: 0, handled: Some(handled) }
    }

    fn tell_if_complete(&mut self) {
        if self.received >= FRAME_HEADER + self.payload_len
            && let Some(handled) = self.handled.take()
        {
            // The receiver is gone if the handshake was dropped.
            let _ = handled.send(());
        }
    }

    fn count(&mut self, received: &[u8]) {
        let length_bytes = 3_usize.saturating_sub(self.received);
        for byte in received.iter().take(length_bytes) {
            self.payload_len = self.payload_len << 8 | usize::from(*byte);
        }
        self.received += received.len();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstSettings<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.handled.is_none() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        self.tell_if_complete();
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.count(&buf.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstSettings<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn the_read_after_the_whole_first_frame_tells_at_every_split() {
        // Two settings, then the beginning of another frame.
        let frame = [[0, 0, 12, 4, 0, 0, 0, 0, 0].as_slice(), &[7; 12]].concat();
        for split in 0..=frame.len() {
            let (mut server, io) = duplex(64);
            let (handled, mut told) = oneshot::channel();
            let mut io = FirstSettings::new(io, handled);
            let mut read = [0; 64];
            for (part, is_last) in [(&frame[..split], false), (&frame[split..], true)] {
                if part.is_empty() {
                    continue;
                }
                server.write_all(part).await.unwrap();
                assert_eq!(io.read(&mut read).await.unwrap(), part.len());
                assert!(told.try_recv().is_err(), "hyper has not handled it yet");
                let mut next = pin!(io.read(&mut read));
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(next.as_mut().poll(&mut cx).is_pending());
                let is_whole = is_last || split == frame.len();
                assert_eq!(told.try_recv().is_ok(), is_whole, "split at {split}");
                if is_whole {
                    break;
                }
            }
        }
    }
}
