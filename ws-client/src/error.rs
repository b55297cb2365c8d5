use std::io;

use http::StatusCode;
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
    /// Its scheme is none of `ws`, `wss` and `ws+unix`.
    #[error("unsupported URL scheme {0:?}, expected ws, wss or ws+unix")]
    Scheme(String),
    /// It names no host.
    #[error("the URL {0:?} has no host")]
    NoHost(String),
    /// Its host is none: `[example.com]`, `[::1]example.com`, `256.0.0.1`, `a<b`. An international name is one of them
    /// without the feature `idna`.
    #[error("the URL's host {host:?} is invalid: {reason}")]
    Host {
        /// The host and the port, as the URL has them.
        host: String,
        /// What is wrong with the host.
        reason: &'static str,
    },
    /// Its port is not a number up to 65535.
    #[error("the port of {0:?} is not a number up to 65535")]
    Port(String),
    /// Its user name or password is not percent-encoded as it should be (a backslash, white space and control characters
    /// must be), or the name has a colon.
    #[error("the user name or password in the URL is not properly percent-encoded")]
    Credentials,
}

impl UrlError {
    /// The same without a part of the URL, for one that may hold a password.
    pub(crate) fn without_text(self) -> Self {
        let hidden = "(with credentials)".to_owned();
        match self {
            Self::Invalid(_) => Self::Invalid(hidden),
            Self::NoHost(_) => Self::NoHost(hidden),
            Self::Host { reason, .. } => Self::Host { host: hidden, reason },
            Self::Port(_) => Self::Port(hidden),
            error @ (Self::Scheme(_) | Self::Credentials) => error,
        }
    }
}

/// Why a URL does not name a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// It cannot be parsed.
    #[error("invalid proxy address {proxy:?}: {reason}")]
    Invalid {
        /// The proxy as it was given.
        proxy: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its scheme is none of `http`, `https`, `socks4`, `socks4a`, `socks5` and `socks5h`.
    #[error("unsupported proxy scheme {0:?}, expected http, https, socks4, socks4a, socks5 or socks5h")]
    Scheme(String),
    /// Its user name or password is not percent-encoded as it should be.
    #[error("the user name or password of the proxy is not properly percent-encoded")]
    Credentials,
    /// A SOCKS4 proxy has a password, or a user name with a zero byte: the protocol has neither.
    #[error("a SOCKS4 proxy takes no password, and no zero byte in the user name")]
    Socks4Credentials,
}

/// Why a proxy opened no tunnel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It ended the connection, or that failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An HTTP proxy answered with a status that is no success: 407 if it wants other credentials.
    #[error("it refused the tunnel with status {0}")]
    Refused(StatusCode),
    /// An HTTP proxy asks for authentication in ways that are not supported, such as Digest, NTLM or Negotiate; their
    /// names.
    #[error("it asks for {0} authentication, and only Basic is supported")]
    UnsupportedAuthentication(String),
    /// An HTTP proxy's answer is not a valid one.
    #[error("invalid response: {0}")]
    Response(#[from] ResponseError),
    /// Bytes came through the tunnel before the server could have sent any.
    #[error("data before the tunnel was used")]
    UnexpectedData,
    /// It is not a SOCKS5 proxy.
    #[error("its answer is not SOCKS5")]
    NotSocks5,
    /// A SOCKS5 proxy wants other credentials, or a way to prove them that is not supported.
    #[error("it does not accept the credentials")]
    Authentication,
    /// A SOCKS5 proxy could not, or would not, connect.
    #[error("it refused the tunnel: {0}")]
    Socks5Refused(&'static str),
    /// It is not a SOCKS4 proxy.
    #[error("its answer is not SOCKS4")]
    NotSocks4,
    /// A SOCKS4 proxy could not, or would not, connect.
    #[error("it refused the tunnel: {0}")]
    Socks4Refused(&'static str),
    /// A SOCKS4 proxy is to connect to a host that has IPv6 addresses only.
    #[error("SOCKS4 reaches IPv4 addresses only, and the host has none")]
    Ipv4Only,
    /// SOCKS5 has room for 255 bytes.
    #[error("the host's name is too long for SOCKS5")]
    NameTooLong,
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
    /// The URL of the proxy, given or in the environment, is no good.
    #[error(transparent)]
    ProxyUrl(#[from] ProxyUrlError),
    /// The proxy could be connected to, and opened no tunnel to the server.
    #[error("proxy {proxy}: {error}")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// What it said.
        error: ProxyError,
    },
    /// TLS cannot be set up; nothing has been sent.
    #[cfg(feature = "tls-core")]
    #[error(transparent)]
    Tls(ws_tokio::tls::TlsError),
    /// The TLS handshake failed: the certificate is for another name, not trusted or expired, or there is no common
    /// version.
    #[error("TLS with {host}: {error}")]
    TlsHandshake {
        /// The host's name.
        host: String,
        /// What TLS said.
        error: io::Error,
    },
    /// A redirection was not followed: it led from `wss` to `ws`, or its `Location` is no good.
    #[error("redirected to {location:?}: {reason}")]
    Redirect {
        /// Where to.
        location: String,
        /// Why not.
        reason: String,
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
    /// `wss`, or a proxy with `https`, needs TLS, which is not built in: nothing has been sent.
    #[error("wss:// and proxies with https:// need TLS, which is not built in (feature `tls`)")]
    TlsNotBuiltIn,
    /// There is no tokio runtime: [`connect`](crate::connect) was polled outside of one.
    #[error("connecting needs a tokio runtime with time and I/O, and there is none")]
    NoRuntime,
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
            Self::Proxy { error, .. } => matches!(
                error,
                ProxyError::Io(_) | ProxyError::Socks4Refused(_) | ProxyError::Socks5Refused(_)
            ),
            Self::Refused(refusal) => matches!(refusal.status().as_u16(), 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }
}
