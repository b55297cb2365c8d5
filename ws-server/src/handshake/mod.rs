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
mod guarded_future;
mod immediate;
mod read;
mod respond;

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use http::{Method, StatusCode};
use tokio::{
    io::AsyncWriteExt as _,
    time::{Instant, error::Elapsed},
};
use ws_proto::{error::WithCauses, handshake::Rejection};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    net::{Io as _, stream::ServerStream},
    options::AsyncRequestHook,
    shard::{
        LoadShare,
        server_state::{ServerState, ShutdownPhase},
    },
};

pub use accept::{accept, accept_with};
pub use acceptor::{Acceptor, PendingUpgrade};
pub use adopter::{Adopter, OpeningRequest, Reservation};
pub use error::{AcceptError, AdoptError, ReserveError};

pub(crate) use adoption::adopt;
pub(crate) use decide::rejection_when_full;
pub(crate) use guarded_future::GuardedFuture;
pub(crate) use immediate::{Step, try_immediately};
pub(crate) use respond::send_response;

use decide::{Decision, accepting_panicked, admit, decide, encode};
use established::{AcceptedRequest, Application, Established};
use read::read_request;

/// What a handshake holds beside its transport.
pub(crate) struct Handshake {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) load: LoadShare,
    pub(crate) permit: Permit,
    /// Bytes that were read and not parsed yet.
    pub(crate) received: Vec<u8>,
}

impl Handshake {
    pub(crate) const fn new(peer: Option<SocketAddr>, load: LoadShare, permit: Permit) -> Self {
        Self { peer, load, permit, received: Vec::new() }
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
    let deadline = ws_tokio::internal::deadline_in(server.options.handshake_timeout);
    #[cfg(feature = "tls-core")]
    if let Some(tls) = &server.options.tls {
        // Boxed because it is large, and most servers do without it.
        match in_time(&server, ShutdownPhase::Draining, deadline, Box::pin(io.accept_tls(tls))).await {
            Some(Ok(Ok(secured))) => io = secured,
            Some(Ok(Err(error))) => {
                return tracing::debug!(error = %WithCauses(&error), "TLS handshake failed");
            }
            Some(Err(_elapsed)) => return tracing::debug!("TLS handshake timed out"),
            None => return,
        }
    }
    // The rest of the request may take long. Until it comes, keep only as many bytes as were received.
    let received = std::mem::take(&mut handshake.received);
    let mut buffer = received.clone();
    handshake.load.shard().head_buffers.put_back(received);
    let negotiation = negotiate(&*app, &mut io, &handshake, &mut buffer);
    let Some(outcome) = in_time(&server, ShutdownPhase::Draining, deadline, negotiation).await else {
        return;
    };
    let received_nothing = buffer.is_empty();
    handshake.load.shard().head_buffers.put_back(buffer);
    let outcome = outcome.unwrap_or_else(|_elapsed| {
        if received_nothing { Err(AcceptError::TimedOut) } else { Ok(Err(request_timeout())) }
    });
    // Boxed to keep the future small while it waits for a slow client.
    Box::pin(conclude(app, io, handshake, outcome, deadline, start)).await;
}

/// The response to a request that has arrived in part. A peer that has sent nothing gets none: a browser that opened
/// the connection in advance would take it as the response to its next request.
fn request_timeout() -> Vec<u8> {
    Rejection::new(StatusCode::REQUEST_TIMEOUT).encode()
}

/// Sends the response, if there is one.
async fn conclude<A, P>(
    app: P,
    io: ServerStream,
    handshake: Handshake,
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
            tracing::debug!(error = %WithCauses(&error), peer = ?handshake.peer, "handshake failed");
        }
    }
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
    handshake: Handshake,
    accepted: AcceptedRequest<A::Accepted>,
    deadline: Instant,
    start: impl FnOnce(P, ServerStream, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&handshake.load.shard().server);
    let write = async {
        io.write_all(&accepted.response).await?;
        io.flush().await
    };
    if let Some(Ok(Ok(()))) = in_time(&server, ShutdownPhase::Forcing, deadline, write).await {
        start(app, io, accepted.establish::<A>(&server, handshake));
    }
}

/// Sends a rejection. It is not bound by the handshake's deadline: it goes on while the peer takes some of it within
/// the handshake's timeout.
pub(crate) async fn reject(mut io: ServerStream, handshake: Handshake, response: Vec<u8>) {
    let server = Arc::clone(&handshake.load.shard().server);
    let patience = server.options.handshake_timeout;
    tokio::select! {
        // A response that can be written at once is written even while the server shuts down.
        biased;
        () = send_response(&mut io, &response, patience, ServerStream::send_queue) => {}
        () = server.reached(ShutdownPhase::Draining) => {}
    }
}

/// Polls a future until the deadline. `None` means that the server's shutdown has reached `end` first. A result that is
/// ready at that moment counts.
async fn in_time<T>(
    server: &ServerState,
    end: ShutdownPhase,
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
    io: &mut ServerStream,
    handshake: &Handshake,
    buffer: &mut Vec<u8>,
) -> Result<Decision<A::Accepted>, AcceptError> {
    match read_request(io, buffer, &handshake.load.shard().server.protocol.limits).await {
        Ok((request, head_len)) => {
            let rest = buffer.split_off(head_len);
            let request = Request::new(request, handshake.peer);
            // Boxed because it is large.
            Ok(Box::pin(ask(app, &handshake.load.shard().server, io.is_tls(), request, rest)).await)
        }
        Err(error) => error.response(&Method::GET).map(Err).ok_or(error),
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
        request = ask_async_hook(hook, request).await.map_err(encode)?;
    }
    decide(app, server, admitted, request, rest)
}

/// Asks the async hook. A panic rejects the request too.
async fn ask_async_hook(hook: &AsyncRequestHook, request: Request) -> Result<Request, Rejection> {
    let Ok(asking) = guarded(|| hook(request)) else {
        return Err(accepting_panicked());
    };
    match GuardedFuture::new(asking).await {
        Ok(asked) => asked,
        Err(_panicked) => Err(accepting_panicked()),
    }
}
