//! A connection before it is one: from the first byte to the 101, within the deadline. The future ends with the 101,
//! so that none of this weighs on an idle connection.

use std::{
    io,
    net::SocketAddr,
    ops::Deref,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::BufMut as _;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use ws_proto::{
    Connection, Limits,
    handshake::{Rejection, RequestError, RequestReader, ServerHandshake},
};

use crate::{
    app::{App, Established},
    hub::{Hub, Phase},
    request::{Request, encode_answer},
    shard::{Place, Seat},
    slots::Slot,
};

/// How long a refused peer may take to read its answer.
const LINGER: Duration = Duration::from_secs(1);

/// A request's head, and what came behind it.
pub(crate) struct ReceivedRequest {
    pub(crate) request: http::Request<()>,
    pub(crate) rest: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    Bad(RequestError),
}

/// What runs a handshake.
pub(crate) struct Candidate<S> {
    pub(crate) io: S,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) place: Place,
    pub(crate) slot: Slot,
}

/// Runs a handshake to its end; `launch` gets the connection that comes of it. The application is shared by all
/// handshakes.
pub(crate) async fn run<S, A, P>(
    app: P,
    mut candidate: Candidate<S>,
    launch: impl FnOnce(P, Established<S, A::Accepted>),
) where
    S: AsyncRead + AsyncWrite + Unpin,
    A: App,
    P: Deref<Target = A>,
{
    let hub = Arc::clone(&candidate.place.shard().hub);
    let mut buffer = candidate.place.shard().heads.take();
    let negotiation = negotiate(&*app, &hub, &mut candidate, &mut buffer);
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(hub.options.handshake_timeout, negotiation) => outcome,
        () = hub.reached(Phase::Draining) => return,
    };
    let received_nothing = buffer.is_empty();
    candidate.place.shard().heads.put_back(buffer);
    match outcome {
        Ok(Some(accepted)) => {
            // From here on the connection is one; the handshake's place is free.
            let Candidate { io, place, slot, .. } = candidate;
            drop(slot);
            let seat = Seat::take(place, accepted.connection_slot);
            let connection = Connection::server(Arc::clone(A::protocol(&hub)), seat.shard().now());
            let Accepted { accepted, request, rest: received, .. } = accepted;
            launch(app, Established { accepted, request, io, connection, received, seat });
        }
        Ok(None) => {}
        Err(_) if received_nothing => tracing::debug!("handshake deadline passed without a byte"),
        Err(_) => {
            let answer = Rejection::new(StatusCode::REQUEST_TIMEOUT).encode();
            respond(&mut candidate.io, &answer).await;
        }
    }
}

/// A request that was accepted, with the 101 on the wire.
struct Accepted<T: FailOnDrop> {
    accepted: Guard<T>,
    request: Request,
    rest: Vec<u8>,
    connection_slot: Slot,
}

async fn negotiate<S, A>(
    app: &A,
    hub: &Hub,
    candidate: &mut Candidate<S>,
    buffer: &mut Vec<u8>,
) -> Option<Accepted<A::Accepted>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: App,
{
    let io = &mut candidate.io;
    let received = match read_request(io, buffer, &hub.protocol.limits).await {
        Ok(received) => received,
        Err(ReadError::Io(error)) => {
            tracing::debug!(%error, "the peer left during the handshake");
            return None;
        }
        Err(ReadError::Bad(error)) => {
            respond(io, &Rejection::from(error).encode()).await;
            return None;
        }
    };
    let mut request = Request::new(received.request, candidate.peer);
    match decide(app, hub, &mut request) {
        Err(answer) => {
            respond(io, &answer).await;
            None
        }
        Ok(decision) => {
            // The guard tells the application if the 101 cannot be written.
            io.write_all(&decision.response).await.ok()?;
            io.flush().await.ok()?;
            let Decision { accepted, connection_slot, .. } = decision;
            // Also if the server shuts down just now: who has a 101 gets a Close.
            Some(Accepted { accepted, request, rest: received.rest, connection_slot })
        }
    }
}

