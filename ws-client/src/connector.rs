//! The settings of a client, and the methods that connect.

mod handshake;

use std::{fmt, net::SocketAddr, time::Duration};

use http::{HeaderName, HeaderValue, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{Config, Keepalive};

use crate::{
    WebSocket,
    dial::{Dialler, Resolver},
    error::ConnectError,
    proxy::Proxy,
    redirect::{RequestOptions, redirect_target},
    refusal::header_names,
    response::client_limits,
    stream::ClientStream,
    url::Target,
};

/// Connects to `url`, such as `ws://127.0.0.1:9001/path`, with the defaults of [`Connector`].
///
/// # Errors
/// [`ConnectError`] says why the attempt failed.
///
/// # Panics
/// In a tokio runtime without time or without I/O, as [`Connector::connect`] does.
///
/// # Cancel safety
/// Dropping the future cancels the attempt.
pub async fn connect(url: &str) -> Result<WebSocket<ClientStream>, ConnectError> {
    Connector::new().connect(url).await
}

/// The settings for connecting. One connector can open any number of connections.
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
#[derive(Clone)]
#[must_use]
pub struct Connector {
    protocol: Config,
    request_options: RequestOptions,
    safe_headers: Vec<HeaderName>,
    handshake_timeout: Duration,
    redirects: u8,
    dialler: Dialler,
    mask_seed: Option<[u8; 32]>,
}

/// Omits the values of headers, the subprotocols, which may be tokens, and the seed.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("protocol", &self.protocol)
            .field("headers", &header_names(&self.request_options.headers))
            .field("safe_headers", &self.safe_headers)
            .field("subprotocols", &self.request_options.subprotocols.len())
            .field("handshake_timeout", &self.handshake_timeout)
            .field("redirects", &self.redirects)
            .field("dialler", &self.dialler)
            .field("has_mask_seed", &self.mask_seed.is_some())
            .finish()
    }
}

/// A connection and the response that opened it.
pub struct Connected<S = ClientStream> {
    /// The connection.
    pub ws: WebSocket<S>,
    /// The head of the 101 response.
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

impl Default for Connector {
    fn default() -> Self {
        let mut protocol = Config::default();
        protocol.limits = client_limits();
        Self {
            protocol,
            request_options: RequestOptions::default(),
            safe_headers: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            redirects: 0,
            dialler: Dialler::default(),
            mask_seed: None,
        }
    }
}

impl Connector {
    /// The default settings: messages of at most 16 MiB, a response head of at most 64 KiB and 256 lines, a
    /// handshake timeout of 10 s, and a keepalive ping after 30 s of silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header to the request. Headers of the opening handshake itself make [`connect`](Self::connect)
    /// fail with [`ConnectError::Request`].
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.request_options.headers.append(name, value);
        self
    }

