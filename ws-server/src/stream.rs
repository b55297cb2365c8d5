//! What a server's connections run over.

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

#[cfg(target_os = "linux")]
use crate::reactor::Socket;

/// The transport of a server's connection.
#[derive(Debug)]
pub struct ServerStream(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    /// TCP too, on a shard's own epoll descriptor.
    #[cfg(target_os = "linux")]
    Reactor(Socket),
}

/// The same expression for whatever it is.
macro_rules! each {
    ($kind:expr, $stream:ident => $expression:expr) => {
        match $kind {
            Kind::Tcp($stream) => $expression,
            #[cfg(target_os = "linux")]
            Kind::Reactor($stream) => $expression,
        }
    };
}

impl ServerStream {
    /// The peer's address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        each!(&self.0, stream => stream.peer_addr())
    }

    /// This side's address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        each!(&self.0, stream => stream.local_addr())
    }

    /// Whether TCP_NODELAY is set, as [`ServerBuilder::tcp_nodelay`](crate::ServerBuilder::tcp_nodelay) asks.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        each!(&self.0, stream => stream.nodelay())
    }

    /// The reactor's socket, if it is one.
    #[cfg(target_os = "linux")]
    pub(crate) const fn reactor_socket(&mut self) -> Option<&mut Socket> {
        match &mut self.0 {
            Kind::Reactor(socket) => Some(socket),
            Kind::Tcp(_) => None,
        }
    }
}

impl From<TcpStream> for ServerStream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

#[cfg(target_os = "linux")]
impl From<Socket> for ServerStream {
    fn from(socket: Socket) -> Self {
        Self(Kind::Reactor(socket))
    }
}

/// For options of the socket.
#[cfg(unix)]
impl std::os::fd::AsFd for ServerStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        each!(&self.0, stream => stream.as_fd())
    }
}

impl AsyncRead for ServerStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for ServerStream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        each!(&self.0, stream => stream.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.0, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
