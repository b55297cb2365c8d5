//! A chat: one room, and the page for it on the same port.
//!
//! `cargo run --release --bin chat-server -- [ADDR]`, then open `http://127.0.0.1:9002/` in two windows.

mod room;

use std::{process::ExitCode, sync::Arc};

use bytes::Bytes;
use http::{StatusCode, header};
use ws_server::{Request, Server, WebSocket};

use room::Room;

const PAGE: &str = include_str!("page.html");

#[tokio::main]
async fn main() -> ExitCode {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let server = match Server::builder().http(page).bind(&addr).await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("chat-server: cannot listen on {addr}: {error}");
            return ExitCode::FAILURE;
        }
    };
    if let Ok(addr) = server.local_addr() {
        println!("listening on http://{addr}/");
    }
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
