//! Decides whether a request becomes a connection. The server and [`Acceptor`](crate::Acceptor) share the checks here.

use http::{Method, StatusCode};
use ws_proto::{
    ValidConfig,
    handshake::{Extensions, OriginPolicy, Rejection, RequestError, ServerHandshake, TransportSecurity},
};
use ws_tokio::internal::guarded;

use crate::{
    admission::{
        Request,
        permits::{Full, Permit},
        request::encode_rejection,
    },
    log_limit::log_limited,
    measure::{HandshakeOutcome, PanicPlace},
    shard::server_state::ServerState,
};

use super::{
    error::AcceptError,
    established::{AcceptedRequest, Application, NotifyOnDrop},
};

/// An accepted request, or the response that refuses it.
pub(super) type Decision<T> = Result<AcceptedRequest<T>, Refusal>;

/// A request that was admitted: it is a valid handshake, and there is room for its connection.
pub(super) struct Admitted {
    handshake: ServerHandshake,
    connection_permit: Permit,
}

/// A response that is not 101, encoded.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) response: Vec<u8>,
    pub(crate) outcome: HandshakeOutcome,
}

impl Refusal {
    pub(super) fn new(rejection: &Rejection, method: &Method) -> Self {
        let outcome = HandshakeOutcome::Refused(rejection.response().status());
        Self { response: encode_rejection(rejection, method), outcome }
    }
}

/// Checks a request without asking the application: is it a WebSocket handshake, and is its origin allowed?
pub(super) fn check(
    request: &Request,
    origin: &OriginPolicy,
    over_tls: bool,
) -> Result<ServerHandshake, AcceptError> {
    let handshake = ServerHandshake::new(request)?;
    let security = if over_tls { TransportSecurity::Tls } else { TransportSecurity::Plain };
    check_origin(request, origin, security)?;
    Ok(handshake)
}

pub(super) fn check_origin(
    request: &Request,
    origin: &OriginPolicy,
    security: TransportSecurity,
) -> Result<(), AcceptError> {
    let is_allowed = origin.allows(request.headers(), request.uri(), security);
    if is_allowed { Ok(()) } else { Err(AcceptError::Origin) }
}

/// The extensions that the connection uses, and the 101 response.
pub(super) fn accept_upgrade(
    mut handshake: ServerHandshake,
    request: &Request,
    config: &ValidConfig,
) -> Result<(Extensions, Vec<u8>), AcceptError> {
    let extensions = handshake.negotiate(config);
    let response = handshake.accept(&request.acceptance)?;
    Ok((extensions, response))
}

/// Checks a request to the server and acquires its connection permit. `Err` is the rejection.
pub(super) fn admit(server: &ServerState, request: &Request, over_tls: bool) -> Result<Admitted, Refusal> {
    let handshake = match guarded(|| check(request, &server.options.origin, over_tls)) {
        Ok(Ok(handshake)) => handshake,
        Ok(Err(AcceptError::Request(error))) if error.is_not_upgrade() => {
            return Err(answer_plain_http(server, request, error));
        }
        Ok(Err(error)) => {
            let rejection = error.rejection().unwrap_or_else(internal_error);
            return Err(Refusal::new(&rejection, request.method()));
        }
        Err(_panicked) => return Err(encode(accepting_panicked(server))),
    };
    // A full server rejects before it asks the application.
    let connection_permit = server.connections.acquire(request.peer_addr());
    let connection_permit = connection_permit.map_err(|full| encode(rejection_when_full(full)))?;
    Ok(Admitted { handshake, connection_permit })
}

/// Asks the application about a request that was admitted.
pub(super) fn decide<A: Application>(
    app: &A,
    server: &ServerState,
    Admitted { handshake, connection_permit }: Admitted,
    mut request: Request,
    received: Vec<u8>,
) -> Decision<A::Accepted> {
    let accepted = ask_application(app, server, &mut request).map_err(encode)?;
    match accept_upgrade(handshake, &request, &server.protocol) {
        Ok((extensions, response)) => {
            Ok(AcceptedRequest { accepted, request, extensions, connection_permit, response, received })
        }
        Err(error) => Err(encode(response_failed(server, &error))),
    }
}

/// Asks the hook, if there is one, and the application.
pub(super) fn ask_application<A: Application>(
    app: &A,
    server: &ServerState,
    request: &mut Request,
) -> Result<NotifyOnDrop<A::Accepted>, Rejection> {
    let ask = || {
        if let Some(hook) = &server.options.on_request {
            hook(request)?;
        }
        app.accept(request)
    };
    match guarded(ask) {
        Ok(accepted) => accepted.map(NotifyOnDrop::new),
        Err(_panicked) => Err(accepting_panicked(server)),
    }
}

/// Answers a request that asks for no WebSocket, with the application's hook if there is one.
fn answer_plain_http(server: &ServerState, request: &Request, error: RequestError) -> Refusal {
    let rejection = match &server.options.http {
        None => return Refusal::new(&Rejection::from(error), request.method()),
        Some(hook) => match guarded(|| hook(request)) {
            Ok(response) => Rejection::from(response),
            Err(_panicked) => {
                let line = "the `http` hook panicked; the request is answered with 500";
                server.note_panic(PanicPlace::Request, line);
                return encode(internal_error());
            }
        },
    };
    let mut answer = Refusal::new(&rejection, request.method());
    answer.outcome = HandshakeOutcome::AnsweredHttp(rejection.response().status());
    let _ = guarded(|| drop(rejection));
    answer
}

/// Encodes an application's rejection. Its destructors may panic.
pub(super) fn encode(rejection: Rejection) -> Refusal {
    let encoded = Refusal::new(&rejection, &Method::GET);
    let _ = guarded(|| drop(rejection));
    encoded
}

pub(super) fn accepting_panicked(server: &ServerState) -> Rejection {
    let line = "the application panicked while it decided about a request; it is answered with 500";
    server.note_panic(PanicPlace::Request, line);
    internal_error()
}

/// The response that the application wants cannot be sent.
pub(super) fn response_failed(server: &ServerState, error: &(dyn std::error::Error + 'static)) -> Rejection {
    let line = "the application's response cannot be sent; the request is answered with 500";
    log_limited!(server.log_limits, Answer, error, error, "{line}");
    internal_error()
}

fn internal_error() -> Rejection {
    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The response when no permit is free.
pub(crate) fn rejection_when_full(full: Full) -> Rejection {
    let (status, text) = match full {
        Full::Server => (StatusCode::SERVICE_UNAVAILABLE, "the server is full\n"),
        Full::Address => (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address\n"),
    };
    Rejection::new(status).with_text(text)
}

#[cfg(test)]
mod tests;
