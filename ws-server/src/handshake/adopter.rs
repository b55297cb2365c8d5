//! Handing connections over to a running server after another program part has done their HTTP.

use std::{fmt, net::SocketAddr, sync::Arc};

use http::{Response, StatusCode, request};
use tokio::sync::oneshot;
use ws_proto::handshake::{Rejection, ServerHandshake, TransportSecurity};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    measure::PanicPlace,
    net::stream::ServerStream,
    shard::{
        adoption::{Adoption, Handover, Offer},
        server_state::{ServerState, ShutdownPhase},
    },
};

use super::{
    decide::{check_origin, rejection_when_full},
    error::{AcceptError, AdoptError, ReserveError},
};

/// Hands connections over to a [`Server`](crate::Server) whose HTTP part is done elsewhere: in axum, in hyper, or
/// behind a listener of your own. From [`Server::adopter`](crate::Server::adopter). Cheap to clone, and usable in every
/// task, thread and runtime.
///
/// The server runs an adopted connection as one that it has accepted itself. All its settings apply: limits, Origin
/// policy, hooks, compression, deadlines, keepalive, memory budget, graceful shutdown. On shards under Linux, an
/// adopted TCP connection has neither a task nor a tokio socket.
///
/// An adoption has two steps, so that the server decides before the request is answered:
///
/// ```no_run
/// use ws_server::{adopt::{Adopter, OpeningRequest}, error::ReserveError};
/// # use tokio::{io::AsyncWriteExt as _, net::TcpStream};
///
/// # async fn adopt(
/// #     adopter: Adopter, request: ws_server::http::Request<()>, mut stream: TcpStream, received: Vec<u8>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let opening = OpeningRequest::new(request).peer_addr(stream.peer_addr()?);
/// let reservation = match adopter.reserve(opening).await {
///     Ok(reservation) => reservation,
///     Err(error) => {
///         stream.write_all(&error.into_rejection().encode()).await?;
///         return Ok(());
///     }
/// };
/// // Inside an HTTP server: return `reservation.response()`, and wait for the upgrade.
/// stream.write_all(&reservation.encode_response()).await?;
/// reservation.adopt(stream, received)?;
/// # Ok(())
/// # }
/// ```
///
/// The crate `ws-hyper`, with its feature `adopt`, does both steps for connections of hyper and axum.
///
/// For a server whose connections are all adopted, see
/// [`ServerBuilder::without_listener`](crate::ServerBuilder::without_listener).
#[derive(Clone)]
pub struct Adopter {
    server: Arc<ServerState>,
}

/// A request for a WebSocket that another part of the program has read, for [`Adopter::reserve`].
#[must_use]
pub struct OpeningRequest {
    request: http::Request<()>,
    protocol: Option<String>,
    peer: Option<SocketAddr>,
    security: TransportSecurity,
}

/// A connection's place on a server, from [`Adopter::reserve`]. The application has accepted the request. Write
/// [`response`](Self::response) to the client, then call [`adopt`](Self::adopt).
///
/// It counts as a handshake of the server and as one of its connections. It ends when
/// [`handshake_timeout`](crate::ServerBuilder::handshake_timeout) has passed since [`Adopter::reserve`], and at the end
/// of a shutdown's grace period. Dropping it gives the place up; [`Handler::on_handshake_failed`] is called then.
///
/// [`Handler::on_handshake_failed`]: crate::Handler::on_handshake_failed
#[must_use = "dropping it gives up the connection"]
pub struct Reservation {
    response: Response<()>,
    handover: oneshot::Sender<Handover>,
}

impl Adopter {
    pub(crate) const fn new(server: Arc<ServerState>) -> Self {
        Self { server }
    }

