//! A chat with rooms, on the topics of `ws-server`. It serves its web page on the same port.
//!
//! `cargo run --release --bin chat-server -- [ADDR] [--tls-cert PEM --tls-key PEM]`, then open
//! `http://127.0.0.1:9002/` in two windows. With `--redis URL` or `--nats URL`, several processes have the same rooms.
//!
//! Each room has two topics. The log has the messages, with a history: a page that was away gets what it missed. The
//! live topic has what is of use only now: who joins, leaves and writes.

mod backplane;
mod options;
mod page;
mod protocol;
mod rate;
mod rooms;
mod visitor;

use std::{process::ExitCode, sync::Arc, time::Duration};

use ws_examples::with_causes;

use options::{Options, USAGE};
use rooms::Rooms;

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
    let started = async {
        let rooms = Arc::new(Rooms::start(&options)?);
        Ok((options.bind(rooms.topics()).await?, rooms))
    };
    let (server, rooms) = match started.await {
        Ok(started) => started,
        Err(error) => {
            let error: std::io::Error = error;
            eprintln!("chat-server: {}", with_causes(&error));
            return ExitCode::FAILURE;
        }
    };
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown(Duration::from_secs(5)).await;
        }
    });
    let presence = tokio::spawn(rooms::tell_presence(Arc::clone(&rooms)));
    let visited = Arc::clone(&rooms);
    server.serve(move |ws, _request| visitor::serve(ws, Arc::clone(&visited))).await;
    presence.abort();
    rooms.leave_cluster().await;
    ExitCode::SUCCESS
}
