//! Whether a request becomes a connection.

use http::StatusCode;
use ws_proto::handshake::{Extensions, Rejection, RequestError, ServerHandshake};
use ws_tokio::internal::guarded;

use crate::{
    admission::{
        Request,
        permits::{Full, Permit},
        request::encode_answer,
    },
    handshake::established::Application,
    shard::server_state::ServerState,
};

use crate::handshake::established::{HandshakeFailed, NotifyOnDrop};

/// A request that may become a connection, if the application wants it.
pub(super) struct Admitted {
    handshake: ServerHandshake,
    connection_permit: Permit,
}

/// A request that becomes a connection.
pub(super) struct Decision<T: HandshakeFailed> {
    pub(super) accepted: NotifyOnDrop<T>,
    pub(super) extensions: Extensions,
    pub(super) response: Vec<u8>,
    pub(super) connection_permit: Permit,
}

/// What is checked before the application is asked; or what to answer instead.
pub(super) fn admit(server: &ServerState, request: &Request, over_tls: bool) -> Result<Admitted, Vec<u8>> {
    let handshake = match ServerHandshake::new(request) {
        Ok(handshake) => handshake,
        Err(error) => return Err(answer_plain(server, request, error)),
    };
    let allows = || server.options.origin.allows(request, over_tls);
    let Ok(allowed) = guarded(allows) else { return Err(accepting_panicked()) };
    if !allowed {
        let rejection = Rejection::new(StatusCode::FORBIDDEN).with_text("origin not allowed\n");
        return Err(rejection.encode());
    }
    // Before the application is asked, and long before the 101: a full server says so.
    let connection_permit = server.connections.acquire(request.peer_addr()).map_err(refusal)?;
    Ok(Admitted { handshake, connection_permit })
}

/// Asks the application, or says what to answer instead.
pub(super) fn decide<A: Application>(
    app: &A,
    server: &ServerState,
    admitted: Admitted,
    request: &mut Request,
) -> Result<Decision<A::Accepted>, Vec<u8>> {
    let Admitted { mut handshake, connection_permit } = admitted;
    let accept = || {
        if let Some(hook) = &server.options.on_request {
            hook(request)?;
        }
        app.accept(request)
    };
    let accepted = match guarded(accept) {
        Ok(Ok(accepted)) => NotifyOnDrop::new(accepted),
        Ok(Err(rejection)) => return Err(encode(rejection)),
        Err(_) => return Err(accepting_panicked()),
    };
    let extensions = handshake.negotiate(&server.protocol);
    match handshake.accept(&request.acceptance) {
        Ok(response) => Ok(Decision { accepted, extensions, response, connection_permit }),
        Err(error) => Err(internal_error(&error.to_string())),
    }
}

/// Answers a request that is no upgrade: by the application's hook, if it has one.
fn answer_plain(server: &ServerState, request: &Request, error: RequestError) -> Vec<u8> {
    let answer = match server.options.http.as_ref().filter(|_| error.is_not_upgrade()) {
        None => Rejection::from(error),
        Some(hook) => match guarded(|| hook(request)) {
            Ok(response) => Rejection::from(response),
            Err(_) => return internal_error("answering an HTTP request panicked"),
        },
    };
    let encoded = encode_answer(&answer, request.method());
    let _ = guarded(|| drop(answer));
    encoded
}

/// Encodes an answer of the application's. A panic of its destructors ends here.
pub(super) fn encode(rejection: Rejection) -> Vec<u8> {
    let encoded = rejection.encode();
    let _ = guarded(|| drop(rejection));
    encoded
}

pub(super) fn accepting_panicked() -> Vec<u8> {
    internal_error("accepting a request panicked")
}

fn internal_error(what: &str) -> Vec<u8> {
    tracing::error!("{what}");
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).encode()
}

/// The answer where there is no place.
pub(crate) fn refusal(full: Full) -> Vec<u8> {
    let (status, text) = match full {
        Full::Server => (StatusCode::SERVICE_UNAVAILABLE, "the server is full\n"),
        Full::Address => (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address\n"),
    };
    Rejection::new(status).with_text(text).encode()
}
