//! Echo server on axum with our adapter.

use axum::Router;
use axum::response::Response;
use axum::routing::any;
use bench_common::server::MAX_MESSAGE;
use ws_hyper::axum::{InState, WebSocketUpgrade};
use ws_hyper::{Config, HyperStream, Upgrader, WebSocket};

async fn echo(mut ws: WebSocket<HyperStream>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

async fn upgrade(ws: WebSocketUpgrade<InState>) -> Response {
    ws.on_upgrade(echo)
}

fn main() -> std::io::Result<()> {
    let mut config = Config::default();
    config.limits.max_message_size = MAX_MESSAGE;
    let upgrader = Upgrader::new(config.validate().map_err(std::io::Error::other)?);
    servers_axum::serve(Router::new().route("/", any(upgrade)).with_state(upgrader))
}
