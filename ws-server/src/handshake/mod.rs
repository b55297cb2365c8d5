//! A connection before it is one: from the first byte to the 101, within the deadline. The future ends with the 101,
//! so that none of this weighs on an idle connection.

mod acceptor;
mod decide;
pub(crate) mod established;
mod immediate;
mod read;

use std::{future::poll_fn, io, net::SocketAddr, ops::Deref, sync::Arc, task::Poll};

use http::StatusCode;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, error::Elapsed},
};
use ws_proto::{
    Connection,
    handshake::{Extensions, Rejection},
};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    handshake::established::{Application, DropGuarded, Established, HandshakeFailed, NotifyOnDrop},
    net::stream::ServerStream,
    options::AsyncRequestHook,
    shard::{
        LoadShare,
        registration::Registration,
        server_state::{Phase, ServerState},
    },
};

pub use acceptor::{AcceptError, Acceptor, PendingUpgrade};

pub(crate) use decide::refusal;
pub(crate) use immediate::{Step, try_immediately};
pub(crate) use read::{ReadError, ReceivedRequest, read_request, respond};

use decide::{Decision, accepting_panicked, admit, decide, encode};

/// What runs a handshake.
pub(crate) struct Candidate<S> {
    pub(crate) io: S,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) place: LoadShare,
    pub(crate) permit: Permit,
    /// What was read before.
    pub(crate) received: Vec<u8>,
}

impl Candidate<crate::net::listener::Incoming> {
    /// If it is TCP; else it comes back.
    pub(crate) fn try_map_tcp(self) -> Result<Candidate<std::net::TcpStream>, Self> {
        use crate::net::listener::Incoming;
        let Self { io, peer, place, permit, received } = self;
        match io {
            Incoming::Tcp(io) => Ok(Candidate { io, peer, place, permit, received }),
            #[cfg(unix)]
            io @ Incoming::Unix(_) => Err(Self { io, peer, place, permit, received }),
        }
    }
}

impl<S> Candidate<S> {
    /// The same on another transport.
    pub(crate) fn map_io<R>(self, f: impl FnOnce(S) -> R) -> Candidate<R> {
        let Self { io, peer, place, permit, received } = self;
        Candidate { io: f(io), peer, place, permit, received }
    }

    /// The same on another transport, if that can be had.
    pub(crate) fn try_map_io<R>(self, f: impl FnOnce(S) -> io::Result<R>) -> io::Result<Candidate<R>> {
        let Self { io, peer, place, permit, received } = self;
        Ok(Candidate { io: f(io)?, peer, place, permit, received })
    }
}

/// A request that was accepted, and is a connection once the 101 is on the wire.
pub(crate) struct Handshaken<T: HandshakeFailed> {
    accepted: NotifyOnDrop<T>,
    request: Request,
    extensions: Extensions,
    rest: Vec<u8>,
    connection_permit: Permit,
}

/// Why a request comes to nothing.
enum Unsuccessful {
    /// It gets this answer.
    Refused(Vec<u8>),
    /// The peer has left.
    Gone(io::Error),
    /// It said nothing.
    Silent,
}

impl Unsuccessful {
    /// At the deadline.
    fn too_late(received_nothing: bool) -> Self {
        if received_nothing {
            return Self::Silent;
        }
        Self::Refused(Rejection::new(StatusCode::REQUEST_TIMEOUT).encode())
    }
}

/// What a request may become, and the 101.
type Outcome<T> = Result<(Handshaken<T>, Vec<u8>), Unsuccessful>;

impl<T: HandshakeFailed> Handshaken<T> {
    fn new(decision: Decision<T>, request: Request, rest: Vec<u8>) -> Self {
        let Decision { accepted, extensions, connection_permit, .. } = decision;
        Self { accepted, request, extensions, rest, connection_permit }
    }

    /// Makes it a connection. From here on the handshake's place is free.
    fn establish<S, A>(self, server: &ServerState, candidate: Candidate<S>) -> Established<S, T>
    where
        A: Application<Accepted = T>,
    {
        let Candidate { io, place, permit, .. } = candidate;
        drop(permit);
        let registration = Registration::new(place, self.connection_permit);
        let config = Arc::clone(A::protocol(server));
        let connection =
            Connection::server(config, registration.shard().now()).with_extensions(self.extensions);
        let Self { accepted, request, rest: received, .. } = self;
        Established { accepted, request, io, connection, received, registration }
    }
}

/// Runs a handshake to its end; `launch` gets the connection that comes of it. The application is shared by all
/// handshakes.
pub(crate) async fn run<A, P>(
    app: P,
    mut candidate: Candidate<ServerStream>,
    launch: impl FnOnce(P, Established<ServerStream, A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&candidate.place.shard().server);
    let deadline = ws_tokio::internal::deadline_in(server.options.handshake_timeout);
    #[cfg(feature = "tls-core")]
    if let Some(tls) = &server.options.tls {
        // Boxed, for it is large, and mostly not there.
        match in_time(&server, Phase::Draining, deadline, Box::pin(candidate.io.secured(tls))).await {
            Some(Ok(Ok(io))) => candidate.io = io,
            Some(Ok(Err(error))) => return tracing::debug!(%error, "no TLS"),
            Some(Err(_)) => return tracing::debug!("handshake deadline passed without TLS"),
            None => return,
        }
    }
    // The rest may take its time: until then what is there takes no more memory than it must.
    let received = std::mem::take(&mut candidate.received);
    let mut buffer = received.clone();
    candidate.place.shard().head_buffers.put_back(received);
    let negotiation = negotiate(&*app, &server, &mut candidate, &mut buffer);
    let Some(outcome) = in_time(&server, Phase::Draining, deadline, negotiation).await else { return };
    let received_nothing = buffer.is_empty();
    candidate.place.shard().head_buffers.put_back(buffer);
    let outcome = outcome.unwrap_or_else(|_elapsed| Err(Unsuccessful::too_late(received_nothing)));
    // Boxed, for it is large: who sends its request slowly, or never, takes as little as can be.
    Box::pin(conclude(app, candidate, outcome, deadline, launch)).await;
}

