//! A connection before it is one: from the first byte to the 101, within the deadline. The future ends with the 101,
//! so that none of this weighs on an idle connection.

mod at_once;
mod decide;
mod guard;
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
use ws_tokio::guarded;

use crate::{
    app::{App, Established},
    hub::{Hub, Phase},
    options::AsyncRequestHook,
    request::Request,
    shard::{Place, Seat},
    slots::Slot,
    stream::ServerStream,
};

pub(crate) use at_once::{AtOnce, try_at_once};
pub(crate) use decide::refusal;
pub(crate) use guard::{DropGuarded, FailOnDrop, Guard};
pub(crate) use read::{ReadError, ReceivedRequest, read_request, respond};

use decide::{Decision, accepting_panicked, admit, decide, encode};

/// What runs a handshake.
pub(crate) struct Candidate<S> {
    pub(crate) io: S,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) place: Place,
    pub(crate) slot: Slot,
    /// What was read before.
    pub(crate) received: Vec<u8>,
}

impl Candidate<crate::listener::Incoming> {
    /// If it is TCP; else it comes back.
    pub(crate) fn try_map_tcp(self) -> Result<Candidate<std::net::TcpStream>, Self> {
        use crate::listener::Incoming;
        let Self { io, peer, place, slot, received } = self;
        match io {
            Incoming::Tcp(io) => Ok(Candidate { io, peer, place, slot, received }),
            #[cfg(unix)]
            io @ Incoming::Unix(_) => Err(Self { io, peer, place, slot, received }),
        }
    }
}

impl<S> Candidate<S> {
    /// The same on another transport.
    pub(crate) fn map_io<R>(self, f: impl FnOnce(S) -> R) -> Candidate<R> {
        let Self { io, peer, place, slot, received } = self;
        Candidate { io: f(io), peer, place, slot, received }
    }

    /// The same on another transport, if that can be had.
    pub(crate) fn try_map_io<R>(self, f: impl FnOnce(S) -> io::Result<R>) -> io::Result<Candidate<R>> {
        let Self { io, peer, place, slot, received } = self;
        Ok(Candidate { io: f(io)?, peer, place, slot, received })
    }
}

/// A request that was accepted, and is a connection once the 101 is on the wire.
pub(crate) struct Handshaken<T: FailOnDrop> {
    accepted: Guard<T>,
    request: Request,
    extensions: Extensions,
    rest: Vec<u8>,
    connection_slot: Slot,
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

impl<T: FailOnDrop> Handshaken<T> {
    fn new(decision: Decision<T>, request: Request, rest: Vec<u8>) -> Self {
        let Decision { accepted, extensions, connection_slot, .. } = decision;
        Self { accepted, request, extensions, rest, connection_slot }
    }

