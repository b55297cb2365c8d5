//! Echo server on axum with fastwebsockets: its `axum` example.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bench_common::server::MAX_MESSAGE;
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};

async fn echo(fut: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = fut.await?;
    ws.set_max_message_size(MAX_MESSAGE);
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn upgrade(ws: upgrade::IncomingUpgrade) -> Response {
    match ws.upgrade() {
        Ok((response, fut)) => {
            tokio::spawn(echo(fut));
            response.into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn main() -> std::io::Result<()> {
    servers_axum::serve(Router::new().route("/", any(upgrade)))
}
