use std::fmt;

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server;

/// A stream with TLS, from [`Tls::accept`](crate::Tls::accept).
pub struct TlsStream<S>(server::TlsStream<S>);

impl<S> TlsStream<S> {
    pub(super) const fn new(stream: server::TlsStream<S>) -> Self {
        Self(stream)
    }

    /// The stream that carries TLS.
    #[must_use]
    pub fn io(&self) -> &S {
        self.0.get_ref().0
    }

    /// The state of the TLS connection, such as the client's certificates.
    #[must_use]
    pub fn tls(&self) -> &ServerConnection {
        self.0.get_ref().1
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("io", self.io()).finish_non_exhaustive()
    }
}

/// Gives access to the options of the socket that carries TLS.
#[cfg(unix)]
impl<S: std::os::fd::AsFd> std::os::fd::AsFd for TlsStream<S> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.io().as_fd()
    }
}

ws_tokio::delegate_io!([S: AsyncRead + AsyncWrite + Unpin] TlsStream<S>, ws_tokio::the_stream);