    /// Offers a subprotocol. Offers are sent in order of preference, the first one most preferred. A response
    /// that selects a subprotocol that was not offered is an error.
    /// [`WebSocket::subprotocol`](ws_tokio::WebSocket::subprotocol) returns the server's choice.
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.request_options.subprotocols.push(name.into());
        self
    }

    /// Sets the largest payload of a received message, in bytes. Default: 16 MiB.
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.protocol.limits.max_message_size = bytes;
        self
    }

    /// Sets the timeout for a whole attempt: name resolution, connection, proxy, TLS, request, response and
    /// redirects. Default: 10 s.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets the timeout for closing. It starts when this side's Close frame has been written, or with a
    /// failure of the connection. Messages that were accepted before the Close are sent first, governed by
    /// [`write_timeout`](Config::write_timeout). Default: 5 s.
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.protocol.close_timeout = timeout;
        self
    }

    /// Sets the keepalive, which detects a server that no longer responds. `None` turns it off. Default: a
    /// ping after 30 s of silence, and the connection ends if there is still silence 30 s later.
    pub const fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.protocol.keepalive = keepalive;
        self
    }

    /// Sets `TCP_NODELAY`. Default: on.
    pub const fn tcp_nodelay(mut self, on: bool) -> Self {
        self.dialler.nodelay = on;
        self
    }

    /// Sets how many redirects an attempt follows, at most 5. A redirect from `wss` to `ws` is never
    /// followed.
    ///
    /// After a redirect to another origin (scheme, host and port), requests omit the caller's subprotocols
    /// and headers, except for headers that are [marked as safe](Self::carry_to_other_origins). Default: 0,
    /// so that a redirect is a [`ConnectError::Refused`].
    pub const fn redirects(mut self, max: u8) -> Self {
        self.redirects = if max > 5 { 5 } else { max };
        self
    }

    /// Marks the headers of this name as safe to send to another origin after a redirect. `Authorization`,
    /// `Cookie` and `Proxy-Authorization` are never sent there, even if they are marked. Default: no header
    /// is safe.
    pub fn carry_to_other_origins(mut self, name: HeaderName) -> Self {
        self.safe_headers.push(name);
        self
    }

    /// Sets the proxy. Default: [`Proxy::Environment`].
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.dialler.proxy = proxy;
        self
    }

    /// Sets a resolver that replaces the operating system's. `resolve` is called with a host and a port. The
    /// host may also be an address. An IPv6 address with a zone is followed by `%` and the zone.
    pub fn resolver<F, Fut>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.dialler.resolver = Resolver::new(resolve);
        self
    }

    /// Sets the TLS settings for `wss`. Default: [`Tls::shared`](crate::Tls::shared).
    #[cfg(feature = "tls-core")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.dialler.tls = Some(tls);
        self
    }

    /// Sets the TLS settings for `https` proxies. Default: the same as for servers, including the client
    /// certificate.
    #[cfg(feature = "tls-core")]
    pub fn proxy_tls(mut self, tls: crate::Tls) -> Self {
        self.dialler.proxy_tls = Some(tls);
        self
    }

    /// Offers permessage-deflate (RFC 7692), for example with `Some(DeflateConfig::client())`. Default:
    /// `None`.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Option<ws_proto::deflate::DeflateConfig>) -> Self {
        self.protocol.deflate = deflate;
        self
    }

    /// Changes protocol settings that have no method here.
    pub fn protocol(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.protocol);
        self
    }

    /// Seeds the mask keys and the nonce, for reproducible tests. Never use the same seed for connections
    /// whose peers do not trust each other. Default: a new seed from the operating system for each
    /// connection.
    pub const fn mask_seed(mut self, seed: [u8; 32]) -> Self {
        self.mask_seed = Some(seed);
        self
    }

    /// Connects to a `ws`, `wss` or `ws+unix:/path/of/socket:/path` URL. A user name and password in the URL
    /// become Basic authentication, unless the caller added an `Authorization` header.
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
    /// [`ConnectError`] says why the attempt failed.
    ///
    /// # Panics
    /// In a tokio runtime without time or without I/O. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the attempt.
    pub async fn connect(&self, url: &str) -> Result<WebSocket<ClientStream>, ConnectError> {
        self.open(url).await.map(|connected| connected.ws)
    }

    /// The same as [`connect`](Self::connect), but also returns the head of the response.
    ///
    /// # Errors
    /// The same as [`connect`](Self::connect).
    ///
    /// # Panics
    /// The same as [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// The same as [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<Connected, ConnectError> {
        check_runtime()?;
        let deadline = ws_tokio::internal::deadline_in(self.handshake_timeout);
        let (mut target, mut request_options) = (Target::parse(url)?, self.request_options.clone());
        let mut left = self.redirects;
        loop {
            let dialling = self.dialler.dial(&target);
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
            let Some(next) = redirect_target(&target, &refusal, &mut request_options, &self.safe_headers)?
            else {
                return Err(ConnectError::Refused(refusal));
            };
            target = next;
            left -= 1;
        }
    }

    /// Performs the opening handshake for `url` on a transport that the caller provides.
    ///
    /// # Errors
    /// The same as [`connect`](Self::connect).
    ///
    /// # Panics
    /// In a tokio runtime without time. See [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport.
    pub async fn connect_on<S>(&self, url: &str, io: S) -> Result<Connected<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        check_runtime()?;
        let deadline = ws_tokio::internal::deadline_in(self.handshake_timeout);
        self.handshake(&Target::parse(url)?, &self.request_options, deadline, false, async { Ok(io) }).await
    }
}

/// Reports a missing runtime as an error, where tokio's timer would panic. Whether a runtime has timers and
/// I/O cannot be checked.
fn check_runtime() -> Result<(), ConnectError> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| ConnectError::NoRuntime)
}
