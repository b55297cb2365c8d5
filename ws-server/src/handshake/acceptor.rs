//! Accepting on any stream, for servers that have a listener of their own or take over from an HTTP server.

use std::{fmt, sync::Arc, time::Duration};

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use ws_proto::{
    Connection, ValidConfig,
    handshake::{OriginPolicy, Rejection, ServerHandshake},
};
use ws_tokio::{WebSocket, internal::guarded};

use crate::{admission::Request, net::runtime, options::RequestHook};

use super::{
    decide::{accept_upgrade, check, encode},
    error::AcceptError,
    read::read_request,
    request_timeout,
    respond::send_response,
};

/// Accepts WebSocket connections on any stream that implements `AsyncRead + AsyncWrite`. [`accept`](crate::accept()) is
/// the same with the defaults.
///
/// ```no_run
/// use ws_server::{Acceptor, Config, OriginPolicy, protocol::tcp_send_queue};
///
/// # async fn example(listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::default();
/// config.limits.max_message_size = 64 * 1024;
/// let acceptor = Acceptor::new().config(config.validate()?).origin(OriginPolicy::Any);
/// loop {
///     let (stream, _addr) = listener.accept().await?;
///     let acceptor = acceptor.clone();
///     tokio::spawn(async move {
///         let Ok(ws) = acceptor.accept(stream).await else { return };
///         let mut ws = ws.with_send_queue(tcp_send_queue);
///         while let Some(message) = ws.recv().await {
///             if ws.send(message).await.is_err() {
///                 break;
///             }
///         }
///     });
/// }
/// # }
/// ```
///
/// For TLS, see [`Tls::accept`](crate::Tls::accept).
///
/// The task that polls the [`WebSocket`] drives its connection. [`Server`](crate::Server) adds limits over all
/// connections, one timer wheel and graceful shutdown.
///
/// An acceptor does not know the type of its streams, so it does not see how much of a TCP stream the peer has
/// acknowledged. Call [`WebSocket::with_send_queue`], so that a peer that reads slowly is not mistaken for one that
/// does not read.
///
/// An acceptor needs a tokio runtime with timers. Without one, [`accept`](Self::accept) and
/// [`read_request`](Self::read_request) read nothing and return
/// [`io::ErrorKind::Unsupported`](std::io::ErrorKind::Unsupported).
#[derive(Clone)]
pub struct Acceptor {
    config: ValidConfig,
    origin: OriginPolicy,
    over_tls: bool,
    timeout: Duration,
    on_request: Option<RequestHook>,
}

/// A request that waits for a decision, from [`Acceptor::read_request`]. There is no deadline for it.
pub struct PendingUpgrade<S> {
    io: S,
    request: Request,
    handshake: ServerHandshake,
    /// Bytes that were read behind the request.
    received: Vec<u8>,
    config: ValidConfig,
    timeout: Duration,
}

impl Acceptor {
    /// Creates an acceptor with the default settings: the default [`Config`](ws_proto::Config), web pages of the same
    /// host only, no TLS, and 10 s for the request.
    #[must_use]
    pub fn new() -> Self {
        Self {
            config: ValidConfig::default(),
            origin: OriginPolicy::SameHost,
            over_tls: false,
            timeout: Duration::from_secs(10),
            on_request: None,
        }
    }

    /// Sets the protocol settings, from [`Config::validate`](ws_proto::Config::validate). All connections share the
    /// memory budget that it may have.
    #[must_use]
    pub fn config(mut self, config: ValidConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the origin policy. Default: [`OriginPolicy::SameHost`].
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// Sets whether the streams carry TLS. With TLS, the same-host policy accepts `https` origins only; without it,
    /// both `http` and `https`. Default: false.
    #[must_use]
    pub const fn over_tls(mut self, yes: bool) -> Self {
        self.over_tls = yes;
        self
    }

    /// Sets the deadline for the request, and for the peer to take the 101 response. A rejection is written as long as
    /// the peer takes some of it within this time. Default: 10 s.
    ///
    /// A request of which only a part has arrived by the deadline is answered with 408. A peer that has sent nothing
    /// gets no answer.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets a function that is called with each request before it is accepted. It can authenticate, choose a
    /// subprotocol, add response headers, or reject. If it panics, the request is answered with 500.
    ///
    /// For a decision that has to wait, use [`read_request`](Self::read_request). The [`WebSocket`] does not have the
    /// request: to keep a value of it, such as the user, use `read_request` too.
    #[must_use]
    pub fn on_request(
        mut self,
        hook: impl Fn(&mut Request) -> Result<(), Rejection> + Send + Sync + 'static,
    ) -> Self {
        self.on_request = Some(Arc::new(hook));
        self
    }

    /// Reads a request and accepts it.
    ///
    /// # Errors
    /// [`AcceptError`]. A bad or rejected request has been answered.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: S,
    ) -> Result<WebSocket<S>, AcceptError> {
        self.read_request(io, Vec::new()).await?.accept().await
    }

