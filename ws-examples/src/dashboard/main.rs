//! A server that shows its own statistics: a page with charts, live over a WebSocket, on the server's own port.
//!
//! `cargo run --release --bin dashboard -- [ADDR] [--tick MS]`, then open `http://127.0.0.1:9008/`.
//!
//! | path | what it is |
//! |---|---|
//! | `/` | the page |
//! | `/figures` | a sample of the statistics at each tick, first those of the last five minutes |
//! | `/echo` | the application whose figures these are; a button of the page puts load on it |

mod figures;
mod options;
mod page;
mod sample;
#[cfg(test)]
mod tests;

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use ws_examples::{site, with_causes};
use ws_server::{Keepalive, Rejection, Server, ServerStream, WebSocket, http::StatusCode};

use figures::Figures;
use options::{Options, USAGE};
use page::FILES;

/// The path of the samples.
const FIGURES: &str = "/figures";

/// The path of the application.
const ECHO: &str = "/echo";

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// All connections together hold at most this many bytes.
const MEMORY: usize = 256 * 1024 * 1024;

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("dashboard: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(&options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C.
async fn serve(options: &Options) -> io::Result<()> {
    let figures = Arc::new(Figures::new(options.tick)?);
    // The round-trip times come from the pings to silent peers.
    let keepalive = Keepalive::new(Duration::from_secs(2), Duration::from_secs(10));
    let server = bind(&options.addr, &figures, Some(keepalive)).await?;
    println!("listening on http://{}/", server.local_addr()?);
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown(Duration::from_secs(5)).await;
        }
    });
    let sampling = tokio::spawn({
        let (figures, stats) = (Arc::clone(&figures), server.stats_handle());
        async move { figures.publish_always(&stats).await }
    });
    run(server, figures).await;
    sampling.abort();
    Ok(())
}

async fn bind(addr: &str, figures: &Figures, keepalive: Option<Keepalive>) -> io::Result<Server> {
    Server::builder()
        .topics(figures.topics().clone())
        .http(|request| site::respond(&FILES, request))
        .on_request(|request| match request.path() {
            FIGURES | ECHO => Ok(()),
            _ => Err(Rejection::new(StatusCode::NOT_FOUND)),
        })
        .keepalive(keepalive)
        // For the round-trip times: each connection measures its own.
        .statistics(true)
        .max_message_size(MAX_MESSAGE)
        .memory_budget(MEMORY)
        .bind(addr)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))
}

async fn run(server: Server, figures: Arc<Figures>) {
    server
        .serve(move |ws, request| {
            let figures = Arc::clone(&figures);
            async move {
                match request.path() {
                    FIGURES => figures.show(ws).await,
                    _ => echo(ws).await,
                }
            }
        })
        .await;
}

async fn echo(mut ws: WebSocket<ServerStream>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}
