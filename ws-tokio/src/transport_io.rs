//! One read or write on a transport.

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use ws_proto::TransmitQueue;

/// Slices per vectored write.
const MAX_SLICES: usize = 16;

/// Reads once. 0 is the end of the stream.
#[inline]
pub(crate) fn read_once<S: AsyncRead + Unpin>(
    io: &mut S,
    cx: &mut Context<'_>,
    mut target: &mut [u8],
    is_trusted: bool,
) -> Poll<io::Result<usize>> {
    if is_trusted {
        let mut buffer = ReadBuf::new(target);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        return Poll::Ready(Ok(buffer.filled().len()));
    }
    // Lends the memory as uninitialized. The future is dropped after one poll, which loses nothing.
    pin!(SameBuffer(io).read_buf(&mut target)).poll(cx)
}

/// Fails reads that replace the buffer that was lent.
struct SameBuffer<'a, S>(&'a mut S);

impl<S: AsyncRead + Unpin> AsyncRead for SameBuffer<'_, S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let lent = buffer.filled().as_ptr();
        ready!(Pin::new(&mut *self.0).poll_read(cx, buffer))?;
        let is_same = buffer.filled().as_ptr() == lent;
        Poll::Ready(if is_same { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) })
    }
}

/// Writes once.
pub(crate) fn write_once<S: AsyncWrite>(
    io: Pin<&mut S>,
    cx: &mut Context<'_>,
    tx: &TransmitQueue,
) -> Poll<io::Result<usize>> {
    let chunk = tx.chunk();
    if chunk.len() == tx.len() || !io.is_write_vectored() {
        return io.poll_write(cx, chunk);
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let filled = tx.chunks_vectored(&mut slices);
    io.poll_write_vectored(cx, &slices[..filled])
}
