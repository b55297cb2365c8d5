//! The transport of a server's connections.

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

#[cfg(unix)]
use std::os::fd::{AsFd as _, BorrowedFd};

#[cfg(target_os = "linux")]
use std::{net, os::fd::OwnedFd, sync::Weak};

#[cfg(target_os = "linux")]
use tokio::io::unix::AsyncFd;
#[cfg(unix)]
use tokio::net::UnixStream;
#[cfg(target_os = "linux")]
use ws_proto::SendQueue;

use super::Io;
#[cfg(feature = "tls-core")]
use super::TlsStream;
#[cfg(target_os = "linux")]
use super::{epoll_socket::Socket, runtime};

mod detached;
mod foreign;
#[cfg(target_os = "linux")]
mod tcp;

pub(crate) use detached::Detached;

use foreign::Foreign;

/// The transport of a server's connection.
///
/// After [`WebSocket::into_parts`](crate::WebSocket::into_parts), the application can read it and write it as any
/// stream of tokio. A plain TCP socket from a shard under Linux is then registered with the runtime of the task that
/// uses it first, which takes another descriptor for a moment; without a runtime, the use fails with
/// [`io::ErrorKind::Unsupported`]. Other transports stay in the runtime in which they were served.
#[derive(Debug)]
pub struct ServerStream(Kind);

/// All but the usual kinds are boxed, so that the stream is no larger than a `TcpStream`.
#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(Box<UnixStream>),
    /// TLS over TCP.
    #[cfg(feature = "tls-core")]
    Tls(Box<TlsStream<TcpStream>>),
    /// TCP on the epoll descriptor of a shard's reactor.
    #[cfg(target_os = "linux")]
    Reactor(Socket, Weak<AsyncFd<OwnedFd>>),
    /// TCP that has left a reactor. The first read or write registers it with the runtime.
    #[cfg(target_os = "linux")]
    Unregistered(net::TcpStream),
    Foreign(Box<Foreign>),
}

/// Polls the stream of each kind.
macro_rules! poll_each {
    ($this:expr, $stream:ident => $expression:expr) => {
        match &mut $this.0 {
            Kind::Tcp($stream) => $expression,
            #[cfg(unix)]
            Kind::Unix($stream) => $expression,
            #[cfg(feature = "tls-core")]
            Kind::Tls($stream) => $expression,
            #[cfg(target_os = "linux")]
            Kind::Reactor($stream, _) => $expression,
            #[cfg(target_os = "linux")]
            Kind::Unregistered(_) => {
                let $stream = $this.register()?;
                $expression
            }
            Kind::Foreign($stream) => $expression,
        }
    };
}

/// Evaluates an expression for the TCP socket of each kind. The other kinds give an error.
macro_rules! each_tcp {
    ($kind:expr, $stream:ident => $expression:expr) => {
        match $kind {
            Kind::Tcp($stream) => $expression,
            #[cfg(unix)]
            Kind::Unix(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "a Unix socket has no network address"))
            }
            Kind::Foreign(_) => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "the transport is not a socket"))
            }
            #[cfg(feature = "tls-core")]
            Kind::Tls(stream) => {
                let $stream = stream.io();
                $expression
            }
            #[cfg(target_os = "linux")]
            Kind::Reactor($stream, _) => $expression,
            #[cfg(target_os = "linux")]
            Kind::Unregistered($stream) => $expression,
        }
    };
}

