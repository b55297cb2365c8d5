//! TLS over a transport of any kind.

use std::fmt;

use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client;

/// TLS over the transport `S`. [`Connector::connect_tls_on`](crate::Connector::connect_tls_on) opens it.
pub struct TlsStream<S>(client::TlsStream<S>);

impl<S> TlsStream<S> {
    pub(super) const fn new(stream: client::TlsStream<S>) -> Self {
        Self(stream)
    }

    /// The transport below TLS. Reading from it or writing to it breaks the TLS connection.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        self.0.get_ref().0
    }

    /// The same as [`get_ref`](Self::get_ref), by a mutable reference.
    pub fn get_mut(&mut self) -> &mut S {
        self.0.get_mut().0
    }

    /// The state of the TLS connection, such as the negotiated version, the ALPN protocol and the server's
    /// certificates.
    #[must_use]
    pub fn tls(&self) -> &ClientConnection {
        self.0.get_ref().1
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("version", &self.tls().protocol_version())
            .field("alpn_protocol", &self.tls().alpn_protocol().map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}

/// Gives access to the options of the socket below TLS.
#[cfg(unix)]
impl<S: std::os::fd::AsFd> std::os::fd::AsFd for TlsStream<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

ws_tokio::delegate_io!([S: AsyncRead + AsyncWrite + Unpin] TlsStream<S>, ws_tokio::the_stream);
