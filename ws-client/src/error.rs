use std::io;

use ws_proto::{
    ConfigError,
    handshake::{ClientRequestError, ResponseError},
};

use crate::refusal::Refusal;

/// Why a URL does not name a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It cannot be parsed.
    #[error("invalid URL {0:?}")]
    Invalid(String),
    /// Its scheme is neither `ws` nor `wss`.
    #[error("unsupported URL scheme {0:?}, expected ws or wss")]
    Scheme(String),
    /// It names no host.
    #[error("the URL {0:?} has no host")]
    NoHost(String),
    /// It has a user name or password, which would not be sent.
    #[error("credentials in the URL are not supported; set an Authorization header")]
    Credentials,
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is no good.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A setting is no good.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The request would not be a valid one.
    #[error("invalid request: {0}")]
    Request(#[from] ClientRequestError),
    /// The name does not resolve.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// The host's name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// No address of the host could be connected to; the last error.
    #[error("cannot connect to {host}: {error}")]
    Connect {
        /// The host and port.
        host: String,
        /// What the operating system said of the last address.
        error: io::Error,
    },
    /// The transport failed, or ended, during the handshake.
    #[error("the connection failed during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The server answered, but not with an upgrade: status, headers and body.
    #[error("the server refused the upgrade with status {}", .0.status())]
    Refused(Box<Refusal>),
    /// The server's answer is not a valid one.
    #[error("invalid response: {0}")]
    Response(#[from] ResponseError),
    /// The whole of it took longer than the handshake timeout.
    #[error("the handshake took longer than {0:?}")]
    TimedOut(std::time::Duration),
    /// `wss` needs TLS, which is not built in: nothing has been sent.
    #[error("wss:// needs TLS, which is not built in")]
    TlsNotBuiltIn,
    /// The operating system gives no randomness for keys.
    #[error("no randomness from the operating system: {0}")]
    Randomness(String),
}

impl ConnectError {
    /// Whether trying again later may help: the network, the deadline, or a server that is overloaded (503, 429).
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Io(_) | Self::TimedOut(_) => true,
            Self::Refused(refusal) => matches!(refusal.status().as_u16(), 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
