//! An echo client: connects, sends messages, prints the replies and closes.
//!
//! `cargo run --release --bin echo-client -- --help` shows its options.

mod options;

use std::process::ExitCode;

use ws_client::{
    CloseCode, Message,
    error::{ConnectError, Refusal},
};
use ws_examples::with_causes;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(lexopt::Parser::from_env()) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("echo-client: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("echo-client: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), String> {
    let connector = options.connector().map_err(|error| error.to_string())?;
    let mut ws = connector.connect(&options.url).await.map_err(|error| describe(&error))?;
    for _ in 0..options.count {
        let sent = ws.send(options.message()).await;
        match ws.recv().await {
            Some(reply) if sent.is_ok() => print(&reply),
            _ => break,
        }
    }
    let closed_early = !ws.is_open();
    let info = ws.close(CloseCode::NORMAL, "").await;
    if closed_early || !info.is_clean() {
        let error = info.error.map(|error| format!(" ({})", with_causes(&error))).unwrap_or_default();
        return Err(format!("the connection ended with code {} {}{error}", info.code(), info.reason()));
    }
    Ok(())
}

fn print(reply: &Message) {
    match reply.as_text() {
        Some(text) => println!("{text}"),
        None => println!("{} bytes: {}", reply.len(), hex(reply.as_bytes())),
    }
}

/// The first 64 bytes of a payload in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    const MAX: usize = 64;
    let shown: Vec<String> = bytes.iter().take(MAX).map(|byte| format!("{byte:02x}")).collect();
    let more = if bytes.len() > MAX { " …" } else { "" };
    shown.join(" ") + more
}

fn describe(error: &ConnectError) -> String {
    match error {
        ConnectError::Refused(refusal) => format!("{error}\n{}", describe_refusal(refusal)),
        _ => with_causes(error),
    }
}

/// Status, headers and body of a refused upgrade.
fn describe_refusal(refusal: &Refusal) -> String {
    let mut text = format!("HTTP/1.1 {}\n", refusal.status());
    for (name, value) in refusal.headers() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text + "\n" + &String::from_utf8_lossy(refusal.body())
}
