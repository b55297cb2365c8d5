//! The transport of a client's connection.

use std::{io, net::SocketAddr};

#[cfg(feature = "tls-core")]
use crate::tls::TlsStream;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// The transport of a client's connection: TCP or a Unix socket, with or without TLS.
#[derive(Debug)]
pub struct ClientStream(Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
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

impl From<Kind> for ClientStream {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

/// Evaluates the same expression for the stream of each kind.
macro_rules! delegate {
    ($kind:expr, $stream:ident => $expression:expr) => {
        match $kind {
            Kind::Tcp($stream) => $expression,
            #[cfg(unix)]
            Kind::Unix($stream) => $expression,
            #[cfg(feature = "tls-core")]
            Kind::Tls($stream) | Kind::TlsToProxy($stream) => $expression,
            #[cfg(feature = "tls-core")]
            Kind::TlsThroughTls($stream) => $expression,
        }
    };
}

impl ClientStream {
    /// The TCP socket, also if TLS runs over it. `None` for a Unix socket.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match &self.0 {
            Kind::Tcp(stream) => Some(stream),
            #[cfg(unix)]
            Kind::Unix(_) => None,
            #[cfg(feature = "tls-core")]
            Kind::Tls(stream) | Kind::TlsToProxy(stream) => Some(stream.get_ref()),
            #[cfg(feature = "tls-core")]
            Kind::TlsThroughTls(stream) => Some(stream.get_ref().get_ref()),
        }
    }

    /// The Unix socket. `None` for TCP.
    #[cfg(unix)]
    #[must_use]
    pub const fn unix(&self) -> Option<&UnixStream> {
        match &self.0 {
            Kind::Unix(stream) => Some(stream),
            _ => None,
        }
    }

    /// The state of the TLS connection to the server, such as the negotiated version, the ALPN protocol and
    /// the server's certificates. `None` without TLS to the server.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn tls(&self) -> Option<&rustls::ClientConnection> {
        match &self.0 {
            Kind::Tls(stream) => Some(stream.tls()),
            Kind::TlsThroughTls(stream) => Some(stream.tls()),
            _ => None,
        }
    }

    /// The state of the TLS connection to an `https` proxy. `None` without such a proxy.
    #[cfg(feature = "tls-core")]
    #[must_use]
    pub fn proxy_tls(&self) -> Option<&rustls::ClientConnection> {
        match &self.0 {
            Kind::TlsToProxy(stream) => Some(stream.tls()),
            Kind::TlsThroughTls(stream) => Some(stream.get_ref().tls()),
            _ => None,
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

/// Gives access to the socket's options.
#[cfg(unix)]
impl std::os::fd::AsFd for ClientStream {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        delegate!(&self.0, stream => stream.as_fd())
    }
}

ws_tokio::delegate_io!([] ClientStream, delegate);
