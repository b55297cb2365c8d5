use std::{fmt, net::SocketAddr, time::Duration};

use http::{HeaderName, HeaderValue, Response, header};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::Instant,
};
use ws_proto::{
    ChaChaMaskSource, Config, Connection, Keepalive, MaskSource,
    handshake::{ClientHandshake, ClientRequest, ResponseError},
};

use crate::{
    WebSocket,
    dial::{Dialler, Resolver},
    error::ConnectError,
    proxy::Proxy,
    redirect::{Carried, is_redirection, next_hop},
    refusal::{Refusal, names},
    response::{client_limits, read_final_response},
    stream::ClientStream,
    url::Target,
};

/// Connects to `url`, such as `ws://127.0.0.1:9001/path`, with the defaults of [`Connector`].
///
/// # Errors
/// [`ConnectError`].
///
/// # Panics
/// As [`Connector::connect`]: in a tokio runtime without time or without I/O.
///
/// # Cancel safety
/// Dropping the future ends the attempt.
pub async fn connect(url: &str) -> Result<WebSocket, ConnectError> {
    Connector::new().connect(url).await
}

/// How to connect. One connector serves any number of connections.
///
/// # Runtime
/// Connecting needs a tokio runtime with time and I/O (`enable_all`), of either kind. What happens otherwise:
///
/// - Outside of a runtime, connecting is a [`ConnectError::NoRuntime`].
/// - In a runtime without time or without I/O, tokio panics when the future is polled, before anything is sent: this cannot
///   be found out beforehand. On a transport of the caller's ([`connect_on`](Self::connect_on)) I/O is not needed.
/// - A runtime that is shut down drops the attempt of a task that it runs: the socket is closed, and the task's `JoinError`
///   says that it was cancelled. An attempt that something else polls, such as `Handle::block_on`, fails with what tokio's
///   sockets and look-ups say then ([`ConnectError::Io`], [`Connect`](ConnectError::Connect) or
///   [`Resolve`](ConnectError::Resolve)). If it waits for a [resolver](Self::resolver) of the caller's, tokio's timer panics.
#[derive(Clone)]
#[must_use]
pub struct Connector {
    protocol: Config,
    carried: Carried,
    safe_headers: Vec<HeaderName>,
    handshake_timeout: Duration,
    redirects: u8,
    dialler: Dialler,
    mask_seed: Option<[u8; 32]>,
}

/// Without the values of headers, the subprotocols, which may be tokens, and the seed.
impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("protocol", &self.protocol)
            .field("headers", &names(&self.carried.headers))
            .field("safe_headers", &self.safe_headers)
            .field("subprotocols", &self.carried.subprotocols.len())
            .field("handshake_timeout", &self.handshake_timeout)
            .field("redirects", &self.redirects)
            .field("dialler", &self.dialler)
            .field("has_mask_seed", &self.mask_seed.is_some())
            .finish()
    }
}

/// A connection, and the response that opened it.
pub struct Connected<S = ClientStream> {
    /// The connection.
    pub ws: ws_tokio::WebSocket<S>,
    /// The 101 response's head.
    pub response: Response<()>,
}

/// Without the values of headers, which may be cookies.
impl<S> fmt::Debug for Connected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connected")
            .field("ws", &self.ws)
            .field("status", &self.response.status())
            .field("headers", &names(self.response.headers()))
            .finish()
    }
}

impl Default for Connector {
    fn default() -> Self {
        let mut protocol = Config::default();
        protocol.limits = client_limits();
        Self {
            protocol,
            carried: Carried::default(),
            safe_headers: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            redirects: 0,
            dialler: Dialler::default(),
            mask_seed: None,
        }
    }
}

