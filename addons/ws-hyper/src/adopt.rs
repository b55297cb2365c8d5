//! Hands the connections of hyper to a server of `ws-server`.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    task::Poll,
};

use bytes::Bytes;
use http::{Request, Response, Version, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::runtime::Handle;
use ws_proto::handshake::ServerHandshake;
use ws_server::{
    ServerStream,
    adopt::{Adopter, OpeningRequest, Reservation},
};

use crate::{
    error::{AnswerError, BeginError, BeginErrorKind, UpgradeError, response},
    stream::HyperStream,
    upgrader::protocol,
};

/// Lets a server of `ws-server` decide about a request and serve its connection. Returns the response, which hyper's
/// service must return unchanged. The same as [`Adoptable::new`] and [`Adoptable::adopt`].
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use hyper::body::Incoming;
/// use ws_server::adopt::Adopter;
///
/// /// hyper's service.
/// async fn serve(adopter: &Adopter, request: Request<Incoming>) -> Response<Full<Bytes>> {
///     ws_hyper::adopt(adopter, request).await
/// }
/// ```
///
/// A request that is not a valid WebSocket handshake is answered as [`BeginError`] describes.
///
/// # Cancel safety
/// As [`Adoptable::adopt`].
pub async fn adopt<B, R>(adopter: &Adopter, request: Request<B>) -> Response<R>
where
    R: Default + From<Bytes>,
{
    // The body is not held during the wait.
    let begun = Adoptable::from_parts(request.into_parts().0);
    match begun {
        Ok(adoptable) => adoptable.adopt(adopter).await,
        Err(error) => error.into_response(),
    }
}

/// A valid request for a WebSocket, for a server of `ws-server` to decide about and to serve. With the feature `axum`
/// it is an extractor, for any state:
#[cfg_attr(feature = "axum", doc = "```")]
#[cfg_attr(not(feature = "axum"), doc = "```ignore")]
/// use axum::{Router, extract::State, response::Response, routing::any};
/// use ws_hyper::Adoptable;
/// use ws_server::{Server, adopt::Adopter};
///
/// async fn handler(State(adopter): State<Adopter>, ws: Adoptable) -> Response {
///     ws.adopt(&adopter).await
/// }
///
/// # fn example() -> std::io::Result<()> {
/// let server = Server::builder().without_listener()?;
/// let app: Router = Router::new().route("/ws", any(handler)).with_state(server.adopter());
/// // Run `server` on its shards, and `app` in `axum::serve`.
/// # Ok(())
/// # }
/// ```
///
/// All settings are those of the server: Origin policy, limits, hooks, compression, deadlines, shutdown. An
/// [`Upgrader`](crate::Upgrader) takes no part. The extensions of the request go to the application, so that
/// `Handler::accept` and the hooks see what middleware has put there.
///
/// A plain TCP connection of HTTP/1.1 leaves hyper and its runtime, if hyper got it as `TokioIo<TcpStream>`
/// ([`HyperStream`]). The bytes of any other one, TLS or HTTP/2, still go through hyper. Its runtime must then outlive
/// the connection.
///
/// Dropping it gives up the upgrade; any other response can still be sent.
#[derive(Debug)]
#[must_use = "the request has no answer yet"]
pub struct Adoptable {
    opening: OpeningRequest,
    on_upgrade: OnUpgrade,
    version: Version,
}

impl Adoptable {
    /// Checks a request and takes its upgrade out of it.
    ///
    /// # Errors
    /// A [`BeginError`], which has the response to the request. The server checks the `Origin` later, in
    /// [`adopt`](Self::adopt).
    pub fn new<B>(request: Request<B>) -> Result<Self, BeginError> {
        Self::from_parts(request.into_parts().0)
    }

    /// Checks the head of a request, as [`new`](Self::new) does.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn from_parts(mut head: request::Parts) -> Result<Self, BeginError> {
        let on_upgrade = take(&mut head)?;
        Ok(Self::with(head, on_upgrade))
    }

    /// Copies the head, for extractors that come later.
    #[cfg(feature = "axum")]
    pub(crate) fn copy_of(head: &mut request::Parts) -> Result<Self, BeginError> {
        let on_upgrade = take(head)?;
        Ok(Self::with(head.clone(), on_upgrade))
    }

    fn with(head: request::Parts, on_upgrade: OnUpgrade) -> Self {
        let version = head.version;
        let protocol = protocol(&head.extensions).map(str::to_owned);
        let mut opening = OpeningRequest::from(head);
        if let Some(protocol) = protocol {
            opening = opening.protocol(protocol);
        }
        Self { opening, on_upgrade, version }
    }

    /// Sets the peer's address ([`OpeningRequest::peer_addr`]). hyper does not know it; axum has it as `ConnectInfo`.
    /// Without it, the connection does not count against the limits per address.
    pub fn peer_addr(mut self, peer: SocketAddr) -> Self {
        self.opening = self.opening.peer_addr(peer);
        self
    }

    /// Sets whether the request came over TLS ([`OpeningRequest::over_tls`]). Default: no.
    pub fn over_tls(mut self, yes: bool) -> Self {
        self.opening = self.opening.over_tls(yes);
        self
    }

    /// Asks the server whether it takes the connection ([`Adopter::reserve`]). Returns the response, which hyper's
    /// service or axum's handler must return unchanged.
    ///
    /// If the server accepts, a task on this runtime waits until hyper has written the response, hands the connection
    /// over, and ends. If the upgrade fails, or takes longer than the server's
    /// [`handshake_timeout`](ws_server::ServerBuilder::handshake_timeout), the connection closes, its place is free
    /// again, and the server calls [`Handler::on_handshake_failed`](ws_server::Handler::on_handshake_failed).
    ///
    /// A refusal has the status that the server gives its own clients, such as 503 when it is full. Outside of a tokio
    /// runtime the answer is 500.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up, and its place on the server.
    pub async fn adopt<B>(self, adopter: &Adopter) -> Response<B>
    where
        B: Default + From<Bytes>,
    {
        let Self { opening, on_upgrade, version } = self;
        let Ok(runtime) = Handle::try_current() else {
            let error = AnswerError::NoRuntime;
            tracing::error!(%error, "a WebSocket request is answered with 500");
            return error.into_response();
        };
        match adopter.reserve(opening).await {
            Ok(reservation) => {
                let answer = reservation.response().clone().map(|()| B::default());
                runtime.spawn(hand_over(reservation, on_upgrade, version > Version::HTTP_11));
                answer
            }
            Err(error) => {
                tracing::debug!(%error, "a request for a WebSocket is refused");
                response(error.into_rejection(), version)
            }
        }
    }
}

