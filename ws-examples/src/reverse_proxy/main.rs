//! A reverse proxy. Each client gets a connection of its own to the upstream server, opened before the client's request
//! is answered: the subprotocol that upstream selects goes into the 101, and a failure becomes a 502. Messages and the
//! way in which a connection ends are passed on in both directions.
//!
//! `cargo run --release --bin reverse-proxy -- UPSTREAM_URL [ADDR]`

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use ws_client::{ClientStream, Connector};
use ws_examples::{announce, arguments, with_causes};
use ws_server::{Event, OriginPolicy, Receiver, Rejection, Request, Sender, Server, ServerStream, WebSocket};

/// The upstream connection of a request. Extensions of a request have to be `Clone`.
#[derive(Clone)]
struct Upstream(Arc<Mutex<Option<WebSocket<ClientStream>>>>);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match arguments("reverse-proxy UPSTREAM_URL [ADDR]", 1..=2) {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    let upstream = arguments[0].clone();
    let addr = arguments.get(1).map_or("127.0.0.1:9005", String::as_str);
    // Upstream checks the origin.
    let builder = Server::builder().origin(OriginPolicy::Any);
    let builder = builder.on_request_async(move |request| connect(upstream.clone(), request));
    match builder.bind(addr).await {
        Ok(server) => {
            announce(&server);
            server.serve(forward).await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("reverse-proxy: {addr}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Opens the upstream connection, with the client's path, subprotocols and origin.
async fn connect(upstream: String, mut request: Request) -> Result<Request, Rejection> {
    let mut connector = Connector::new();
    for name in request.offered_subprotocols() {
        connector = connector.subprotocol(name);
    }
    if let Some(origin) = request.header("origin") {
        connector = connector.header("origin", origin);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let ws = connector.connect(format!("{}{target}", upstream.trim_end_matches('/'))).await;
    let ws = ws.map_err(|error| {
        eprintln!("reverse-proxy: {}", with_causes(&error));
        Rejection::new(StatusCode::BAD_GATEWAY)
    })?;
    request.select_subprotocol(ws.subprotocol().as_slice());
    request.extensions_mut().insert(Upstream(Arc::new(Mutex::new(Some(ws)))));
    Ok(request)
}

async fn forward(client: WebSocket<ServerStream>, request: Request) {
    let upstream = request.extensions().get::<Upstream>();
    let upstream = upstream.and_then(|Upstream(ws)| ws.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(upstream) = upstream else { return };
    let (to_client, from_client) = client.split();
    let (to_upstream, from_upstream) = upstream.split();
    tokio::join!(pass_on(from_client, to_upstream), pass_on(from_upstream, to_client));
}

async fn pass_on<S: AsyncRead + AsyncWrite + Unpin>(mut from: Receiver<S>, to: Sender) {
    let mut is_closed = false;
    while let Some(event) = from.recv_event().await {
        match event {
            Event::Message(message) => drop(to.send(message).await),
            Event::Close(frame) => {
                is_closed = true;
                match frame.code {
                    Some(code) => to.close(code, &frame.reason),
                    None => to.close_without_code(),
                }
            }
            // The library answers pings on each side.
            _ => {}
        }
    }
    if !is_closed {
        to.abort();
    }
}
