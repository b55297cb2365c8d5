//! Accepting on any stream, for servers that have a listener of their own or take over from an HTTP server.

use std::{io, sync::Arc, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use ws_proto::{
    Config, Connection,
    handshake::{AcceptanceError, Rejection, RequestError, ServerHandshake},
};
use ws_tokio::WebSocket;

use crate::{
    admission::{OriginPolicy, Request, request::encode_answer},
    handshake::{ReadError, read_request, respond},
    net::runtime,
};

/// Turns any `AsyncRead + AsyncWrite` into a [`WebSocket`], server's side.
///
/// The connection is moved by whoever polls it; `Server` has more to offer: limits over all connections, one timer
/// wheel, shutdown. It is used in a tokio runtime with timers; elsewhere the request is not read, and the error is
/// [`io::ErrorKind::Unsupported`].
#[derive(Clone, Debug)]
pub struct Acceptor {
    config: Arc<Config>,
    origin: OriginPolicy,
    over_tls: bool,
    timeout: Duration,
}

/// Why a stream did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The stream failed or ended.
    #[error("the peer left during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The request was bad; it has been answered.
    #[error("bad request: {0}")]
    Request(#[from] RequestError),
    /// The request's `Origin` is not allowed; it has been answered.
    #[error("the request's origin is not allowed")]
    Origin,
    /// The handshake deadline passed.
    #[error("the handshake took too long")]
    TimedOut,
    /// The response cannot be sent as asked; 500 has been sent.
    #[error("{0}")]
    Acceptance(#[from] AcceptanceError),
}

/// A request that waits for a decision, for as long as that takes.
#[derive(Debug)]
pub struct PendingUpgrade<S> {
    io: S,
    request: Request,
    handshake: ServerHandshake,
    rest: Vec<u8>,
    config: Arc<Config>,
    timeout: Duration,
}

impl Acceptor {
    /// An acceptor with the protocol's settings ([`Config::build`]), the same-host origin policy and a deadline of 10 s
    /// for the request.
    #[must_use]
    pub const fn new(config: Arc<Config>) -> Self {
        Self { config, origin: OriginPolicy::SameHost, over_tls: false, timeout: Duration::from_secs(10) }
    }

    /// With another origin policy.
    #[must_use]
    pub fn origin(mut self, policy: OriginPolicy) -> Self {
        self.origin = policy;
        self
    }

    /// Says whether the streams carry TLS: then the same-host policy takes origins with `https` only. Default: no, and both
    /// `http` and `https` are taken.
    #[must_use]
    pub const fn over_tls(mut self, yes: bool) -> Self {
        self.over_tls = yes;
        self
    }

    /// With another deadline for the request. An answer that refuses it goes on for as long as the peer takes some of it
    /// within this time.
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

    /// Reads a request, of which `received` may have been read before. Decide at leisure, then
    /// [`accept`](PendingUpgrade::accept) or [`reject`](PendingUpgrade::reject).
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
        let mut buffer = received;
        let reading = read_request(&mut io, &mut buffer, &self.config.limits);
        let read = match tokio::time::timeout(self.timeout, reading).await {
            Err(_) => return Err(AcceptError::TimedOut),
            Ok(Err(ReadError::Io(error))) => return Err(error.into()),
            Ok(Err(ReadError::Bad(error))) => {
                respond(&mut io, &Rejection::from(error).encode(), self.timeout).await;
                return Err(error.into());
            }
            Ok(Ok(read)) => read,
        };
        let request = Request::new(read.request, None);
        let handshake = match ServerHandshake::new(&request) {
            Ok(handshake) => handshake,
            Err(error) => {
                let answer = encode_answer(&error.into(), request.method());
                respond(&mut io, &answer, self.timeout).await;
                return Err(error.into());
            }
        };
        if !self.origin.allows(&request, self.over_tls) {
            respond(&mut io, &Rejection::default().encode(), self.timeout).await;
            return Err(AcceptError::Origin);
        }
        let (config, timeout) = (Arc::clone(&self.config), self.timeout);
        Ok(PendingUpgrade { io, request, handshake, rest: read.rest, config, timeout })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> PendingUpgrade<S> {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Request {
        &self.request
    }

    /// The request, to choose a subprotocol or add response headers.
    pub const fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Sends the 101 response.
    ///
    /// # Errors
    /// [`AcceptError::Io`], or [`AcceptError::Acceptance`] for a header or subprotocol that cannot be sent.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream; the peer may have the 101 by then.
    pub async fn accept(mut self) -> Result<WebSocket<S>, AcceptError> {
        let extensions = self.handshake.negotiate(&self.config);
        let response = match self.handshake.accept(&self.request.acceptance) {
            Ok(response) => response,
            Err(error) => {
                let answer = Rejection::new(http::StatusCode::INTERNAL_SERVER_ERROR).encode();
                respond(&mut self.io, &answer, self.timeout).await;
                return Err(error.into());
            }
        };
        self.io.write_all(&response).await?;
        self.io.flush().await?;
        let now = tokio::time::Instant::now().into_std();
        let subprotocol = self.request.subprotocol().map(str::to_owned);
        let connection = Connection::server(self.config, now).with_extensions(extensions);
        let ws = WebSocket::new(self.io, connection);
        Ok(ws.with_received(&self.rest).with_subprotocol(subprotocol))
    }

    /// Sends a rejection and closes: once the peer has read it, a second after it is written, or when the peer has taken none
    /// of it for the acceptor's [`timeout`](Acceptor::timeout).
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream; the peer may have a part of the answer.
    pub async fn reject(mut self, rejection: Rejection) {
        respond(&mut self.io, &rejection.encode(), self.timeout).await;
    }
}
