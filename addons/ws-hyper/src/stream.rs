//! The transport of an upgraded connection.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How many bytes one write to an HTTP/2 stream takes. hyper copies each write into a buffer of its own and passes it to
/// another task, so a few large writes cost less than many small ones.
const FULL_BUFFER: usize = 64 * 1024;

/// The transport of a WebSocket that was upgraded inside hyper.
///
/// A plain TCP connection of HTTP/1.1 is taken out of hyper and used directly, if the server gave it to hyper as
/// `TokioIo<TcpStream>`, as hyper-util's `auto::Builder` and `axum::serve` do. Any other connection, such as TLS, stays
/// inside hyper's `Upgraded`.
#[derive(Debug)]
pub struct HyperStream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Http1(TokioIo<Upgraded>),
    Http2(TokioIo<Upgraded>),
}

impl HyperStream {
    /// Takes a connection over from hyper. The bytes were read behind the request.
    pub(crate) fn new(upgraded: Upgraded, is_http2: bool) -> (Self, Bytes) {
        if is_http2 {
            return (Self(Kind::Http2(TokioIo::new(upgraded))), Bytes::new());
        }
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return (Self(Kind::Tcp(parts.io.into_inner())), parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => (Self(Kind::Tcp(parts.io.into_inner())), parts.read_buf),
            // It reads the bytes behind the request first.
            Err(upgraded) => (Self(Kind::Http1(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    /// The TCP socket, if the connection was taken out of hyper.
    #[must_use]
    pub const fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Tcp(stream) => Some(stream),
            Kind::Http1(_) | Kind::Http2(_) => None,
        }
    }

    /// The TCP socket itself, if the connection was taken out of hyper.
    #[cfg(feature = "adopt")]
    pub(crate) fn into_tcp(self) -> Result<TcpStream, Self> {
        match self.0 {
            Kind::Tcp(stream) => Ok(stream),
            kind => Err(Self(kind)),
        }
    }

    /// The peer's address, if the connection was taken out of hyper. For all others, the server knows the address when
    /// it accepts the connection.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.tcp()?.peer_addr().ok()
    }

    /// Whether the connection is a stream of an HTTP/2 connection.
    #[must_use]
    pub const fn is_http2(&self) -> bool {
        matches!(self.0, Kind::Http2(_))
    }

    /// The state of the socket's send queue.
    #[cfg(target_os = "linux")]
    pub(crate) fn send_queue(&self) -> Option<ws_proto::SendQueue> {
        self.tcp().and_then(ws_tokio::tcp_send_queue)
    }
}

/// Evaluates an expression for the stream of each kind.
macro_rules! each {
    ($kind:expr, $stream:ident => $expression:expr) => {
        match $kind {
            Kind::Tcp($stream) => $expression,
            Kind::Http1($stream) | Kind::Http2($stream) => $expression,
        }
    };
}

impl AsyncRead for HyperStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for HyperStream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    #[inline]
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Kind::Http1(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Kind::Http2(stream) => poll_write_full(Pin::new(stream), cx, slices),
        }
    }

    /// An HTTP/2 stream collects the slices itself.
    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Kind::Tcp(stream) => stream.is_write_vectored(),
            Kind::Http1(stream) => stream.is_write_vectored(),
            Kind::Http2(_) => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_shutdown(cx))
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
