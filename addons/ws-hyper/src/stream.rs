//! The transport of an upgraded connection.

use std::net::SocketAddr;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;
use ws_tokio::internal::FullWrites;

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
    Http2(FullWrites<TokioIo<Upgraded>>),
}

impl HyperStream {
    /// Takes a connection over from hyper. The bytes were read behind the request.
    pub(crate) fn new(upgraded: Upgraded, is_http2: bool) -> (Self, Bytes) {
        if is_http2 {
            return (Self(Kind::Http2(FullWrites::new(TokioIo::new(upgraded)))), Bytes::new());
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
            Kind::Http1($stream) => $expression,
            Kind::Http2($stream) => $expression,
        }
    };
}

ws_tokio::delegate_io!([] HyperStream, each);