/// Checks a request and takes its upgrade out of it.
fn take(head: &mut request::Parts) -> Result<OnUpgrade, BeginError> {
    let taken = match ServerHandshake::from_parts(head, protocol(&head.extensions)) {
        Ok(_handshake) => head.extensions.remove::<OnUpgrade>().ok_or(BeginErrorKind::NotUpgradable),
        Err(error) => Err(BeginErrorKind::Request(error)),
    };
    taken.map_err(|kind| BeginError::new(kind, head.version))
}

/// Waits for a connection and hands it over. If there is none, it gives up the reservation.
async fn hand_over(mut reservation: Reservation, on_upgrade: OnUpgrade, is_http2: bool) {
    let upgraded = match upgraded_in_time(&mut reservation, on_upgrade).await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "an upgrade failed");
            return;
        }
    };
    let (io, received) = HyperStream::new(upgraded, is_http2);
    let stream = match io.into_tcp() {
        Ok(tcp) => tcp.into(),
        Err(io) => ServerStream::from_io(io),
    };
    if let Err(error) = reservation.adopt(stream, received) {
        tracing::debug!(%error, "a connection could not be handed over");
    }
}

/// The server watches the deadline of its reservation. No other timer is needed.
async fn upgraded_in_time(
    reservation: &mut Reservation,
    mut on_upgrade: OnUpgrade,
) -> Result<Upgraded, UpgradeError> {
    let mut expired = pin!(reservation.expired());
    poll_fn(|cx| {
        if let Poll::Ready(upgraded) = Pin::new(&mut on_upgrade).poll(cx) {
            return Poll::Ready(upgraded.map_err(UpgradeError::Hyper));
        }
        expired.as_mut().poll(cx).map(|()| Err(UpgradeError::TimedOut))
    })
    .await
}
