//! The transport of a client's connection.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
#[cfg(feature = "tls-core")]
use tokio_rustls::client::TlsStream;

/// The transport of a client's connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientStream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
    /// TLS over TCP.
    #[cfg(feature = "tls-core")]
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS over TCP to a proxy, without TLS from the proxy to the server.
    #[cfg(feature = "tls-core")]
    TlsToProxy(Box<TlsStream<TcpStream>>),
    /// TLS to the server, inside TLS over TCP to a proxy.
    #[cfg(feature = "tls-core")]
    TlsThroughTls(Box<TlsStream<TlsStream<TcpStream>>>),
}

/// Evaluates the same expression for the stream of each variant.
macro_rules! delegate {
    ($self:expr, $stream:ident => $expression:expr) => {
        match $self {
            ClientStream::Tcp($stream) => $expression,
            #[cfg(unix)]
            ClientStream::Unix($stream) => $expression,
            #[cfg(feature = "tls-core")]
            ClientStream::Tls($stream) | ClientStream::TlsToProxy($stream) => $expression,
            #[cfg(feature = "tls-core")]
            ClientStream::TlsThroughTls($stream) => $expression,
        }
    };
}

impl ClientStream {
    /// The TCP socket, also if TLS runs over it. `None` for a Unix socket.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Self::Unix(_) => None,
            #[cfg(feature = "tls-core")]
            Self::Tls(stream) | Self::TlsToProxy(stream) => Some(stream.get_ref().0),
            #[cfg(feature = "tls-core")]
            Self::TlsThroughTls(stream) => Some(stream.get_ref().0.get_ref().0),
        }
    }

    /// The state of the kernel's send queue. `None` if the socket does not report it.
    #[cfg(target_os = "linux")]
    pub(crate) fn send_queue(&self) -> Option<ws_proto::SendQueue> {
        ws_tokio::tcp_send_queue(self.tcp()?)
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) const fn send_queue(&self) -> Option<ws_proto::SendQueue> {
        None
    }

    /// The address of the server, or of the proxy if there is one.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket. Errors of the operating system are passed on.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().ok_or_else(no_address)?.peer_addr()
    }

    /// The local address.
    ///
    /// # Errors
    /// The same as [`peer_addr`](Self::peer_addr).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().ok_or_else(no_address)?.local_addr()
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no network address")
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        delegate!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
