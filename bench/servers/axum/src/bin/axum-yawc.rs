//! Echo server on axum with yawc: its extractor, and the `next` / `send` loop of its crate documentation.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bench_common::server::MAX_MESSAGE;
use futures_util::{SinkExt as _, StreamExt as _};
use yawc::frame::OpCode;
use yawc::{IncomingUpgrade, Options, UpgradeFut};

async fn echo(fut: UpgradeFut) -> yawc::Result<()> {
    let mut ws = fut.await?;
    while let Some(frame) = ws.next().await {
        match frame.opcode() {
            OpCode::Text | OpCode::Binary => ws.send(frame).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn upgrade(ws: IncomingUpgrade) -> Response {
    let options = Options::default().with_limits(MAX_MESSAGE, 2 * MAX_MESSAGE).with_utf8();
    match ws.upgrade(options) {
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