impl ServerStream {
    /// Wraps a transport of any kind, for [`Reservation::adopt`](crate::adopt::Reservation::adopt): a TLS connection of
    /// another library, hyper's `Upgraded`, a stream of HTTP/2.
    ///
    /// A panic of the transport ends its connection. The transport must not use its own connection.
    pub fn from_io(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Kind::Foreign(Box::new(Foreign::new(io))))
    }

    /// The socket, for its options. `None` for a transport of [`from_io`](Self::from_io).
    #[cfg(unix)]
    #[must_use]
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Kind::Tcp(stream) => Some(stream.as_fd()),
            Kind::Unix(stream) => Some(stream.as_fd()),
            #[cfg(feature = "tls-core")]
            Kind::Tls(stream) => Some(stream.as_fd()),
            #[cfg(target_os = "linux")]
            Kind::Reactor(stream, _) => Some(stream.as_fd()),
            #[cfg(target_os = "linux")]
            Kind::Unregistered(stream) => Some(stream.as_fd()),
            Kind::Foreign(_) => None,
        }
    }

    /// The peer's address.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] for a Unix socket and a transport of [`from_io`](Self::from_io); otherwise the
    /// operating system's error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        each_tcp!(&self.0, stream => stream.peer_addr())
    }

    /// The local address.
    ///
    /// # Errors
    /// As [`peer_addr`](Self::peer_addr).
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        each_tcp!(&self.0, stream => stream.local_addr())
    }

    /// Whether `TCP_NODELAY` is set. [`ServerBuilder::tcp_nodelay`](crate::ServerBuilder::tcp_nodelay) sets it.
    ///
    /// # Errors
    /// As [`peer_addr`](Self::peer_addr).
    pub fn nodelay(&self) -> io::Result<bool> {
        each_tcp!(&self.0, stream => stream.nodelay())
    }

    /// The state of the TLS connection, such as the client's certificates. `None` without TLS.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn tls(&self) -> Option<&rustls::ServerConnection> {
        match &self.0 {
            Kind::Tls(stream) => Some(stream.tls()),
            _ => None,
        }
    }

    /// Whether the stream uses TLS.
    pub(crate) const fn is_tls(&self) -> bool {
        #[cfg(feature = "tls-core")]
        return matches!(self.0, Kind::Tls(_));
        #[cfg(not(feature = "tls-core"))]
        false
    }

    /// Whether the stream is plain TCP that is registered with the runtime.
    #[cfg(any(target_os = "linux", feature = "tls-core"))]
    pub(crate) const fn is_tcp(&self) -> bool {
        matches!(self.0, Kind::Tcp(_))
    }

    /// Deregisters a plain TCP socket from the runtime.
    #[cfg(target_os = "linux")]
    pub(crate) fn into_std(self) -> io::Result<net::TcpStream> {
        match self.0 {
            Kind::Tcp(stream) => stream.into_std(),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The next byte, which stays in the socket. An error for other streams than plain TCP.
    #[cfg(feature = "tls-core")]
    pub(crate) async fn peek_byte(&self) -> io::Result<u8> {
        let Kind::Tcp(stream) = &self.0 else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut byte = [0];
        match stream.peek(&mut byte).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    /// Does the TLS handshake if the stream is TCP. Unix sockets are local and returned unchanged.
    #[cfg(feature = "tls-core")]
    pub(crate) async fn accept_tls(self, tls: &super::Tls) -> io::Result<Self> {
        match self.0 {
            Kind::Tcp(stream) => Ok(Self(Kind::Tls(Box::new(tls.accept(stream).await?)))),
            other => Ok(Self(other)),
        }
    }

    /// The socket, if a reactor runs the connection.
    #[cfg(target_os = "linux")]
    pub(crate) const fn reactor_socket(&mut self) -> Option<&mut Socket> {
        match &mut self.0 {
            Kind::Reactor(socket, _) => Some(socket),
            _ => None,
        }
    }

    /// TCP on the epoll descriptor of a reactor.
    #[cfg(target_os = "linux")]
    pub(crate) const fn on_reactor(socket: Socket, epoll: Weak<AsyncFd<OwnedFd>>) -> Self {
        Self(Kind::Reactor(socket, epoll))
    }

    /// Registers a socket that has left a reactor with the runtime of this thread.
    #[cfg(target_os = "linux")]
    #[cold]
    fn register(&mut self) -> io::Result<&mut TcpStream> {
        if let Kind::Unregistered(stream) = &self.0 {
            // A failed registration closes only the copy, so that it can be tried again.
            let stream = stream.try_clone()?;
            self.0 = Kind::Tcp(runtime::register(|| TcpStream::from_std(stream))?);
        }
        match &mut self.0 {
            Kind::Tcp(stream) => Ok(stream),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl From<TcpStream> for ServerStream {
    fn from(stream: TcpStream) -> Self {
        Self(Kind::Tcp(stream))
    }
}

#[cfg(unix)]
impl From<UnixStream> for ServerStream {
    fn from(stream: UnixStream) -> Self {
        Self(Kind::Unix(Box::new(stream)))
    }
}

#[cfg(feature = "tls-core")]
impl From<TlsStream<TcpStream>> for ServerStream {
    fn from(stream: TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(Box::new(stream)))
    }
}

impl Io for ServerStream {
    #[cfg(target_os = "linux")]
    fn send_queue(&self) -> Option<SendQueue> {
        self.socket().and_then(|socket| ws_tokio::tcp_send_queue(&socket))
    }

    #[cfg(target_os = "linux")]
    fn leave_reactor(self) -> Self {
        match self.0 {
            Kind::Reactor(socket, epoll) => Self(Kind::Unregistered(socket.leave(&epoll))),
            kind => Self(kind),
        }
    }

    fn is_trusted(&self) -> bool {
        !matches!(self.0, Kind::Foreign(_))
    }
}

impl AsyncRead for ServerStream {
    #[inline]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        #[cfg(target_os = "linux")]
        if let Kind::Tcp(stream) = &self.0 {
            return tcp::poll_read(stream, cx, buf);
        }
        poll_each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for ServerStream {
    #[inline]
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        #[cfg(target_os = "linux")]
        if let Kind::Tcp(stream) = &self.0 {
            return tcp::poll_write(stream, cx, bytes);
        }
        poll_each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            #[cfg(feature = "tls-core")]
            Kind::Tls(stream) => stream.is_write_vectored(),
            Kind::Foreign(stream) => stream.is_write_vectored(),
            _ => true,
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
