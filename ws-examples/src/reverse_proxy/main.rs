//! A reverse proxy. Each client gets a connection of its own to the upstream server, opened before the client's request
//! is answered: the subprotocol that upstream selects goes into the 101, and a failure becomes a 502. Messages and the
//! way in which a connection ends are passed on in both directions.
//!
//! `cargo run --release --bin reverse-proxy -- UPSTREAM_URL [ADDR]`

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use ws_client::{ClientStream, Connector};
use ws_server::{Event, OriginPolicy, Receiver, Rejection, Request, Sender, Server, ServerStream, WebSocket};

const USAGE: &str = "usage: reverse-proxy UPSTREAM_URL [ADDR]";

/// The upstream connection of a request. Extensions of a request have to be `Clone`.
#[derive(Clone)]
struct Upstream(Arc<Mutex<Option<WebSocket<ClientStream>>>>);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (upstream, addr) = match &arguments[..] {
        [upstream] => (upstream.clone(), "127.0.0.1:9004"),
        [upstream, addr] => (upstream.clone(), addr.as_str()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    // Upstream checks the origin.
    let server = Server::builder().origin(OriginPolicy::Any);
    let server = server.on_request_async(move |request| connect(upstream.clone(), request));
    let server = match server.bind(addr).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("reverse-proxy: {addr}: {error}");
            return ExitCode::FAILURE;
        }
    };
    match server.local_addr() {
        Ok(addr) => println!("listening on ws://{addr}"),
        Err(error) => eprintln!("reverse-proxy: {error}"),
    }
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown(Duration::from_secs(5)).await;
        }
    });
    server.serve(forward).await;
    ExitCode::SUCCESS
}

/// Opens the upstream connection with the client's path, subprotocols and origin.
async fn connect(upstream: String, mut request: Request) -> Result<Request, Rejection> {
    let mut connector = Connector::new();
    for name in request.offered_subprotocols() {
        connector = connector.subprotocol(name);
    }
    if let Some(origin) = request.header("origin") {
        connector = connector.header("origin", origin);
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let url = format!("{}{target}", upstream.trim_end_matches('/'));
    let ws = connector.connect(url).await.map_err(|error| {
        eprintln!("reverse-proxy: {error}");
        Rejection::new(StatusCode::BAD_GATEWAY)
    })?;
    request.select_subprotocol(&Vec::from_iter(ws.subprotocol()));
    request.extensions_mut().insert(Upstream(Arc::new(Mutex::new(Some(ws)))));
    Ok(request)
}

async fn forward(client: WebSocket<ServerStream>, request: Request) {
    let upstream = request.extensions().get::<Upstream>();
    let upstream = upstream.and_then(|Upstream(ws)| ws.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(upstream) = upstream else { return };
    let (to_client, from_client) = client.split();
    let (to_upstream, from_upstream) = upstream.split();
    tokio::join!(copy(from_client, to_upstream), copy(from_upstream, to_client));
}

async fn copy<S>(mut from: Receiver<S>, to: Sender)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut closed = false;
    while let Some(event) = from.recv_event().await {
        match event {
            Event::Message(message) => drop(to.send(message).await),
            Event::Close(Some(frame)) => to.close(frame.code, &frame.reason),
            Event::Close(None) => to.close_without_code(),
            // The library answers pings on each side.
            _ => {}
        }
        closed = matches!(event, Event::Close(_));
    }
    if !closed {
        to.abort();
    }
}