    /// Reads a request. `received` holds bytes that the caller has read from the stream before. Then
    /// [`accept`](PendingUpgrade::accept) or [`reject`](PendingUpgrade::reject) it; there is no deadline for that. The
    /// function of [`on_request`](Self::on_request) has been called by then.
    ///
    /// # Errors
    /// [`AcceptError`]. A bad or rejected request has been answered.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream.
    pub async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: S,
        received: Vec<u8>,
    ) -> Result<PendingUpgrade<S>, AcceptError> {
        let pending = self.read_valid_request(io, received).await?;
        match &self.on_request {
            Some(hook) => pending.ask(|request| hook(request)).await,
            None => Ok(pending),
        }
    }

    /// Reads a request and checks it without asking the application.
    async fn read_valid_request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut io: S,
        mut received: Vec<u8>,
    ) -> Result<PendingUpgrade<S>, AcceptError> {
        runtime::check()?;
        let reading = read_request(&mut io, &mut received, &self.config.limits);
        let (request, head_len) = match tokio::time::timeout(self.timeout, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(answer(&mut io, error, &Method::GET, self.timeout).await),
            Err(_elapsed) => {
                if !received.is_empty() {
                    send_response(&mut io, &request_timeout().response, self.timeout, |_| None).await;
                }
                return Err(AcceptError::TimedOut);
            }
        };
        let received = received.split_off(head_len);
        let request = Request::new(request, None);
        let checked = guarded(|| check(&request, &self.origin, self.over_tls));
        let handshake = match checked.unwrap_or(Err(AcceptError::Panicked)) {
            Ok(handshake) => handshake,
            Err(error) => return Err(answer(&mut io, error, request.method(), self.timeout).await),
        };
        let (config, timeout) = (self.config.clone(), self.timeout);
        Ok(PendingUpgrade { io, request, handshake, received, config, timeout })
    }
}

impl Default for Acceptor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("config", &self.config)
            .field("origin", &self.origin)
            .field("over_tls", &self.over_tls)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// Answers a request that failed, and returns the error.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    error: AcceptError,
    method: &Method,
    timeout: Duration,
) -> AcceptError {
    if let Some(response) = error.response(method) {
        send_response(io, &response, timeout, |_| None).await;
    }
    error
}

impl<S: AsyncRead + AsyncWrite + Unpin> PendingUpgrade<S> {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The request, mutably: choose a subprotocol or add response headers.
    pub const fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Asks the application. Answers the request if the application rejects it or panics.
    pub(super) async fn ask(
        mut self,
        hook: impl FnOnce(&mut Request) -> Result<(), Rejection>,
    ) -> Result<Self, AcceptError> {
        let rejection = match guarded(|| hook(&mut self.request)) {
            Ok(Ok(())) => return Ok(self),
            Ok(Err(rejection)) => rejection,
            Err(_panicked) => {
                return Err(answer(&mut self.io, AcceptError::Panicked, &Method::GET, self.timeout).await);
            }
        };
        let status = rejection.response().status();
        send_response(&mut self.io, &encode(rejection).response, self.timeout, |_| None).await;
        Err(AcceptError::Rejected(status))
    }

    /// Sends the 101 response.
    ///
    /// # Errors
    /// [`AcceptError::Io`], [`AcceptError::ResponseParts`] for a header or subprotocol that cannot be sent, or
    /// [`AcceptError::TimedOut`] if the peer does not take the response within the acceptor's
    /// [`timeout`](Acceptor::timeout).
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream. The peer may have received the 101 response.
    pub async fn accept(mut self) -> Result<WebSocket<S>, AcceptError> {
        let (extensions, response) = match accept_upgrade(self.handshake, &self.request, &self.config) {
            Ok(accepted) => accepted,
            Err(error) => return Err(answer(&mut self.io, error, &Method::GET, self.timeout).await),
        };
        let write = async {
            self.io.write_all(&response).await?;
            self.io.flush().await
        };
        tokio::time::timeout(self.timeout, write).await.map_err(|_elapsed| AcceptError::TimedOut)??;
        let now = ws_tokio::internal::now();
        let subprotocol = self.request.subprotocol().map(str::to_owned);
        let connection = Connection::server(self.config, now).with_extensions(extensions);
        let ws = WebSocket::new(self.io, connection);
        Ok(ws.with_received(&self.received).with_subprotocol(subprotocol))
    }

    /// Sends a rejection and closes the stream. That happens when the peer closes, one second after the rejection is
    /// written, or when the peer has taken none of it for the acceptor's [`timeout`](Acceptor::timeout).
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream. The peer may have received a part of the rejection.
    pub async fn reject(mut self, rejection: Rejection) {
        send_response(&mut self.io, &encode(rejection).response, self.timeout, |_| None).await;
    }
}

/// Omits the bytes behind the request.
impl<S> fmt::Debug for PendingUpgrade<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingUpgrade").field("request", &self.request).finish_non_exhaustive()
    }
}
