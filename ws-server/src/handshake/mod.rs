//! A connection before it is open: from the first byte to the 101 response, within the handshake's deadline. The
//! future of a handshake ends with the 101 response, so an idle connection does not keep its memory.
//!
//! A handshake and its transport are passed side by side, because the transport changes on the way: a socket that no
//! runtime knows, a stream of the runtime, TLS.

mod accept;
mod acceptor;
mod adopter;
mod adoption;
mod decide;
mod error;
pub(crate) mod established;
mod guarded;
mod immediate;
mod proxy_header;
mod read;
mod respond;

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use http::StatusCode;
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, error::Elapsed},
};
use ws_proto::{error::WithCauses, handshake::Rejection};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    log_limit::log_limited,
    measure::HandshakeFailure,
    net::{Io as _, stream::ServerStream},
    options::AsyncRequestHook,
    shard::{
        LoadShare,
        progress::HandshakeProgress,
        server_state::{ServerState, ShutdownPhase},
    },
    wait::{First, first},
};

#[cfg(feature = "tls-core")]
use crate::net::Tls;

pub use accept::{accept, accept_with};
pub use acceptor::{Acceptor, PendingUpgrade};
pub use adopter::{Adopter, OpeningRequest, Reservation};
pub use error::{AcceptError, AdoptError, ReserveError};

pub(crate) use adoption::adopt;
pub(crate) use decide::rejection_when_full;
pub(crate) use guarded::{GuardedFuture, guard_handshake};
pub(crate) use immediate::{Step, Unfinished, try_immediately};
pub(crate) use respond::send_response;

use decide::{Decision, Refusal, accepting_panicked, admit, decide, encode};
use established::{AcceptedRequest, Application, Established};
use proxy_header::ProxyHeaderError;
use read::read_request;

/// What a handshake holds beside its transport.
pub(crate) struct Handshake {
    /// The first field, so that a handshake is counted before its permit is free.
    pub(crate) progress: Box<HandshakeProgress>,
    /// The client's address, as far as it is known.
    pub(crate) peer: Option<SocketAddr>,
    /// The proxy that has named the client in its header. Boxed because few handshakes have one.
    proxy: Option<Box<SocketAddr>>,
    /// Whether the header of the PROXY protocol comes next.
    expects_proxy_header: bool,
    pub(crate) load: LoadShare,
    pub(crate) permit: Permit,
    /// Bytes that were read and not parsed yet.
    pub(crate) received: Vec<u8>,
}

impl Handshake {
    pub(crate) fn new(peer: Option<SocketAddr>, load: LoadShare, permit: Permit) -> Self {
        let server = &load.shard().server;
        let expects_proxy_header = server.options.expects_proxy_header(peer);
        let progress = server.begin_handshake(peer);
        Self { progress, peer, proxy: None, expects_proxy_header, load, permit, received: Vec::new() }
    }

    /// The handshake of a connection that is handed over.
    const fn adopted(
        progress: Box<HandshakeProgress>,
        peer: Option<SocketAddr>,
        load: LoadShare,
        permit: Permit,
    ) -> Self {
        Self { progress, peer, proxy: None, expects_proxy_header: false, load, permit, received: Vec::new() }
    }

    /// The request that was read. From now on the handshake counts as one of the client that the request names.
    fn begin_request(&mut self, request: http::Request<()>) -> Result<Request, Refusal> {
        let server = &self.load.shard().server;
        let mut request = Request::new(request, self.peer);
        request.set_proxy(self.proxy.take());
        request.set_server_draining(server.is_draining());
        request.follow_forwarded(server.options.forwarded.as_ref());
        self.progress.set_peer(request.peer_addr());
        self.permit.assign(request.peer_addr()).map_err(|full| encode(rejection_when_full(full)))?;
        Ok(request)
    }
}

