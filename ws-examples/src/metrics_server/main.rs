//! An echo server that serves its statistics to Prometheus on the same port, at `/metrics`.
//!
//! `cargo run --release --bin metrics-server -- 127.0.0.1:9001`. `docs/grafana-dashboard.json` is a dashboard for it.

mod render;

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
};

use ws_examples::with_causes;
use ws_server::{
    OriginPolicy, Request, Server,
    http::{Response, StatusCode, header},
    stats::StatsHandle,
};

/// The media type of the text format of Prometheus.
const MEDIA_TYPE: &str = "text/plain; version=0.0.4";

#[tokio::main]
async fn main() -> ExitCode {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".to_owned());
    match serve(&addr).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics-server: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(addr: &str) -> std::io::Result<()> {
    // The handle exists once the server is bound.
    let stats = Arc::new(OnceLock::new());
    let known = Arc::clone(&stats);
    let builder = Server::builder()
        .origin(OriginPolicy::Any)
        // For the round-trip times. It takes about 400 bytes per connection.
        .statistics(true)
        .http(move |request| answer(request, known.get()));
    let server = builder.bind(addr).await?;
    let _ = stats.set(server.stats_handle());
    println!("listening on ws://{0}, metrics at http://{0}/metrics", server.local_addr()?);
    server
        .serve(|mut ws, _request| async move {
            while let Some(message) = ws.recv().await {
                if ws.send(message).await.is_err() {
                    break;
                }
            }
        })
        .await;
    Ok(())
}

fn answer(request: &Request, stats: Option<&StatsHandle>) -> Response<bytes::Bytes> {
    let mut response = Response::default();
    match stats.filter(|_| request.path() == "/metrics") {
        Some(stats) => {
            let media_type = header::HeaderValue::from_static(MEDIA_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, media_type);
            *response.body_mut() = render::prometheus(&stats.snapshot()).into();
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}
