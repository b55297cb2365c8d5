//! An echo server: sends every text and binary message back unchanged.
//!
//! `cargo run --release --bin echo-server -- --help` shows its options.

mod handler;
mod options;
mod signals;
mod stats;

use std::{process::ExitCode, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_examples::with_causes;
use ws_server::{ShutdownHandle, WebSocket};

use handler::Echo;
use options::{Api, Options};
use signals::Signals;

/// Timeout for closing the connections when the server shuts down.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("echo-server: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &std::io::Error) -> ExitCode {
    eprintln!("echo-server: {}", with_causes(error));
    ExitCode::FAILURE
}

async fn serve(options: Options) -> std::io::Result<()> {
    let (mut builder, mut scheme) = (options.builder(), "ws");
    if let Some(tls) = options.tls()? {
        (builder, scheme) = (builder.tls(tls), "wss");
    }
    let server = builder.bind(&options.listen).await.map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.listen))
    })?;
    // Install the handlers before the line is printed: a parent process may send a signal as soon as it has
    // read it.
    let signals = Signals::new()?;
    println!("listening on {scheme}://{}", server.local_addr()?);
    tokio::spawn(end_on_signal(signals, server.shutdown_handle()));
    if let Some(interval) = options.stats {
        tokio::spawn(stats::print_every(interval, server.stats_handle()));
    }
    let report = match options.api {
        Api::Handler if options.shards == 0 => server.serve_handler::<Echo>(()).await,
        Api::Async if options.shards == 0 => server.serve(|ws, _request| echo(ws)).await,
        Api::AsyncLent if options.shards == 0 => server.serve(|ws, _request| echo_lent(ws)).await,
        Api::Handler => server.sharded(options.shards).serve_handler::<Echo>(()).await?,
        Api::Async => server.sharded(options.shards).serve(|ws, _request| echo(ws)).await?,
        Api::AsyncLent => server.sharded(options.shards).serve(|ws, _request| echo_lent(ws)).await?,
    };
    eprintln!("ended: {} connections closed cleanly, {} otherwise", report.clean, report.unclean);
    Ok(())
}

/// Serves a connection with the async API.
async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut ws: WebSocket<S>) {
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
}

/// Serves a connection with the async API, without an owned message for each one.
async fn echo_lent<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(ws: WebSocket<S>) {
    let (sender, mut receiver) = ws.split();
    while let Some(message) = receiver.recv_ref().await {
        if sender.send_ref(message).await.is_err() {
            break;
        }
    }
}

async fn end_on_signal(signals: Signals, handle: ShutdownHandle) {
    match signals.recv().await {
        Ok(()) => drop(handle.shutdown(GRACE).await),
        Err(error) => eprintln!("echo-server: cannot receive signals: {error}"),
    }
}