    /// Makes it a connection. From here on the handshake's place is free.
    fn establish<S, A>(self, hub: &Hub, candidate: Candidate<S>) -> Established<S, T>
    where
        A: App<Accepted = T>,
    {
        let Candidate { io, place, slot, .. } = candidate;
        drop(slot);
        let seat = Seat::take(place, self.connection_slot);
        let config = Arc::clone(A::protocol(hub));
        let connection = Connection::server(config, seat.shard().now()).with_extensions(self.extensions);
        let Self { accepted, request, rest: received, .. } = self;
        Established { accepted, request, io, connection, received, seat }
    }
}

/// Runs a handshake to its end; `launch` gets the connection that comes of it. The application is shared by all
/// handshakes.
pub(crate) async fn run<A, P>(
    app: P,
    mut candidate: Candidate<ServerStream>,
    launch: impl FnOnce(P, Established<ServerStream, A::Accepted>),
) where
    A: App,
    P: Deref<Target = A>,
{
    let hub = Arc::clone(&candidate.place.shard().hub);
    let deadline = ws_tokio::deadline_in(hub.options.handshake_timeout);
    #[cfg(feature = "tls-core")]
    if let Some(tls) = &hub.options.tls {
        // Boxed, for it is large, and mostly not there.
        match in_time(&hub, Phase::Draining, deadline, Box::pin(candidate.io.secured(tls))).await {
            Some(Ok(Ok(io))) => candidate.io = io,
            Some(Ok(Err(error))) => return tracing::debug!(%error, "no TLS"),
            Some(Err(_)) => return tracing::debug!("handshake deadline passed without TLS"),
            None => return,
        }
    }
    // The rest may take its time: until then what is there takes no more memory than it must.
    let received = std::mem::take(&mut candidate.received);
    let mut buffer = received.clone();
    candidate.place.shard().heads.put_back(received);
    let negotiation = negotiate(&*app, &hub, &mut candidate, &mut buffer);
    let Some(outcome) = in_time(&hub, Phase::Draining, deadline, negotiation).await else { return };
    let received_nothing = buffer.is_empty();
    candidate.place.shard().heads.put_back(buffer);
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
    A: App,
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
    A: App,
    P: Deref<Target = A>,
{
    let deadline = ws_tokio::deadline_in(candidate.place.shard().hub.options.handshake_timeout);
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
    A: App,
    P: Deref<Target = A>,
{
    let hub = Arc::clone(&candidate.place.shard().hub);
    let writing = async {
        candidate.io.write_all(response).await?;
        candidate.io.flush().await
    };
    if let Some(Ok(Ok(()))) = in_time(&hub, Phase::Forcing, deadline, writing).await {
        launch(app, accepted.establish::<_, A>(&hub, candidate));
    }
}

/// Sends the answer to a handshake that is refused. Whatever is left until the deadline, it goes on for as long as the peer
/// takes some of it within the handshake's time.
pub(crate) async fn refuse(mut candidate: Candidate<ServerStream>, answer: Vec<u8>) {
    let hub = Arc::clone(&candidate.place.shard().hub);
    tokio::select! {
        // What can be said at once is said.
        biased;
        () = respond(&mut candidate.io, &answer, hub.options.handshake_timeout) => {}
        () = hub.reached(Phase::Draining) => {}
    }
}

/// Waits until the deadline, and no longer than until the server has come to `end`; what is done by then counts.
async fn in_time<T>(
    hub: &Hub,
    end: Phase,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<Result<T, Elapsed>> {
    tokio::select! {
        biased;
        outcome = tokio::time::timeout_at(deadline, future) => Some(outcome),
        () = hub.reached(end) => None,
    }
}

/// Reads a request and decides about it.
async fn negotiate<A: App>(
    app: &A,
    hub: &Hub,
    candidate: &mut Candidate<ServerStream>,
    buffer: &mut Vec<u8>,
) -> Outcome<A::Accepted> {
    match read_request(&mut candidate.io, buffer, &hub.protocol.limits).await {
        // Boxed, for it is large.
        Ok(received) => {
            let (peer, over_tls) = (candidate.peer, candidate.io.is_tls());
            Box::pin(accept(app, hub, peer, over_tls, received)).await.map_err(Unsuccessful::Refused)
        }
        Err(ReadError::Bad(error)) => Err(Unsuccessful::Refused(Rejection::from(error).encode())),
        Err(ReadError::Io(error)) => Err(Unsuccessful::Gone(error)),
    }
}

/// Accepts what was read; `Err` is what to say instead.
async fn accept<A: App>(
    app: &A,
    hub: &Hub,
    peer: Option<SocketAddr>,
    over_tls: bool,
    received: ReceivedRequest,
) -> Result<(Handshaken<A::Accepted>, Vec<u8>), Vec<u8>> {
    let mut request = Request::new(received.request, peer);
    let admitted = admit(hub, &request, over_tls)?;
    if let Some(hook) = &hub.options.on_request_async {
        request = ask(hook, request).await?;
    }
    let mut decision = decide(app, hub, admitted, &mut request)?;
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