impl Connector {
    /// The defaults: 16 MiB per message, 64 KiB and 256 lines for a response's head, 10 s from the first look-up to the
    /// 101, keepalive after 30 s of silence.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header to the request. Those of the handshake itself are refused by [`connect`](Self::connect).
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.carried.headers.append(name, value);
        self
    }

    /// Offers a subprotocol; the first one offered is preferred. The server's choice is checked, and stands in
    /// [`WebSocket::subprotocol`](ws_tokio::WebSocket::subprotocol).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.carried.subprotocols.push(name.into());
        self
    }

    /// Most payload bytes of a message. Default 16 MiB.
    pub const fn max_message_size(mut self, bytes: usize) -> Self {
        self.protocol.limits.max_message_size = bytes;
        self
    }

    /// Longest time for all of it: names, connection, proxy, TLS, request and response, redirections. Default 10 s.
    pub const fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Longest time for closing, from the moment at which our Close is written, or from a failure. What was accepted before
    /// the Close goes out first, for as long as the peer takes it ([`write_timeout`](Config::write_timeout)).
    /// Default 5 s.
    pub const fn close_timeout(mut self, timeout: Duration) -> Self {
        self.protocol.close_timeout = timeout;
        self
    }

    /// Finds a server that vanished. Default: ping after 30 s of silence, give up 30 s later.
    pub const fn keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.protocol.keepalive = keepalive;
        self
    }

    /// TCP_NODELAY. Default: on.
    pub const fn tcp_nodelay(mut self, on: bool) -> Self {
        self.dialler.nodelay = on;
        self
    }

    /// Follows so many redirections, 5 at most, and never from `wss` to `ws`. Once they lead to another origin (scheme, host
    /// and port), the request has no subprotocols and no headers of the caller's any more, except those that are
    /// [marked as safe](Self::carry_to_other_origins). Default 0: a redirection is a [`ConnectError::Refused`].
    pub const fn redirects(mut self, most: u8) -> Self {
        self.redirects = if most > 5 { 5 } else { most };
        self
    }

    /// Marks the headers of this name as safe for other origins: redirections carry them there. `Authorization`, `Cookie`
    /// and `Proxy-Authorization` never go along, marked or not. Default: none do.
    pub fn carry_to_other_origins(mut self, name: HeaderName) -> Self {
        self.safe_headers.push(name);
        self
    }

    /// Whether to go through a proxy. Default: as the environment says.
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.dialler.proxy = proxy;
        self
    }

    /// Looks names up in another way than the operating system's: `resolve` gets host and port. It is asked for addresses,
    /// too; an IPv6 address has its zone behind a `%`, if the URL has one.
    pub fn resolver<F, Fut>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.dialler.resolver = Resolver::new(resolve);
        self
    }

    /// Settings for `wss`. Default: [`Tls::shared`](crate::Tls::shared).
    #[cfg(feature = "tls-core")]
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.dialler.tls = Some(tls);
        self
    }

    /// TLS settings for a proxy with `https`. Default: the same as for servers, with their client certificate.
    #[cfg(feature = "tls-core")]
    pub fn proxy_tls(mut self, tls: crate::Tls) -> Self {
        self.dialler.proxy_tls = Some(tls);
        self
    }

    /// Offers to compress messages (RFC 7692): `Some(DeflateConfig::client())`. Default: no.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, deflate: Option<ws_proto::DeflateConfig>) -> Self {
        self.protocol.deflate = deflate;
        self
    }

    /// Changes the protocol's settings that have no method of their own.
    pub fn protocol(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.protocol);
        self
    }

    /// Seeds the mask keys and the nonce, for tests that must repeat. Never use one seed for two connections whose
    /// peers do not trust each other. Default: from the operating system, for each connection anew.
    pub const fn mask_seed(mut self, seed: [u8; 32]) -> Self {
        self.mask_seed = Some(seed);
        self
    }

    /// Connects to a `ws`, `wss` or `ws+unix:/path/of/socket:/path` URL. User name and password in it become basic
    /// authentication, unless there is an `Authorization` header.
    ///
    /// The URL is read as browsers do it (the URL standard of the WHATWG): what must not stand in a path or a query is
    /// percent-encoded, `127.1` and `0x7f000001` are the address 127.0.0.1, a host that ends in a number and is no address
    /// is an error. An international name, such as `bücher.example`, needs the feature `idna`. Stricter than in a browser:
    /// tabs and line breaks, and a backslash before the path, are errors.
    ///
    /// An IPv6 address may have a zone (RFC 6874): with `[fe80::1%25eth0]` the connection goes through that interface. A
    /// number stands for an interface, too. The `Host` header is without it.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Panics
    /// In a tokio runtime without time or without I/O; see [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt.
    pub async fn connect(&self, url: &str) -> Result<WebSocket, ConnectError> {
        self.open(url).await.map(|connected| connected.ws)
    }

    /// As [`connect`](Self::connect), with the response's head.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    /// As [`connect`](Self::connect).
    pub async fn open(&self, url: &str) -> Result<Connected, ConnectError> {
        check_runtime()?;
        let deadline = ws_tokio::internal::deadline_in(self.handshake_timeout);
        let (mut target, mut carried) = (Target::parse(url)?, self.carried.clone());
        let mut left = self.redirects;
        loop {
            let dialling = self.dialler.dial(&target);
            let attempt = self.handshake(&target, &carried, deadline, left > 0, dialling).await;
            let refusal = match attempt {
                Err(ConnectError::Refused(refusal)) if left > 0 => refusal,
                attempt => {
                    let watched = |Connected { ws, response }| Connected {
                        ws: ws.with_send_queue(ClientStream::send_queue),
                        response,
                    };
                    return attempt.map(watched);
                }
            };
            let Some(next) = next_hop(&target, &refusal, &mut carried, &self.safe_headers)? else {
                return Err(ConnectError::Refused(refusal));
            };
            target = next;
            left -= 1;
        }
    }

    /// Does the handshake for `url` on a transport of the caller's.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    /// In a tokio runtime without time; see [`Connector`].
    ///
    /// # Cancel safety
    /// Dropping the future drops the transport.
    pub async fn connect_on<S>(&self, url: &str, io: S) -> Result<Connected<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        check_runtime()?;
        let deadline = ws_tokio::internal::deadline_in(self.handshake_timeout);
        self.handshake(&Target::parse(url)?, &self.carried, deadline, false, async { Ok(io) }).await
    }

    /// The handshake, on the transport that `dialling` makes. What is wrong on this side is found before that. `follows`:
    /// a redirection would be followed.
    async fn handshake<S>(
        &self,
        target: &Target,
        carried: &Carried,
        deadline: Instant,
        follows: bool,
        dialling: impl Future<Output = Result<S, ConnectError>>,
    ) -> Result<Connected<S>, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.protocol.clone().build()?;
        let mut masks = self.mask_source()?;
        let (handshake, request) =
            ClientHandshake::new(&Self::request(target, carried, &config), masks.nonce())?;
        let attempt = async {
            let mut io = dialling.await?;
            io.write_all(&request).await?;
            io.flush().await?;
            let (response, rest) = read_final_response::<_, ConnectError>(&mut io, &config.limits).await?;
            Ok((io, response, rest))
        };
        let in_time = tokio::time::timeout_at(deadline, attempt).await;
        let (mut io, response, rest) =
            in_time.unwrap_or(Err(ConnectError::TimedOut(self.handshake_timeout)))?;
        match handshake.finish(&response) {
            Ok(accepted) => {
                let connection = Connection::client(config, masks, Instant::now().into_std())
                    .with_extensions(accepted.extensions);
                let ws = ws_tokio::WebSocket::new(io, connection)
                    .with_received(&rest)
                    .with_subprotocol(accepted.subprotocol);
                Ok(Connected { ws, response })
            }
            Err(ResponseError::Refused(_)) if follows && is_redirection(&response) => {
                // Its body is nobody's concern.
                Err(ConnectError::Refused(Box::new(Refusal::without_body(response))))
            }
            Err(ResponseError::Refused(_)) => {
                let patience = deadline.saturating_duration_since(Instant::now());
                let refusal = Refusal::read(&mut io, response, &rest, patience).await;
                Err(ConnectError::Refused(Box::new(refusal)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn request(target: &Target, carried: &Carried, config: &Config) -> ClientRequest {
        let mut request = ClientRequest::new(&target.host_header, &target.path).with_extensions(config);
        request.headers.clone_from(&carried.headers);
        if let Some(authorization) = &target.authorization {
            request.headers.entry(header::AUTHORIZATION).or_insert_with(|| authorization.clone());
        }
        request.subprotocols.clone_from(&carried.subprotocols);
        request
    }

    fn mask_source(&self) -> Result<Box<ChaChaMaskSource>, ConnectError> {
        let mut seed = self.mask_seed.unwrap_or_default();
        if self.mask_seed.is_none() {
            getrandom::fill(&mut seed).map_err(|error| ConnectError::Randomness(error.to_string()))?;
        }
        Ok(Box::new(ChaChaMaskSource::from_seed(seed)))
    }
}

/// tokio would panic where it is asked for a timer. That a runtime has no timers, or no I/O, it does not tell beforehand.
fn check_runtime() -> Result<(), ConnectError> {
    tokio::runtime::Handle::try_current().map(drop).map_err(|_| ConnectError::NoRuntime)
}
