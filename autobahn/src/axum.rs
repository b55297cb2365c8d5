//! An echo server on axum, for the server direction of the Autobahn Testsuite. Ends with status 0 on SIGTERM.

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{Extension, Router, response::Response, routing::any};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use ws_hyper::{Config, DeflateConfig, HyperStream, Upgrader, WebSocket, axum::WebSocketUpgrade};

const USAGE: &str = "usage: autobahn-axum --listen ADDR [--max-message-size BYTES] [--deflate]";

struct Options {
    listen: SocketAddr,
    config: Config,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let (mut listen, mut config) = (None, Config::default());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--listen" => listen = Some(arguments.next().ok_or(USAGE)?.parse()?),
            "--max-message-size" => {
                config.limits.max_message_size = arguments.next().ok_or(USAGE)?.parse()?;
            }
            "--deflate" => config.deflate = Some(DeflateConfig::server()),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(Options { listen: listen.ok_or(USAGE)?, config })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let Options { listen, config } = parse(std::env::args().skip(1))?;
    let upgrader = Upgrader::new(config.validate()?);
    let app = Router::new().route("/", any(handler)).layer(Extension(upgrader.clone()));
    let listener = TcpListener::bind(listen).await?;
    // Installed before the line is printed: a parent process may send a signal as soon as it has read it.
    let mut terminated = signal(SignalKind::terminate())?;
    println!("listening on ws://{}", listener.local_addr()?);
    let stopped = async move {
        terminated.recv().await;
        upgrader.shutdown(Duration::from_secs(5)).await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    Ok(())
}

async fn handler(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(echo)
}

async fn echo(mut ws: WebSocket<HyperStream>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}
