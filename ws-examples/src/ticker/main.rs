//! Prices of a thousand symbols for many clients, on the topics of `ws-server`. A client that reads slowly gets the
//! latest price of each symbol and not all that came before, and it does not delay the others.
//!
//! ```text
//! ticker [ADDR] [--symbols N] [--per-second N]     the server
//! ticker --clients N [--seconds N] …               server and clients in one process; prints a report
//! ```
//!
//! All prices go to one topic. The key of a publication is its symbol, so a price that waits is replaced by the next one
//! of the same symbol ([`SlowPolicy::latest_per_key`](ws_server::topics::SlowPolicy::latest_per_key)).

mod board;
mod client;
mod handler;
mod load;
mod options;
#[cfg(test)]
mod tests;

use std::{io, process::ExitCode, sync::Arc};

use ws_examples::{announce, with_causes};
use ws_server::{Server, ShutdownReport};

use board::Board;
use handler::Client;
use options::{Options, USAGE};

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("ticker: {error}");
            return ExitCode::from(2);
        }
    };
    let result = match options.clients {
        Some(clients) => load::run_load(&options, clients).await,
        None => serve(&options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ticker: {}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C.
async fn serve(options: &Options) -> io::Result<()> {
    let board = Board::of(options.symbols)?;
    let server = bind(&options.addr, &board).await?;
    announce(&server);
    let feed = tokio::spawn({
        let (board, per_second) = (Arc::clone(&board), options.per_second);
        async move { board.publish_for(per_second, None).await }
    });
    let served = run(server, board, options.shards).await;
    feed.abort();
    served.map(drop)
}

async fn bind(addr: &str, board: &Board) -> io::Result<Server> {
    Server::builder()
        .topics(board.topics().clone())
        // What waits for a member is at most half of what its connection may queue.
        .write_queue_messages(2 * board.symbols())
        .write_queue_bytes(2 * board.most_waiting())
        // A slow client in this example is slow on purpose.
        .write_timeout(None)
        .max_connections(None)
        .bind(addr)
        .await
}

async fn run(server: Server, board: Arc<Board>, shards: usize) -> io::Result<ShutdownReport> {
    server.sharded(shards).serve_handler::<Client>(board).await
}
