//! A chat server with one room. It serves the web page of the chat on the same port.
//!
//! `cargo run --release --bin chat-server -- [ADDR] [--tls-cert PEM --tls-key PEM]`, then open
//! `http://127.0.0.1:9002/` in two windows.

mod room;

use std::{io, path::PathBuf, process::ExitCode, sync::Arc};

use bytes::Bytes;
use http::{StatusCode, header};
use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_examples::with_causes;
use ws_server::{DeflateConfig, Request, Server, ServerStream, Tls, WebSocket};

use room::Room;

const PAGE: &str = include_str!("page.html");

const USAGE: &str = "usage: chat-server [ADDR] [--tls-cert PEM --tls-key PEM]";

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("chat-server: {error}");
            return ExitCode::from(2);
        }
    };
    let server = match options.bind().await {
        Ok(server) => server,
        Err(error) => {
            eprintln!("chat-server: {}", with_causes(&error));
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
    server.serve(move |ws, _request| chat(ws, Arc::clone(&room))).await;
    ExitCode::SUCCESS
}

/// Command-line options.
struct Options {
    addr: String,
    /// The paths of the certificate and the key.
    tls: Option<(PathBuf, PathBuf)>,
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut addr = "127.0.0.1:9002".to_owned();
        let (mut cert, mut key) = (None, None);
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("tls-cert") => cert = Some(parser.value()?.into()),
                Long("tls-key") => key = Some(parser.value()?.into()),
                Value(value) => addr = value.string()?,
                other => return Err(other.unexpected()),
            }
        }
        if cert.is_some() != key.is_some() {
            return Err("--tls-cert and --tls-key must be used together".into());
        }
        Ok(Some(Self { addr, tls: cert.zip(key) }))
    }

    /// Starts a server with these options.
    async fn bind(&self) -> io::Result<Server> {
        let addr = &self.addr;
        let (mut builder, mut scheme) =
            (Server::builder().http(page).deflate(Some(DeflateConfig::server())), "http");
        if let Some((cert, key)) = &self.tls {
            let tls = Tls::from_pem(std::fs::read(cert)?, std::fs::read(key)?).map_err(io::Error::other)?;
            (builder, scheme) = (builder.tls(tls), "https");
        }
        let server = builder
            .bind(addr)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
        println!("listening on {scheme}://{}/", server.local_addr()?);
        Ok(server)
    }
}

/// Answers HTTP requests that are not WebSocket upgrades.
fn page(request: &Request) -> http::Response<Bytes> {
    let (status, body) = match request.path() {
        "/" => (StatusCode::OK, PAGE),
        _ => (StatusCode::NOT_FOUND, "<!doctype html><title>Not found</title>Page not found."),
    };
    let mut response = http::Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() = status;
    let html = header::HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// Serves one visitor.
async fn chat(mut ws: WebSocket<ServerStream>, room: Arc<Room>) {
    let visitor = room.enter(ws.sender());
    while let Some(message) = ws.recv().await {
        if let Some(text) = message.as_text() {
            room.say(&format!("visitor {}: {text}", visitor.number));
        }
    }
}
