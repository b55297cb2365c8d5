//! The errors of this crate, and the responses to them.

use std::{error::Error, fmt};

use bytes::Bytes;
use http::{Response, StatusCode, Version, header};
use ws_proto::handshake::Rejection;

#[doc(inline)]
pub use ws_proto::{
    error::{
        CloseError, ConfigError, ConnectionError, ControlError, LimitExceeded, ProtocolError, SendError,
        TimedOut,
    },
    handshake::{RequestError, ResponsePartsError},
    utf8::InvalidUtf8,
};

/// A request cannot become a WebSocket. [`into_response`](Self::into_response) is the answer to it.
#[derive(Debug)]
pub struct BeginError {
    kind: BeginErrorKind,
    version: Version,
}

/// Why a request cannot become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BeginErrorKind {
    /// The request is not a valid WebSocket handshake: 400, 405, 426, 501 or 505 ([`RequestError::status`]).
    #[error("invalid request")]
    Request(#[source] RequestError),
    /// The request's `Origin` is not allowed: 403.
    #[error("the request's origin is not allowed")]
    Origin,
    /// The upgrader shuts down: 503.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// hyper offers no upgrade: 500. The server does not serve its connections `with_upgrades`, or the upgrade of this
    /// request was taken before.
    #[error("hyper offers no upgrade for this request; serve its connections with upgrades")]
    NotUpgradable,
    /// The function of an [`OriginPolicy::Custom`](crate::OriginPolicy::Custom) panicked: 500.
    #[error("the origin policy panicked")]
    Panicked,
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl Error for BeginError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

impl BeginError {
    pub(crate) fn new(kind: BeginErrorKind, version: Version) -> Self {
        match kind {
            BeginErrorKind::NotUpgradable | BeginErrorKind::Panicked => {
                tracing::error!("{kind}; the request is answered with 500");
            }
            _ => tracing::debug!(?kind, "a request for a WebSocket is refused"),
        }
        Self { kind, version }
    }

    /// Returns why the request cannot become a WebSocket.
    #[must_use]
    pub const fn kind(&self) -> BeginErrorKind {
        self.kind
    }

    /// Returns the status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self.kind {
            BeginErrorKind::Request(error) => error.status(),
            BeginErrorKind::Origin => StatusCode::FORBIDDEN,
            BeginErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            BeginErrorKind::NotUpgradable | BeginErrorKind::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the answer: the status, a line of text, and the headers that RFC 6455 and RFC 9110 want with it: `Allow`
    /// with 405, `Upgrade` and `Sec-WebSocket-Version` with 426. Over HTTP/1.1 it closes the connection, so that no
    /// proxy takes later bytes for another request.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let rejection = match self.kind {
            BeginErrorKind::Request(error) => Rejection::from(error),
            BeginErrorKind::Origin => Rejection::new(self.status()).with_text("origin not allowed\n"),
            BeginErrorKind::ShuttingDown => {
                Rejection::new(self.status()).with_text("the server is shutting down\n")
            }
            BeginErrorKind::NotUpgradable | BeginErrorKind::Panicked => Rejection::new(self.status()),
        };
        response(rejection, self.version)
    }
}

/// An accepted request cannot be answered as the application wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// A subprotocol that the client did not offer, or a header that belongs to the handshake.
    #[error("invalid response to a WebSocket request")]
    Response(#[from] ResponsePartsError),
    /// A setting for this connection is not valid.
    #[error("invalid configuration for a connection")]
    Config(#[from] ConfigError),
    /// This thread is not in a tokio runtime with timers.
    #[error("a WebSocket needs a tokio runtime with timers")]
    NoRuntime,
    /// The upgrader began to shut down after [`Upgrader::begin`](crate::Upgrader::begin).
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl AnswerError {
    /// Returns the status of the answer: 503 if the upgrader shuts down, and 500 otherwise.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Response(_) | Self::Config(_) | Self::NoRuntime => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the answer: the [`status`](Self::status) without a body.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(Bytes::new()));
        *response.status_mut() = self.status();
        response
    }
}

/// A request was accepted, but did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The client left, or the server sent another response and then read another request.
    #[error("the connection was not upgraded")]
    Hyper(#[source] hyper::Error),
    /// The upgrade was not complete before the deadline
    /// ([`Upgrader::upgrade_timeout`](crate::Upgrader::upgrade_timeout)).
    #[error("the upgrade timed out")]
    TimedOut,
    /// The grace period of a shutdown ended before the upgrade.
    #[error("the server has shut down")]
    ShutDown,
}

/// The response to a request that is refused. HTTP/2 has no headers about connections.
pub(crate) fn response<B: From<Bytes>>(rejection: Rejection, version: Version) -> Response<B> {
    let mut response = Response::<B>::from(rejection);
    if version > Version::HTTP_11 {
        for name in [header::CONNECTION, header::UPGRADE] {
            response.headers_mut().remove(name);
        }
    }
    response
}
