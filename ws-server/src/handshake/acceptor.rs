//! Accepting on any stream, for servers that have a listener of their own or take over from an HTTP server.

use std::time::Duration;

use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use ws_proto::{
    Connection, ValidConfig,
    handshake::{OriginPolicy, Rejection, ServerHandshake},
};
use ws_tokio::WebSocket;

use crate::{admission::Request, net::runtime};

use super::{
    decide::{accept_upgrade, check},
    error::AcceptError,
    read::read_request,
    respond::send_response,
};

/// Accepts WebSocket connections on any stream that implements `AsyncRead + AsyncWrite`.
///
/// The task that polls the [`WebSocket`] drives its connection. [`Server`](crate::Server) adds limits over all
/// connections, one timer wheel and graceful shutdown.
///
/// An acceptor needs a tokio runtime with timers. Without one, [`accept`](Self::accept) and
/// [`read_request`](Self::read_request) read nothing and return
/// [`io::ErrorKind::Unsupported`](std::io::ErrorKind::Unsupported).
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: ValidConfig,
    origin: OriginPolicy,
    over_tls: bool,
    timeout: Duration,
}

/// A request that waits for a decision. There is no deadline for it.
#[derive(Debug)]
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
    /// Creates an acceptor with these protocol settings ([`Config::validate`](ws_proto::Config::validate)), the same-host origin policy and a
    /// deadline of 10 s for the request.
    #[must_use]
    pub const fn new(config: ValidConfig) -> Self {
        Self { config, origin: OriginPolicy::SameHost, over_tls: false, timeout: Duration::from_secs(10) }
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

    /// Sets the deadline for the request. A rejection is written as long as the peer takes some of it within this time.
    /// Default: 10 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads a request and accepts it.
    ///
    /// # Errors
    /// [`AcceptError`]. A bad request has been answered.
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
    /// [`accept`](PendingUpgrade::accept) or [`reject`](PendingUpgrade::reject) it; there is no deadline for that.
    ///
    /// # Errors
    /// [`AcceptError`]. A bad request has been answered.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream.
    pub async fn read_request<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut io: S,
        received: Vec<u8>,
    ) -> Result<PendingUpgrade<S>, AcceptError> {
        runtime::check()?;
        let mut received = received;
        let reading = read_request(&mut io, &mut received, &self.config.limits);
        let (request, head_len) = match tokio::time::timeout(self.timeout, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(error)) => return Err(answer(&mut io, error, &Method::GET, self.timeout).await),
            Err(_elapsed) => return Err(AcceptError::TimedOut),
        };
        let received = received.split_off(head_len);
        let request = Request::new(request, None);
        let handshake = match check(&request, &self.origin, self.over_tls) {
            Ok(handshake) => handshake,
            Err(error) => return Err(answer(&mut io, error, request.method(), self.timeout).await),
        };
        let (config, timeout) = (self.config.clone(), self.timeout);
        Ok(PendingUpgrade { io, request, handshake, received, config, timeout })
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

    /// Sends the 101 response.
    ///
    /// # Errors
    /// [`AcceptError::Io`], or [`AcceptError::ResponseParts`] for a header or subprotocol that cannot be sent.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream. The peer may have received the 101 response.
    pub async fn accept(mut self) -> Result<WebSocket<S>, AcceptError> {
        let (extensions, response) = match accept_upgrade(self.handshake, &self.request, &self.config) {
            Ok(accepted) => accepted,
            Err(error) => return Err(answer(&mut self.io, error, &Method::GET, self.timeout).await),
        };
        self.io.write_all(&response).await?;
        self.io.flush().await?;
        let now = tokio::time::Instant::now().into_std();
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
        send_response(&mut self.io, &rejection.encode(), self.timeout, |_| None).await;
    }
}
