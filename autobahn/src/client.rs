//! The client side's testee: runs every case that the Autobahn Testsuite's fuzzing server offers.

use std::process::ExitCode;

use ws_client::{CloseCode, ConnectError, Connector};

/// The suite sends messages of up to 16 MiB and a little more.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some((server, agent)) = parse(std::env::args().skip(1)) else {
        eprintln!("usage: autobahn-client --server URL [--agent NAME] [--deflate]");
        return ExitCode::from(2);
    };
    match run(&server, &agent).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Option<(String, String)> {
    let (mut server, mut agent) = (None, "webzockets".to_owned());
    while let Some(option) = args.next() {
        match option.as_str() {
            "--server" => server = args.next(),
            "--agent" => agent = args.next()?,
            _ => return None,
        }
    }
    Some((server?, agent))
}

async fn run(server: &str, agent: &str) -> Result<(), ConnectError> {
    let cases = case_count(server).await?;
    for case in 1..=cases {
        run_case(&format!("{server}/runCase?case={case}&agent={agent}")).await?;
    }
    println!("{cases} cases run");
    let mut ws = connector().connect(&format!("{server}/updateReports?agent={agent}")).await?;
    while ws.recv().await.is_some() {}
    Ok(())
}

async fn case_count(server: &str) -> Result<u32, ConnectError> {
    let mut ws = connector().connect(&format!("{server}/getCaseCount")).await?;
    let count = ws.recv().await.and_then(|message| message.as_text()?.parse().ok());
    ws.close(CloseCode::NORMAL, "").await;
    Ok(count.unwrap_or(0))
}

/// Echoes until the suite has seen enough.
async fn run_case(url: &str) -> Result<(), ConnectError> {
    let mut ws = connector().connect(url).await?;
    while let Some(message) = ws.recv().await {
        if ws.send(message).await.is_err() {
            break;
        }
    }
    while ws.recv().await.is_some() {}
    Ok(())
}

fn connector() -> Connector {
    Connector::new().max_message_size(MAX_MESSAGE)
}