    /// Asks the server whether it takes a connection, and reserves the connection's place. `opening` is the request, as
    /// an [`OpeningRequest`] or as a plain [`http::Request`].
    ///
    /// The request and its `Origin` are checked, then the limits. Then the application is asked as for a connection of
    /// the server's own: [`on_request_async`], [`on_request`], [`Handler::accept`]. `Handler::accept` runs on the shard
    /// that is to run the connection, which is the one with the lowest load. The extensions of the request go to the
    /// application, so take hyper's `OnUpgrade` out of them before.
    ///
    /// Before the server runs, the call waits for its start.
    ///
    /// # Errors
    /// [`ReserveError`]. Its [`into_rejection`](ReserveError::into_rejection) is the answer to the request.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up. If the application has accepted it by then,
    /// [`Handler::on_handshake_failed`] is called.
    ///
    /// [`on_request_async`]: crate::ServerBuilder::on_request_async
    /// [`on_request`]: crate::ServerBuilder::on_request
    /// [`Handler::accept`]: crate::Handler::accept
    /// [`Handler::on_handshake_failed`]: crate::Handler::on_handshake_failed
    pub async fn reserve(&self, opening: impl Into<OpeningRequest>) -> Result<Reservation, ReserveError> {
        let opening = opening.into();
        let door = self.server.door().await.ok_or(ReserveError::ShuttingDown)?;
        let (adoption, decided) = self.admit(opening)?;
        // A shutdown that begins after the permits are acquired waits for them.
        if self.server.phase() > ShutdownPhase::Running {
            return Err(ReserveError::ShuttingDown);
        }
        door(adoption);
        match decided.await {
            Ok(Ok(Offer { response, handover })) => Ok(Reservation { response, handover }),
            Ok(Err(rejection)) => Err(ReserveError::Rejected(rejection)),
            Err(_server_ended) => Err(ReserveError::ShuttingDown),
        }
    }

    /// Checks a request and acquires its permits.
    #[expect(clippy::type_complexity, reason = "one caller")]
    fn admit(
        &self,
        opening: OpeningRequest,
    ) -> Result<(Box<Adoption>, oneshot::Receiver<Result<Offer, Rejection>>), ReserveError> {
        let OpeningRequest { request, protocol, peer, security } = opening;
        let mut request = Request::new(request, peer);
        request.set_server_draining(self.server.is_draining());
        request.follow_forwarded(self.server.options.forwarded.as_ref());
        let peer = request.peer_addr();
        let mut progress = self.server.begin_handshake(peer);
        let acquired = self.acquire(&request, protocol.as_deref(), security).inspect_err(|error| {
            if let ReserveError::Rejected(rejection) = error {
                progress.refuse(rejection.response().status());
            }
        });
        let (handshake, handshake_permit, connection_permit) = acquired?;
        let (decision, decided) = oneshot::channel();
        let adoption =
            Adoption { progress, request, handshake, handshake_permit, connection_permit, decision };
        Ok((Box::new(adoption), decided))
    }

    /// Checks a request and acquires the permits of its handshake and its connection.
    fn acquire(
        &self,
        request: &Request,
        protocol: Option<&str>,
        security: TransportSecurity,
    ) -> Result<(ServerHandshake, Permit, Permit), ReserveError> {
        let peer = request.peer_addr();
        let check = || {
            let handshake = ServerHandshake::from_request(&**request, protocol)?;
            check_origin(request, &self.server.options.origin, security)?;
            Ok(handshake)
        };
        let checked = guarded(check).unwrap_or_else(|_panicked| {
            self.server.note_panic(PanicPlace::Request, "a custom origin policy panicked");
            Err(AcceptError::Panicked)
        });
        let handshake = checked.map_err(refused)?;
        let full = |full| ReserveError::Rejected(rejection_when_full(full));
        let handshake_permit = self.server.handshakes.acquire(peer).map_err(full)?;
        // A full server rejects before it asks the application.
        let connection_permit = self.server.connections.acquire(peer).map_err(full)?;
        Ok((handshake, handshake_permit, connection_permit))
    }
}

