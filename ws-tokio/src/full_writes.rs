//! A transport that takes a few large writes rather than many small ones.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes one write takes.
const FULL_BUFFER: usize = 64 * 1024;

/// A stream of an HTTP/2 connection inside hyper. hyper copies each write into a buffer of its own and passes it to
/// another task. So the slices of a vectored write are collected into one write of at most 64 KiB.
#[derive(Debug)]
pub struct FullWrites<S>(S);

impl<S> FullWrites<S> {
    /// Wraps a stream.
    pub const fn new(io: S) -> Self {
        Self(io)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FullWrites<S> {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FullWrites<S> {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write_full(Pin::new(&mut self.0), cx, slices)
    }

    /// It collects the slices itself.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

thread_local! {
    /// Collects the slices of one write.
    static COLLECTED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Writes as many slices as fit into one buffer.
fn poll_write_full<S: AsyncWrite>(
    mut io: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let mut filled = slices.iter().filter(|slice| !slice.is_empty());
    let first = filled.next().map_or(&[][..], |slice| slice);
    let has_one = filled.next().is_none();
    if has_one || first.len() >= FULL_BUFFER {
        return io.poll_write(cx, &first[..first.len().min(FULL_BUFFER)]);
    }
    // hyper's stream is flushed once it accepts another write. Nothing is copied before that.
    ready!(io.as_mut().poll_flush(cx))?;
    let mut collected = COLLECTED.take();
    for slice in slices {
        let room = FULL_BUFFER - collected.len();
        collected.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    let written = io.poll_write(cx, &collected);
    collected.clear();
    COLLECTED.set(collected);
    written
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes each write whole and remembers its length.
    #[derive(Default)]
    struct Writes(Vec<Vec<u8>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(slices: &[&[u8]]) -> (usize, Vec<Vec<u8>>) {
        let mut writes = Writes::default();
        let slices: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(n)) = poll_write_full(Pin::new(&mut writes), &mut cx, &slices) else {
            panic!("the writer takes all")
        };
        (n, writes.0)
    }

    #[test]
    fn several_slices_are_one_write_of_at_most_one_buffer() {
        assert_eq!(write(&[b"a", b"", b"bc"]), (3, vec![b"abc".to_vec()]));
        assert_eq!(write(&[b"", b"bc"]), (2, vec![b"bc".to_vec()]));
        let large = vec![7; FULL_BUFFER];
        let (n, writes) = write(&[b"head", &large, b"tail"]);
        assert_eq!((n, writes.len(), writes[0].len()), (FULL_BUFFER, 1, FULL_BUFFER));
        assert_eq!(&writes[0][..5], b"head\x07");
        let huge = vec![7; FULL_BUFFER + 1];
        assert_eq!(write(&[&huge, b"tail"]).0, FULL_BUFFER);
        assert_eq!(write(&[]).0, 0);
    }
}
