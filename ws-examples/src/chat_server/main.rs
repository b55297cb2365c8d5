//! A chat: one room, and the page for it on the same port.
//!
//! `cargo run --release --bin chat-server -- [ADDR] [--tls-cert PEM --tls-key PEM]`, then open
//! `http://127.0.0.1:9002/` in two windows.

mod room;

use std::{io, process::ExitCode, sync::Arc};

use bytes::Bytes;
use http::{StatusCode, header};
use ws_server::{DeflateConfig, Request, Server, Tls, WebSocket};

use room::Room;

const PAGE: &str = include_str!("page.html");

#[tokio::main]
async fn main() -> ExitCode {
    let server = match bind(std::env::args().skip(1)).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("chat-server: {error}");
            return ExitCode::FAILURE;
        }
    };
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown(std::time::Duration::from_secs(5)).await;
        }
    });
    let room = Arc::new(Room::default());
    server.serve(move |ws| chat(ws, Arc::clone(&room))).await;
    ExitCode::SUCCESS
}

/// Listens as the command line says.
async fn bind(mut args: impl Iterator<Item = String>) -> io::Result<Server> {
    let mut addr = "127.0.0.1:9002".to_owned();
    let (mut cert, mut key) = (None, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--tls-cert" => cert = args.next(),
            "--tls-key" => key = args.next(),
            _ => addr = arg,
        }
    }
    let (mut builder, mut scheme) =
        (Server::builder().http(page).deflate(Some(DeflateConfig::server())), "http");
    if let (Some(cert), Some(key)) = (cert, key) {
        let tls = Tls::from_pem(std::fs::read(cert)?, std::fs::read(key)?).map_err(io::Error::other)?;
        (builder, scheme) = (builder.tls(tls), "https");
    }
    let server = builder
        .bind(&addr)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
    println!("listening on {scheme}://{}/", server.local_addr()?);
    Ok(server)
}

/// Plain HTTP requests get the page.
fn page(request: &Request) -> http::Response<Bytes> {
    let (status, body) = match request.path() {
        "/" => (StatusCode::OK, PAGE),
        _ => (StatusCode::NOT_FOUND, "<!doctype html><title>Not found</title>There is no such page."),
    };
    let mut response = http::Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    let html = header::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// One visitor.
async fn chat(mut ws: WebSocket, room: Arc<Room>) {
    let visitor = room.enter(ws.sender());
    while let Some(message) = ws.recv().await {
        if let Some(text) = message.as_text() {
            room.say(&format!("visitor {}: {text}", visitor.number));
        }
    }
}