fn refused(error: AcceptError) -> ReserveError {
    let internal = || Rejection::new(StatusCode::INTERNAL_SERVER_ERROR);
    ReserveError::Rejected(error.rejection().unwrap_or_else(internal))
}

impl fmt::Debug for Adopter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adopter")
            .field("connections", &self.server.connections.active())
            .field("handshakes", &self.server.handshakes.active())
            .finish_non_exhaustive()
    }
}

impl OpeningRequest {
    /// Wraps a request to upgrade an HTTP/1.1 connection (RFC 6455 section 4.2.1), or an extended CONNECT (RFC 8441).
    pub const fn new(request: http::Request<()>) -> Self {
        Self { request, protocol: None, peer: None, security: TransportSecurity::Plain }
    }

    /// Sets the peer's address, for [`Request::peer_addr`] and
    /// [`max_connections_per_address`](crate::ServerBuilder::max_connections_per_address). Without it, the connection
    /// counts against the limits of the whole server only.
    pub const fn peer_addr(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Sets whether the request came over TLS. With TLS, the same-host policy accepts `https` origins only; without it,
    /// both `http` and `https`. Default: no.
    pub const fn over_tls(mut self, yes: bool) -> Self {
        self.security = if yes { TransportSecurity::Tls } else { TransportSecurity::Plain };
        self
    }

    /// Sets the `:protocol` of an extended CONNECT (RFC 8441 section 4), which `http::Request` has no place for.
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }
}

impl From<http::Request<()>> for OpeningRequest {
    fn from(request: http::Request<()>) -> Self {
        Self::new(request)
    }
}

impl From<request::Parts> for OpeningRequest {
    fn from(head: request::Parts) -> Self {
        Self::new(http::Request::from_parts(head, ()))
    }
}

/// Omits the query and the headers, because they may contain credentials.
impl fmt::Debug for OpeningRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpeningRequest")
            .field("path", &self.request.uri().path())
            .field("peer", &self.peer)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

impl Reservation {
    /// The response that accepts the request, for an HTTP server to write: 101, or 200 for an extended CONNECT. It has
    /// what the application has set: the subprotocol and further headers. It has no body.
    #[must_use]
    pub const fn response(&self) -> &Response<()> {
        &self.response
    }

    /// The [`response`](Self::response) as bytes of HTTP/1.1, for a listener of your own.
    #[must_use]
    pub fn encode_response(&self) -> Vec<u8> {
        let status = self.response.status();
        let reason = status.canonical_reason().unwrap_or_default();
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in self.response.headers() {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    /// Waits until the reservation has ended, because its deadline has passed or the server has ended. From then on,
    /// [`adopt`](Self::adopt) returns [`AdoptError::Expired`]. An HTTP server waits for its upgrade no longer than
    /// this.
    ///
    /// # Cancel safety
    /// It can be dropped and called again.
    pub async fn expired(&mut self) {
        self.handover.closed().await;
    }

    /// Hands the connection over, after the response is written. `received` are the bytes that were read behind the
    /// request. `stream` is a [`TcpStream`](tokio::net::TcpStream), a Unix socket, a
    /// `TlsStream`, or any other transport in [`ServerStream::from_io`].
    ///
    /// A plain socket leaves the runtime that it is registered with. Every other transport continues to use that
    /// runtime, which must outlive the connection.
    ///
    /// If the server has begun to shut down meanwhile, it still takes the connection and closes it with 1001.
    ///
    /// # Errors
    /// [`AdoptError`]. The stream is closed then.
    pub fn adopt(
        self,
        stream: impl Into<ServerStream>,
        received: impl Into<Vec<u8>>,
    ) -> Result<(), AdoptError> {
        let handover = Handover { stream: stream.into().detach()?, received: received.into() };
        self.handover.send(handover).map_err(|_handover| AdoptError::Expired)
    }
}

/// Omits the values of headers, because they may contain credentials.
impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("status", &self.response.status()).finish_non_exhaustive()
    }
}
