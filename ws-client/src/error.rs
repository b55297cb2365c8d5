//! Errors of URLs, proxies and connection attempts.

use std::{fmt, io};

use http::{HeaderName, Method, StatusCode};
#[doc(inline)]
pub use ws_proto::{
    error::{
        CloseError, ConfigError, ConnectionError, ControlError, LimitExceeded, ProtocolError, SendError,
        TimedOut,
    },
    handshake::{ClientRequestError, ResponseError},
    utf8::InvalidUtf8,
};
#[cfg(feature = "tls-core")]
#[doc(inline)]
pub use ws_tokio::tls::TlsError;

pub use crate::refusal::Refusal;

/// The most characters that a message shows of a text that a peer may have sent.
const MOST_SHOWN: usize = 160;

/// The beginning of a text, for messages. `Debug` quotes and escapes it as `str` does. `Display` escapes control
/// characters only.
struct Short<'a>(&'a str);

impl Short<'_> {
    /// The part that is shown, and what stands for the rest.
    fn parts(&self) -> (&str, &'static str) {
        match self.0.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => (&self.0[..end], "…"),
            None => (self.0, ""),
        }
    }
}

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.parts();
        write!(f, "{shown:?}{rest}")
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        let (shown, rest) = self.parts();
        for char in shown.chars() {
            if char.is_control() { write!(f, "{}", char.escape_default())? } else { f.write_char(char)? }
        }
        f.write_str(rest)
    }
}

/// A URL is not a valid WebSocket URL.
///
/// `Display` shows the beginning of a long text only, because a redirect of the server may have it.
///
/// No variant has the query or the fragment of the URL, which may contain tokens. If the URL has an `@`, a placeholder
/// stands for its text, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// The URL cannot be parsed.
    #[error("invalid URL {:?}", Short(.0))]
    Invalid(String),
    /// The scheme is not `ws`, `wss` or `ws+unix`.
    #[error("unsupported URL scheme {:?}, expected ws, wss or ws+unix", Short(.0))]
    Scheme(String),
    /// The URL has no host.
    #[error("the URL {:?} has no host", Short(.0))]
    NoHost(String),
    /// The host is invalid, such as `[example.com]`, `[::1]example.com`, `256.0.0.1` or `a<b`. Without the
    /// feature `idna` this includes international names.
    #[error("the URL's host {:?} is invalid: {reason}", Short(.host))]
    #[non_exhaustive]
    Host {
        /// The host and the port, as written in the URL.
        host: String,
        /// Why the host is invalid, as text for people. Its wording may change in any release.
        reason: &'static str,
    },
    /// The port is not a number up to 65535.
    #[error("the port of {:?} is not a number up to 65535", Short(.0))]
    Port(String),
    /// The user name or password is invalid: its percent-encoding is malformed, it has a backslash, white
    /// space or a control character that is not percent-encoded, or the decoded user name has a colon.
    #[error("the user name or password in the URL is invalid or not percent-encoded")]
    Credentials,
}

impl UrlError {
    /// The same error with what `form` makes of the URL's text.
    pub(crate) fn with_text(self, form: impl FnOnce(&str) -> &str) -> Self {
        match self {
            Self::Invalid(text) => Self::Invalid(form(&text).to_owned()),
            Self::NoHost(text) => Self::NoHost(form(&text).to_owned()),
            Self::Host { host, reason } => Self::Host { host: form(&host).to_owned(), reason },
            Self::Port(text) => Self::Port(form(&text).to_owned()),
            error @ (Self::Scheme(_) | Self::Credentials) => error,
        }
    }
}

/// A URL is not a valid proxy URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The URL cannot be parsed.
    #[error("invalid proxy URL {proxy:?}: {reason}")]
    #[non_exhaustive]
    Invalid {
        /// The URL without query and fragment, or a placeholder if it may contain a password.
        proxy: String,
        /// Why the URL is invalid, as text for people. Its wording may change in any release.
        reason: &'static str,
    },
    /// The scheme is not `http`, `https`, `socks4`, `socks4a`, `socks5` or `socks5h`.
    #[error("unsupported proxy scheme {0:?}, expected http, https, socks4, socks4a, socks5 or socks5h")]
    Scheme(String),
    /// The user name or password is invalid, as in [`UrlError::Credentials`].
    #[error("the user name or password of the proxy is invalid or not percent-encoded")]
    Credentials,
    /// The URL of a SOCKS4 proxy has a password, or a user name with a zero byte. The protocol supports
    /// neither.
    #[error("SOCKS4 supports neither a password nor a zero byte in the user name")]
    Socks4Credentials,
}