/// Says what came of a request.
async fn conclude<A, P>(
    app: P,
    candidate: Candidate<ServerStream>,
    outcome: Outcome<A::Accepted>,
    deadline: Instant,
    launch: impl FnOnce(P, Established<ServerStream, A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    match outcome {
        Ok((accepted, response)) => send_101(app, candidate, accepted, &response, deadline, launch).await,
        Err(Unsuccessful::Refused(answer)) => refuse(candidate, answer).await,
        Err(Unsuccessful::Gone(error)) => tracing::debug!(%error, "the peer left during the handshake"),
        Err(Unsuccessful::Silent) => tracing::debug!("handshake deadline passed without a byte"),
    }
}

/// Writes what is left of the 101 of a handshake that was done at once.
pub(crate) async fn finish<A, P>(
    app: P,
    candidate: Candidate<ServerStream>,
    accepted: Handshaken<A::Accepted>,
    response: Vec<u8>,
    launch: impl FnOnce(P, Established<ServerStream, A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let deadline = ws_tokio::internal::deadline_in(candidate.place.shard().server.options.handshake_timeout);
    send_101(app, candidate, accepted, &response, deadline, launch).await;
}

/// Sends the 101 before the deadline, and launches the connection: also if the server has begun to shut down since the
/// request was accepted, for then the connection gets a Close. Until then `accepted` tells the application if nothing
/// comes of it.
async fn send_101<A, P>(
    app: P,
    mut candidate: Candidate<ServerStream>,
    accepted: Handshaken<A::Accepted>,
    response: &[u8],
    deadline: Instant,
    launch: impl FnOnce(P, Established<ServerStream, A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&candidate.place.shard().server);
    let writing = async {
        candidate.io.write_all(response).await?;
        candidate.io.flush().await
    };
    if let Some(Ok(Ok(()))) = in_time(&server, Phase::Forcing, deadline, writing).await {
        launch(app, accepted.establish::<_, A>(&server, candidate));
    }
}

/// Sends the answer to a handshake that is refused. Whatever is left until the deadline, it goes on for as long as the peer
/// takes some of it within the handshake's time.
pub(crate) async fn refuse(mut candidate: Candidate<ServerStream>, answer: Vec<u8>) {
    let server = Arc::clone(&candidate.place.shard().server);
    tokio::select! {
        // What can be said at once is said.
        biased;
        () = respond(&mut candidate.io, &answer, server.options.handshake_timeout) => {}
        () = server.reached(Phase::Draining) => {}
    }
}

/// Waits until the deadline, and no longer than until the server has come to `end`; what is done by then counts.
async fn in_time<T>(
    server: &ServerState,
    end: Phase,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<Result<T, Elapsed>> {
    tokio::select! {
        biased;
        outcome = tokio::time::timeout_at(deadline, future) => Some(outcome),
        () = server.reached(end) => None,
    }
}

/// Reads a request and decides about it.
async fn negotiate<A: Application>(
    app: &A,
    server: &ServerState,
    candidate: &mut Candidate<ServerStream>,
    buffer: &mut Vec<u8>,
) -> Outcome<A::Accepted> {
    match read_request(&mut candidate.io, buffer, &server.protocol.limits).await {
        // Boxed, for it is large.
        Ok(received) => {
            let (peer, over_tls) = (candidate.peer, candidate.io.is_tls());
            Box::pin(accept(app, server, peer, over_tls, received)).await.map_err(Unsuccessful::Refused)
        }
        Err(ReadError::Bad(error)) => Err(Unsuccessful::Refused(Rejection::from(error).encode())),
        Err(ReadError::Io(error)) => Err(Unsuccessful::Gone(error)),
    }
}

/// Accepts what was read; `Err` is what to say instead.
async fn accept<A: Application>(
    app: &A,
    server: &ServerState,
    peer: Option<SocketAddr>,
    over_tls: bool,
    received: ReceivedRequest,
) -> Result<(Handshaken<A::Accepted>, Vec<u8>), Vec<u8>> {
    let mut request = Request::new(received.request, peer);
    let admitted = admit(server, &request, over_tls)?;
    if let Some(hook) = &server.options.on_request_async {
        request = ask(hook, request).await?;
    }
    let mut decision = decide(app, server, admitted, &mut request)?;
    let response = std::mem::take(&mut decision.response);
    Ok((Handshaken::new(decision, request, received.rest), response))
}

/// Asks the application's async hook; a rejection, or a panic, is what to answer.
async fn ask(hook: &AsyncRequestHook, request: Request) -> Result<Request, Vec<u8>> {
    let Ok(asking) = guarded(|| hook(request)) else {
        return Err(accepting_panicked());
    };
    let mut asking = DropGuarded(Some(asking));
    let answer = poll_fn(|cx| {
        let Some(asking) = &mut asking.0 else { return Poll::Pending };
        match guarded(|| asking.as_mut().poll(cx)) {
            Ok(poll) => poll.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    });
    match answer.await {
        Ok(Ok(request)) => Ok(request),
        Ok(Err(rejection)) => Err(encode(rejection)),
        Err(_panicked) => Err(accepting_panicked()),
    }
}