struct Decision<T: FailOnDrop> {
    accepted: Guard<T>,
    response: Vec<u8>,
    connection_slot: Slot,
}

/// Accepts a request, or says what to answer instead.
fn decide<A: App>(app: &A, hub: &Hub, request: &mut Request) -> Result<Decision<A::Accepted>, Vec<u8>> {
    let handshake = match ServerHandshake::new(request) {
        Ok(handshake) => handshake,
        Err(error) => return Err(answer_plain(hub, request, error)),
    };
    if !hub.options.origin.allows(request.headers()) {
        let rejection = Rejection::new(StatusCode::FORBIDDEN).with_text("origin not allowed\n");
        return Err(rejection.encode());
    }
    // Before the application is asked, and long before the 101: a full server says so.
    let Some(connection_slot) = hub.connections.take() else { return Err(unavailable()) };
    let accept = || {
        if let Some(hook) = &hub.options.on_request {
            hook(request)?;
        }
        app.accept(request)
    };
    let accepted = match catch_unwind(AssertUnwindSafe(accept)) {
        Ok(Ok(accepted)) => Guard::new(accepted),
        Ok(Err(rejection)) => return Err(rejection.encode()),
        Err(_) => return Err(internal_error("accepting a request panicked")),
    };
    match handshake.accept(&request.acceptance) {
        Ok(response) => Ok(Decision { accepted, response, connection_slot }),
        Err(error) => Err(internal_error(&error.to_string())),
    }
}

/// Answers a request that is no upgrade: by the application's hook, if it has one.
fn answer_plain(hub: &Hub, request: &Request, error: RequestError) -> Vec<u8> {
    let answer = match hub.options.http.as_ref().filter(|_| error.is_not_upgrade()) {
        None => Rejection::from(error),
        Some(hook) => match catch_unwind(AssertUnwindSafe(|| hook(request))) {
            Ok(response) => Rejection::from(response),
            Err(_) => return internal_error("answering an HTTP request panicked"),
        },
    };
    encode_answer(&answer, request.method())
}

fn internal_error(what: &str) -> Vec<u8> {
    tracing::error!("{what}");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).encode()
}

/// The answer of a full server.
pub(crate) fn unavailable() -> Vec<u8> {
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE).with_text("the server is full\n").encode()
}

/// Reads a request's head; each byte is looked at once.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(
    io: &mut S,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> Result<ReceivedRequest, ReadError> {
    const FIRST: usize = 1024;
    let mut reader = RequestReader::new(limits);
    loop {
        if !buffer.is_empty()
            && let Some((request, head_len)) = reader.read(buffer).map_err(ReadError::Bad)?
        {
            return Ok(ReceivedRequest { request, rest: buffer.split_off(head_len) });
        }
        let room = limits.max_head_size.saturating_sub(buffer.len()).clamp(1, FIRST.max(buffer.len()));
        buffer.reserve(room);
        let n = io.read_buf(&mut buffer.limit(room)).await.map_err(ReadError::Io)?;
        if n == 0 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Sends an answer that ends the connection, and lets the peer read it: closing with unread input would reset the
/// connection and destroy the answer on its way.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, answer: &[u8]) {
    let say_and_listen = async {
        io.write_all(answer).await?;
        io.shutdown().await?;
        // Not in the future itself, which every handshake carries.
        let mut sink = vec![0; 4096];
        while io.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, say_and_listen).await;
}

/// What an application has accepted and must hear of if nothing comes of it.
pub(crate) trait FailOnDrop {
    /// Nothing came of it.
    fn on_failure(&mut self);
}

/// Calls [`FailOnDrop::on_failure`] unless it is taken.
pub(crate) struct Guard<T: FailOnDrop>(Option<T>);

impl<T: FailOnDrop> Guard<T> {
    pub(crate) const fn new(accepted: T) -> Self {
        Self(Some(accepted))
    }

    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T: FailOnDrop> Drop for Guard<T> {
    fn drop(&mut self) {
        if let Some(mut accepted) = self.0.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| accepted.on_failure()));
        }
    }
}