/// A header of the caller's cannot be sent.
///
/// The values of headers are not part of the error: they may be credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is not a token (RFC 9110 section 5.6.2). The text is the part of the name before the first
    /// character that is not allowed.
    #[error("invalid header name, it begins with {0:?}")]
    Name(String),
    /// The value has characters that are not allowed (RFC 9110 section 5.5), or characters outside ASCII
    /// where the handshake needs text.
    #[error("the value of the header \"{0}\" has characters that are not allowed")]
    Value(HeaderName),
    /// A request has a header several times that it may have once only.
    #[error("the header \"{0}\" is there more than once")]
    Repeated(HeaderName),
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedirectError {
    /// The `Location` is not UTF-8.
    #[error("the location is not UTF-8")]
    NotUtf8,
    /// The `Location` is not a valid URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The redirect leads from `wss` to `ws`.
    #[error("it downgrades from wss to ws")]
    Downgrade,
}

/// A proxy did not open a tunnel to the server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The connection to the proxy failed, or the proxy closed it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An HTTP proxy responded with a status other than 2xx, such as 407 if it requires other credentials.
    #[error("the proxy refused the tunnel with status {0}")]
    Refused(StatusCode),
    /// An HTTP proxy requires an authentication scheme that is not supported, such as Digest, NTLM or
    /// Negotiate. The text lists the schemes that the proxy supports.
    #[error("the proxy requires {} authentication, but only Basic is supported", Short(.0))]
    UnsupportedAuthentication(String),
    /// The response of an HTTP proxy is invalid.
    #[error("the response of the proxy is invalid")]
    Response(#[from] ResponseError),
    /// An HTTP proxy sent data before the client used the tunnel. The server cannot have sent it.
    #[error("the proxy sent data before the tunnel was used")]
    UnexpectedData,
    /// The response is not SOCKS5.
    #[error("the response is not SOCKS5")]
    NotSocks5,
    /// A SOCKS5 proxy rejected the credentials or requires an authentication method that is not supported, or
    /// a credential is longer than 255 bytes.
    #[error("the proxy did not accept the credentials")]
    Authentication,
    /// A SOCKS5 proxy refused the tunnel or could not connect to the server. The number is its reply (RFC 1928 section
    /// 6).
    #[error("the proxy refused the tunnel with reply {reply}: {meaning}", reply = .0, meaning = socks5_reply(*.0))]
    Socks5Refused(u8),
    /// The response is not SOCKS4.
    #[error("the response is not SOCKS4")]
    NotSocks4,
    /// A SOCKS4 proxy refused the tunnel or could not connect to the server. The number is its reply, 91 to 93.
    #[error("the proxy refused the tunnel with reply {reply}: {meaning}", reply = .0, meaning = socks4_reply(*.0))]
    Socks4Refused(u8),
    /// The host has IPv6 addresses only, which SOCKS4 does not support.
    #[error("SOCKS4 supports IPv4 addresses only, and the host has none")]
    Ipv4Only,
    /// The host name is longer than the 255 bytes that SOCKS5 allows.
    #[error("the host name is too long for SOCKS5")]
    NameTooLong,
}

/// The meaning of a reply of a SOCKS4 proxy.
const fn socks4_reply(reply: u8) -> &'static str {
    match reply {
        91 => "rejected or failed",
        92 => "cannot reach the client's identd",
        93 => "the client's identd reports a different user",
        _ => "unknown reply",
    }
}

/// The meaning of a reply of a SOCKS5 proxy (RFC 1928 section 6).
const fn socks5_reply(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by the proxy's rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown reply",
    }
}

