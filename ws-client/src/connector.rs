//! A client's settings, and the methods that connect.

mod handshake;
#[cfg(feature = "http2")]
mod http2;
mod settings;

use std::{fmt, sync::Arc};

use http::Response;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use crate::{
    WebSocket,
    error::ConnectError,
    redirect::redirect_target,
    refusal::header_names,
    request::{IntoClientRequest, RequestOptions},
    stream::ClientStream,
    url::Target,
};
use settings::Settings;

/// Connects to a URL, such as `ws://127.0.0.1:9001/path`, or by an [`http::Request`] with headers, with the
/// defaults of [`Connector`].
///
/// # Errors
/// The same as [`Connector::connect`]: a [`ConnectError`].
///
/// # Panics
/// In a tokio runtime without time or without I/O, as [`Connector::connect`] does.
///
/// # Cancel safety
/// Dropping the future cancels the attempt.
#[doc(alias = "connect_async")]
pub async fn connect(request: impl IntoClientRequest) -> Result<WebSocket<ClientStream>, ConnectError> {
    Connector::new().connect(request).await
}

/// The settings for connecting. One connector can open any number of connections. A clone is cheap: it shares
/// the settings until one of the two is changed.
///
/// The setters do not check their values. Connecting returns an error that names a bad setting and its value,
/// before anything is sent.
///
/// # Runtime
/// Connecting needs a tokio runtime, of either flavour, with time and I/O enabled (`enable_all`):
///
/// - Outside of a runtime, connecting fails with [`ConnectError::NoRuntime`].
/// - In a runtime without time or without I/O, tokio panics when the future is polled, before anything is
///   sent. tokio provides no way to check this in advance. [`connect_on`](Self::connect_on) does not need
///   I/O.
/// - When a runtime shuts down, it drops the attempts of its tasks. Their sockets are closed, and each task's
///   `JoinError` says that the task was cancelled. An attempt that is polled from outside the runtime's
///   tasks, such as by `Handle::block_on`, fails with the error of tokio's sockets or name resolution
///   ([`ConnectError::Io`], [`Connect`](ConnectError::Connect) or [`Resolve`](ConnectError::Resolve)). If it
///   waits for a custom [resolver](Self::resolver), tokio's timer panics.
#[derive(Clone, Default)]
#[must_use]
pub struct Connector(Arc<Settings>);

/// Omits the values of headers, the subprotocols, which may be tokens, and the seed.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.0).finish()
    }
}

/// A connection and the response that opened it.
#[non_exhaustive]
pub struct Connected<S = ClientStream> {
    /// The connection.
    pub ws: WebSocket<S>,
    /// The head of the response: 101, or 200 over HTTP/2.
    pub response: Response<()>,
}

/// Omits the values of headers, which may be cookies.
impl<S> fmt::Debug for Connected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("ws", &self.ws)
            .field("status", &self.response.status())
            .field("headers", &header_names(self.response.headers()))
            .finish()
    }
}

/// An attempt to connect, before anything is sent.
struct Attempt {
    target: Target,
    request_options: RequestOptions,
    deadline: Instant,
}

impl Connector {
    /// Connects to a `ws`, `wss` or `ws+unix:/path/of/socket:/path` URL, or by an [`http::Request`] with
    /// headers: see [`IntoClientRequest`]. A user name and password in the URL become Basic authentication,
    /// unless the caller added an `Authorization` header.
    ///
    /// The URL is parsed as in a browser (the WHATWG URL standard). Characters that are not allowed in a path
    /// or a query are percent-encoded. `127.1` and `0x7f000001` are the address 127.0.0.1. A host that ends
    /// in a number but is not an IPv4 address is an error. International names, such as `bücher.example`,
    /// require the feature `idna`. Unlike in a browser, tabs, line breaks, and a backslash before the path
    /// are errors.
    ///
    /// An IPv6 address may have a zone (RFC 6874): `[fe80::1%25eth0]` connects through the interface `eth0`.
    /// The zone may also be the index of the interface. It is not part of the `Host` header.
    ///
    /// # Errors
    /// [`ConnectError`] says why the attempt failed. [`ConnectError::is_temporary`] says whether a later
    /// attempt may succeed. The most frequent ones:
    ///
    /// - [`Url`](ConnectError::Url), [`Config`](ConnectError::Config), [`Header`](ConnectError::Header) and
    ///   [`Request`](ConnectError::Request): the caller's URL, settings or headers are invalid;
    /// - [`Resolve`](ConnectError::Resolve), [`Connect`](ConnectError::Connect) and [`Io`](ConnectError::Io):
    ///   the name or the network;
    /// - [`TlsHandshake`](ConnectError::TlsHandshake): for example, the certificate is not trusted;
    /// - [`Refused`](ConnectError::Refused): the server answered with another status than 101. The error has
    ///   the status, the headers and the body;
    /// - [`TimedOut`](ConnectError::TimedOut): [`handshake_timeout`](Self::handshake_timeout) passed.
    ///
    /// # Panics
    /// In a tokio runtime without time or without I/O. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the attempt.
    pub async fn connect(
        &self,
        request: impl IntoClientRequest,
    ) -> Result<WebSocket<ClientStream>, ConnectError> {
        self.open(request).await.map(|connected| connected.ws)
    }

