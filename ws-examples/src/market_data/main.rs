//! Market data: a server that publishes prices, and a client that stays subscribed while servers come and go.
//!
//! `cargo run --release --bin market-data` runs both. `market-data --help` shows how to run them apart.
//!
//! Updates are numbered. A client that misses some, because its server was killed, reports which ones.

mod client;
mod feed;
mod gaps;
mod latency;
mod options;
mod server;

use std::process::ExitCode;

use options::{Mode, Options};

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("market-data: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(run(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("market-data: {error}");
    ExitCode::FAILURE
}

async fn run(options: Options) -> Result<(), String> {
    match &options.mode {
        Mode::Serve(addr) => {
            let server = server::bind(addr).await?;
            server::serve(server).await;
            Ok(())
        }
        Mode::Watch(url) => client::watch(url.clone(), &options).await,
        Mode::Both => {
            let server = server::bind("127.0.0.1:0").await?;
            let url = format!("ws://{}/", server.local_addr().map_err(|error| error.to_string())?);
            tokio::select! {
                () = server::serve(server) => Ok(()),
                result = client::watch(url, &options) => result,
            }
        }
    }
}