/// A connection attempt failed.
///
/// [`source`](std::error::Error::source) has the cause, which `Display` does not repeat: print the chain to
/// see both. URLs with credentials, the queries and fragments of URLs, and the values of headers are not part of any
/// error. Of a long text that a server or proxy may have sent, `Display` shows the beginning only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is invalid.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A header of the caller's is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The caller's headers or subprotocols do not form a valid request.
    #[error("the request is invalid")]
    Request(#[from] ClientRequestError),
    /// The caller's [`http::Request`] has a method other than `GET` (RFC 6455 section 4.1).
    #[error("the method of the request is {0}, expected GET")]
    Method(Method),
    /// The host name cannot be resolved.
    #[error("cannot resolve {}", Short(.host))]
    #[non_exhaustive]
    Resolve {
        /// The host name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// Connecting failed for every address of the host.
    #[error("cannot connect to {}", Short(.host))]
    #[non_exhaustive]
    Connect {
        /// The host and port.
        host: String,
        /// The error of the attempt that failed last.
        source: io::Error,
    },
    /// The URL of a proxy in the environment is invalid.
    #[error(transparent)]
    ProxyUrl(#[from] ProxyUrlError),
    /// The proxy accepted the connection but did not open a tunnel to the server.
    #[error("the proxy {proxy} did not open a tunnel")]
    #[non_exhaustive]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// Why there is no tunnel.
        source: ProxyError,
    },
    /// The TLS settings cannot be built. Nothing has been sent.
    #[cfg(feature = "tls-core")]
    #[error(transparent)]
    Tls(TlsError),
    /// The TLS handshake failed. For example, the certificate is not trusted, has expired or is for another
    /// name, or the peers support no common version.
    #[error("the TLS handshake with {} failed", Short(.host))]
    #[non_exhaustive]
    TlsHandshake {
        /// The host name.
        host: String,
        /// The error of the TLS implementation. [`io::Error::get_ref`] has the error of rustls, if it is one.
        source: io::Error,
    },
    /// A redirect was not followed, because it leads from `wss` to `ws` or its `Location` is invalid.
    #[error("the redirect to {:?} was not followed", Short(.location))]
    #[non_exhaustive]
    Redirect {
        /// The `Location` without query and fragment, or a placeholder if it may contain a password.
        location: String,
        /// Why the redirect was not followed.
        source: RedirectError,
    },
    /// The transport failed, or ended, during the handshake.
    #[error("the connection failed during the handshake")]
    Io(#[from] io::Error),
    /// The server did not open the WebSocket. The [`Refusal`] has the status, headers and body of its
    /// response.
    #[error("the server refused the upgrade with status {}", .0.status())]
    Refused(Box<Refusal>),
    /// The server's response is invalid.
    #[error("the response of the server is invalid")]
    Response(#[from] ResponseError),
    /// The attempt took longer than the [handshake timeout](crate::Connector::handshake_timeout).
    #[error("connecting took longer than {0:?}")]
    TimedOut(std::time::Duration),
    /// A `wss` URL or an `https` proxy needs TLS, which is not compiled in. Nothing has been sent.
    #[error("wss:// URLs and https:// proxies need TLS, which is not compiled in (feature `tls`)")]
    TlsNotBuiltIn,
    /// [`connect`](crate::connect) was polled outside of a tokio runtime.
    #[error("connecting needs a tokio runtime with time and I/O enabled")]
    NoRuntime,
    /// The HTTP/2 connection or the stream failed before the WebSocket was open. For example, the server reset the
    /// stream, or sent GOAWAY.
    #[cfg(feature = "http2")]
    #[error("the HTTP/2 connection or stream failed during the handshake")]
    Http2(#[source] hyper::Error),
    /// The server did not choose HTTP/2 by ALPN. Connect by HTTP/1.1 instead.
    #[cfg(feature = "http2")]
    #[error("the server did not choose HTTP/2 in the TLS handshake (ALPN protocol h2)")]
    Http2NotNegotiated,
    /// The server of an HTTP/2 connection does not offer extended CONNECT, which WebSockets need (RFC 8441
    /// section 3). No request has been sent.
    #[cfg(feature = "http2")]
    #[error("the server does not offer WebSockets over HTTP/2 (SETTINGS_ENABLE_CONNECT_PROTOCOL)")]
    ExtendedConnectNotOffered,
    /// The operating system provides no randomness for mask keys.
    #[error("the operating system provides no randomness")]
    Randomness(#[source] io::Error),
}

impl ConnectError {
    /// Whether a later attempt may succeed.
    ///
    /// This is the case for errors of the network, of HTTP/2 and of name resolution, for timeouts, for SOCKS proxies
    /// that could not connect, and for the statuses 408, 425, 429 and 5xx of a server or a proxy. A TLS
    /// handshake that the network interrupted is temporary; one that failed by its content, such as an
    /// invalid certificate, is not.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Io(_) | Self::TimedOut(_) => true,
            // Not the replies that mean that the proxy may not connect, or does not know how to.
            Self::Proxy { source, .. } => match source {
                ProxyError::Io(_) => true,
                ProxyError::Socks4Refused(reply) => !matches!(reply, 92 | 93),
                ProxyError::Socks5Refused(reply) => !matches!(reply, 2 | 7 | 8),
                ProxyError::Refused(status) => is_temporary_status(*status),
                _ => false,
            },
            // rustls reports what a peer sent as invalid data, and an invalid host name as invalid input.
            Self::TlsHandshake { source, .. } => {
                !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
            }
            Self::Refused(refusal) => is_temporary_status(refusal.status()),
            #[cfg(feature = "http2")]
            Self::Http2(error) => !error.is_user(),
            _ => false,
        }
    }
}

fn is_temporary_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500..=599)
}

#[cfg(test)]
mod tests;
