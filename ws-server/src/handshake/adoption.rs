//! The server's side of an adoption. It asks the application on the shard that is to run the connection, because a
//! handler never leaves its thread, and waits there for the connection.

use std::{ops::Deref, sync::Arc};

use http::{Response, StatusCode};
use tokio::sync::oneshot;
use ws_proto::handshake::{Rejection, ServerHandshake};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    measure::HandshakeFailure,
    net::stream::Detached,
    shard::{
        LoadShare,
        adoption::{Adoption, Handover, Offer},
        server_state::{ServerState, ShutdownPhase},
    },
};

use super::{
    Handshake, ask_async_hook,
    decide::{ask_application, response_failed},
    established::{AcceptedRequest, Application, Established},
    in_time,
};

/// Decides about a request, and waits for its connection within the handshake's deadline. `start` gets the connection.
/// If none comes, dropping the accepted request notifies the application.
pub(crate) async fn adopt<A, P>(
    app: P,
    adoption: Box<Adoption>,
    load: LoadShare,
    start: impl FnOnce(P, Detached, Established<A::Accepted>),
) where
    A: Application,
    P: Deref<Target = A>,
{
    let server = Arc::clone(&load.shard().server);
    let deadline = ws_tokio::internal::deadline_in(server.options.handshake_timeout);
    let Adoption { mut progress, request, handshake, handshake_permit, connection_permit, decision } =
        *adoption;
    let asking = ask(&*app, &server, request, handshake, connection_permit);
    let Some(asked) = in_time(|| server.handshakes_end(), deadline, || Box::pin(asking)).await else {
        return;
    };
    let (mut accepted, response) = match asked.unwrap_or_else(|_elapsed| Err(timed_out())) {
        Ok(accepted) => accepted,
        Err(rejection) => {
            progress.refuse(rejection.response().status());
            drop(progress);
            // The rejection is dropped here if the caller is gone. Its destructors may panic.
            let _ = guarded(|| drop(decision.send(Err(rejection))));
            return;
        }
    };
    let (handover, handed_over) = oneshot::channel();
    if decision.send(Ok(Offer { response, handover })).is_err() {
        return;
    }
    let Some(Handover { stream, received }) = wait(&server, deadline, handed_over).await else {
        if tokio::time::Instant::now() >= deadline {
            progress.fail(HandshakeFailure::TimedOut);
        }
        return;
    };
    // A socket that cannot be configured is broken already.
    if stream.set_nodelay(server.options.tcp_nodelay).is_err() {
        return;
    }
    accepted.received = received;
    let peer = accepted.request.peer_addr();
    let handshake = Handshake::adopted(progress, peer, load, handshake_permit);
    start(app, stream, accepted.establish::<A>(&server, handshake, None));
}

/// Waits for the connection. It comes even if the server has begun to shut down since it accepted the request: it then
/// gets a Close.
async fn wait(
    server: &ServerState,
    deadline: tokio::time::Instant,
    mut handed_over: oneshot::Receiver<Handover>,
) -> Option<Handover> {
    match in_time(|| server.reached(ShutdownPhase::Forcing), deadline, || &mut handed_over).await {
        Some(Ok(handover)) => handover.ok(),
        _ => {
            // A connection that was handed over before this moment is taken.
            handed_over.close();
            handed_over.try_recv().ok()
        }
    }
}

/// Asks the async hook, if there is one, and the application. Returns the response too.
async fn ask<A: Application>(
    app: &A,
    server: &ServerState,
    mut request: Request,
    mut handshake: ServerHandshake,
    connection_permit: Permit,
) -> Result<(AcceptedRequest<A::Accepted>, Response<()>), Rejection> {
    if let Some(hook) = &server.options.on_request_async {
        request = ask_async_hook(server, hook, request).await?;
    }
    let accepted = ask_application(app, server, &mut request)?;
    let extensions = handshake.negotiate(&server.protocol);
    let response =
        handshake.response(&request.acceptance).map_err(|error| response_failed(server, &error))?;
    let (unwritten, received) = (Vec::new(), Vec::new());
    let accepted =
        AcceptedRequest { accepted, request, extensions, connection_permit, response: unwritten, received };
    Ok((accepted, response))
}

/// The async hook has not decided before the deadline.
fn timed_out() -> Rejection {
    Rejection::new(StatusCode::REQUEST_TIMEOUT)
}