/// Runs a handshake to its end. `start` gets the connection if the handshake succeeds.
pub(crate) async fn run<A, P>(
    app: P,
    mut io: ServerStream,
    mut handshake: Handshake,
    start: impl FnOnce(P, ServerStream, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&handshake.load.shard().server);
    let deadline = handshake.progress.deadline(server.options.handshake_timeout);
    if handshake.expects_proxy_header {
        // Boxed because few connections have a header.
        let options = &server.options;
        let read = in_time(
            || server.handshakes_end(),
            deadline,
            || Box::pin(handshake.read_proxy_header(&mut io, options)),
        );
        match read.await {
            Some(Ok(Ok(()))) => {}
            Some(outcome) => return Box::pin(refuse_proxy(io, handshake, outcome)).await,
            None => return,
        }
    }
    #[cfg(feature = "tls-core")]
    if let Some(tls) = &server.options.tls {
        // Boxed because it is large, and most servers do without it.
        let Some(secured) = Box::pin(secure(io, &mut handshake, tls, deadline)).await else { return };
        io = secured;
    }
    // The rest of the request may take long. Until it comes, keep only as many bytes as were received.
    let received = std::mem::take(&mut handshake.received);
    let mut buffer = received.clone();
    handshake.load.shard().head_buffers.put_back(received);
    let negotiated = in_time(
        || server.handshakes_end(),
        deadline,
        || negotiate(&*app, &mut io, &mut handshake, &mut buffer),
    );
    let Some(outcome) = negotiated.await else { return };
    let received_nothing = buffer.is_empty();
    handshake.load.shard().head_buffers.put_back(buffer);
    let outcome = outcome.unwrap_or_else(|_elapsed| {
        if received_nothing { Err(AcceptError::TimedOut) } else { Ok(Err(request_timeout())) }
    });
    // Boxed to keep the future small while it waits for a slow client.
    Box::pin(conclude(app, io, handshake, outcome, deadline, start)).await;
}

/// Does the TLS handshake before the deadline. `None`: it has failed, or the server shuts down.
#[cfg(feature = "tls-core")]
async fn secure(
    io: ServerStream,
    handshake: &mut Handshake,
    tls: &Tls,
    deadline: Instant,
) -> Option<ServerStream> {
    let (peer, server) = (handshake.peer, &handshake.load.shard().server);
    match in_time(|| server.handshakes_end(), deadline, || io.accept_tls(tls)).await? {
        Ok(Ok(secured)) => return Some(secured),
        Ok(Err(error)) => {
            handshake.progress.fail(HandshakeFailure::Tls);
            log_limited!(
                server.log_limits, Handshake, debug,
                error = %WithCauses(&error), ?peer, "TLS handshake failed"
            );
        }
        Err(_elapsed) => {
            handshake.progress.fail(HandshakeFailure::TimedOut);
            log_limited!(server.log_limits, Handshake, debug, ?peer, "TLS handshake timed out");
        }
    }
    None
}

/// Ends a handshake whose header of the PROXY protocol is bad, or does not come. A client of an address with too many
/// handshakes gets a response, unless it needs TLS.
async fn refuse_proxy(
    io: ServerStream,
    mut handshake: Handshake,
    outcome: Result<Result<(), ProxyHeaderError>, Elapsed>,
) {
    if let Ok(Err(ProxyHeaderError::Full(full))) = outcome
        && !handshake.load.shard().server.options.uses_tls()
    {
        return reject(io, handshake, encode(rejection_when_full(full))).await;
    }
    let (peer, server) = (handshake.peer, Arc::clone(&handshake.load.shard().server));
    match outcome {
        Ok(Err(error)) => {
            handshake.progress.fail(error.failure());
            log_limited!(
                server.log_limits, Handshake, debug,
                error = %WithCauses(&error), ?peer, "a connection of a proxy failed"
            );
        }
        Ok(Ok(())) | Err(_) => {
            handshake.progress.fail(HandshakeFailure::TimedOut);
            let line = "the header of a proxy did not come in time";
            log_limited!(server.log_limits, Handshake, debug, ?peer, "{line}");
        }
    }
}

/// The response to a request that has arrived in part. A peer that has sent nothing gets none: a browser that opened
/// the connection in advance would take it as the response to its next request.
fn request_timeout() -> Refusal {
    encode(Rejection::new(StatusCode::REQUEST_TIMEOUT))
}