    /// The same as [`connect`](Self::connect), but also returns the head of the response.
    ///
    /// # Errors
    /// The same as [`connect`](Self::connect): a [`ConnectError`].
    ///
    /// # Panics
    /// The same as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// The same as [`connect`](Self::connect).
    pub async fn open(&self, request: impl IntoClientRequest) -> Result<Connected, ConnectError> {
        let Attempt { mut target, mut request_options, deadline } = self.prepare(request)?;
        let mut left = self.0.redirects;
        loop {
            let dialling = self.0.dialler.dial(&target);
            let attempt = self.handshake(&target, &request_options, deadline, left > 0, dialling).await;
            let refusal = match attempt {
                Err(ConnectError::Refused(refusal)) if left > 0 => refusal,
                attempt => {
                    let with_send_queue = |Connected { ws, response }| Connected {
                        ws: ws.with_send_queue(ClientStream::send_queue),
                        response,
                    };
                    return attempt.map(with_send_queue);
                }
            };
            let Some(next) = redirect_target(&target, &refusal, &mut request_options, &self.0.safe_headers)?
            else {
                return Err(ConnectError::Refused(refusal));
            };
            target = next;
            left -= 1;
        }
    }

    /// Performs the opening handshake on a transport that the caller provides, without TLS: the URL names the
    /// host and the path of the request, and its scheme makes no difference. Redirects are not followed.
    ///
    /// # Errors
    /// The same as [`connect`](Self::connect): a [`ConnectError`].
    ///
    /// # Panics
    /// In a tokio runtime without time. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport.
    pub async fn connect_on<S>(
        &self,
        request: impl IntoClientRequest,
        io: S,
    ) -> Result<Connected<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Attempt { target, request_options, deadline } = self.prepare(request)?;
        self.handshake(&target, &request_options, deadline, false, async { Ok(io) }).await
    }

    /// Performs a TLS handshake and then the opening handshake on a transport that the caller provides. TLS
    /// runs with the settings of [`tls`](Self::tls) and the host of the URL, whatever the scheme of the URL.
    /// Redirects are not followed.
    ///
    /// # Errors
    /// The same as [`connect`](Self::connect): a [`ConnectError`]. A `ws+unix` URL is
    /// [`UrlError::NoHost`](crate::error::UrlError::NoHost), because a certificate needs a name.
    ///
    /// # Panics
    /// In a tokio runtime without time. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport.
    #[cfg(feature = "tls-core")]
    pub async fn connect_tls_on<S>(
        &self,
        request: impl IntoClientRequest,
        io: S,
    ) -> Result<Connected<crate::tls::TlsStream<S>>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Attempt { target, request_options, deadline } = self.prepare(request)?;
        let host = target.host()?;
        let tls = self.0.dialler.server_tls()?;
        let dialling = crate::dial::tls_handshake(&tls, host, io);
        self.handshake(&target, &request_options, deadline, false, dialling).await
    }

    /// Checks the runtime, the settings and the request. The timeout begins here.
    fn prepare(&self, request: impl IntoClientRequest) -> Result<Attempt, ConnectError> {
        check_runtime()?;
        self.0.check()?;
        let deadline = ws_tokio::internal::deadline_in(self.0.handshake_timeout);
        let (url, rest) = request.into_url_and_rest();
        let target = Target::parse(&url)?;
        let mut request_options = self.0.request_options.clone();
        request_options.apply(rest)?;
        Ok(Attempt { target, request_options, deadline })
    }
}

/// Reports a missing runtime as an error, where tokio's timer would panic. Whether a runtime has timers and
/// I/O cannot be checked.
fn check_runtime() -> Result<(), ConnectError> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| ConnectError::NoRuntime)
}