/// Sends the response, if there is one.
async fn conclude<A, P>(
    app: P,
    io: ServerStream,
    mut handshake: Handshake,
    outcome: Result<Decision<A::Accepted>, AcceptError>,
    deadline: Instant,
    start: impl FnOnce(P, ServerStream, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    match outcome {
        Ok(Ok(accepted)) => send_101(app, io, handshake, accepted, deadline, start).await,
        Ok(Err(response)) => reject(io, handshake, response).await,
        Err(error) => {
            if matches!(error, AcceptError::TimedOut) {
                handshake.progress.fail(HandshakeFailure::TimedOut);
            }
            log_failure(&handshake, &error);
        }
    }
}

/// Logs why a handshake ends without a response.
#[cold]
fn log_failure(handshake: &Handshake, error: &AcceptError) {
    let (peer, server) = (handshake.peer, &handshake.load.shard().server);
    log_limited!(
        server.log_limits, Handshake, debug,
        error = %WithCauses(error), ?peer, "handshake failed"
    );
}

/// Writes the rest of the 101 response of a handshake that [`try_immediately`] began.
pub(crate) async fn finish<A, P>(
    app: P,
    io: ServerStream,
    handshake: Handshake,
    accepted: AcceptedRequest<A::Accepted>,
    start: impl FnOnce(P, ServerStream, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let deadline = ws_tokio::internal::deadline_in(handshake.load.shard().server.options.handshake_timeout);
    send_101(app, io, handshake, accepted, deadline, start).await;
}

/// Writes the 101 response before the deadline and starts the connection. It does so even if the server has begun to
/// shut down since it accepted the request: the connection then gets a Close. If the response cannot be written,
/// dropping `accepted` notifies the application.
async fn send_101<A, P>(
    app: P,
    mut io: ServerStream,
    mut handshake: Handshake,
    accepted: AcceptedRequest<A::Accepted>,
    deadline: Instant,
    start: impl FnOnce(P, ServerStream, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&handshake.load.shard().server);
    let write = async || {
        io.write_all(&accepted.response).await?;
        io.flush().await
    };
    match in_time(|| server.reached(ShutdownPhase::Forcing), deadline, write).await {
        Some(Ok(Ok(()))) => start(app, io, accepted.establish::<A>(&server, handshake, None)),
        Some(Err(_elapsed)) => handshake.progress.fail(HandshakeFailure::TimedOut),
        Some(Ok(Err(_))) | None => {}
    }
}

/// Sends a rejection. It is not bound by the handshake's deadline: it continues while the peer takes some of it within
/// the handshake's timeout.
pub(crate) async fn reject(mut io: ServerStream, mut handshake: Handshake, refusal: Refusal) {
    handshake.progress.end(refusal.outcome);
    let server = Arc::clone(&handshake.load.shard().server);
    let patience = server.options.handshake_timeout;
    // A response that can be written at once is written even while the server shuts down.
    first!(
        send_response(&mut io, &refusal.response, patience, ServerStream::send_queue),
        server.handshakes_end()
    );
}

/// Polls a future until the deadline. `None` means that `end` came first. A result that is ready at that moment counts.
///
/// The futures are made inside: as arguments, they would be kept twice.
async fn in_time<T, E, F>(
    end: impl FnOnce() -> E,
    deadline: Instant,
    future: impl FnOnce() -> F,
) -> Option<Result<T, Elapsed>>
where
    E: Future<Output = ()>,
    F: Future<Output = T>,
{
    match first!(tokio::time::timeout_at(deadline, future()), end()) {
        First::Left(outcome) => Some(outcome),
        First::Right(()) => None,
    }
}

/// Reads a request and decides about it.
async fn negotiate<A: Application>(
    app: &A,
    io: &mut ServerStream,
    handshake: &mut Handshake,
    buffer: &mut Vec<u8>,
) -> Result<Decision<A::Accepted>, AcceptError> {
    match read_request(io, buffer, &handshake.load.shard().server.protocol.limits).await {
        Ok((request, head_len)) => {
            let rest = buffer.split_off(head_len);
            let request = match handshake.begin_request(request) {
                Ok(request) => request,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // Boxed because it is large.
            Ok(Box::pin(ask(app, &handshake.load.shard().server, io.is_tls(), request, rest)).await)
        }
        Err(error) => error.rejection().map(|rejection| Err(encode(rejection))).ok_or(error),
    }
}

/// Asks the async hook, if there is one, and the application about a request.
async fn ask<A: Application>(
    app: &A,
    server: &ServerState,
    over_tls: bool,
    mut request: Request,
    rest: Vec<u8>,
) -> Decision<A::Accepted> {
    let admitted = admit(server, &request, over_tls)?;
    if let Some(hook) = &server.options.on_request_async {
        request = ask_async_hook(server, hook, request).await.map_err(encode)?;
    }
    decide(app, server, admitted, request, rest)
}

/// Asks the async hook. A panic rejects the request too.
async fn ask_async_hook(
    server: &ServerState,
    hook: &AsyncRequestHook,
    request: Request,
) -> Result<Request, Rejection> {
    let Ok(asking) = guarded(|| hook(request)) else {
        return Err(accepting_panicked(server));
    };
    match GuardedFuture::new(asking).await {
        Ok(asked) => asked,
        Err(_panicked) => Err(accepting_panicked(server)),
    }
}
