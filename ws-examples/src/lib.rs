//! What the examples share.

pub mod site;

use std::{error::Error, ops::RangeInclusive, process::ExitCode, time::Duration};

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_server::Server;

/// An error and its causes on one line: `cannot connect to 127.0.0.1:9001: Connection refused (os error 111)`.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text += &format!(": {cause}");
        next = cause.source();
    }
    text
}

/// The arguments of a command line that has no options but `--help`.
///
/// # Errors
/// The exit status. The usage or the fault is printed.
pub fn arguments(usage: &str, counts: RangeInclusive<usize>) -> Result<Vec<String>, ExitCode> {
    let mut parser = lexopt::Parser::from_env();
    let mut arguments = Vec::new();
    let parsed = loop {
        match parser.next() {
            Ok(None) => break Ok(()),
            Ok(Some(Short('h') | Long("help"))) => {
                println!("usage: {usage}");
                return Err(ExitCode::SUCCESS);
            }
            Ok(Some(Value(value))) => match value.string() {
                Ok(value) => arguments.push(value),
                Err(error) => break Err(error),
            },
            Ok(Some(other)) => break Err(other.unexpected()),
            Err(error) => break Err(error),
        }
    };
    let fault = match parsed {
        Ok(()) if counts.contains(&arguments.len()) => return Ok(arguments),
        Ok(()) => format!("usage: {usage}"),
        Err(error) => format!("{}: {error}", usage.split(' ').next().unwrap_or_default()),
    };
    eprintln!("{fault}");
    Err(ExitCode::from(2))
}

/// Prints the address of the server, and shuts the server down when the process is interrupted.
pub fn announce(server: &Server) {
    if let Ok(addr) = server.local_addr() {
        println!("listening on ws://{addr}");
    }
    let handle = server.shutdown_handle();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.shutdown(Duration::from_secs(5)).await;
        }
    });
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn an_error_is_printed_with_its_causes() {
        let error = ws_client::Tls::builder().authority("nonsense").build().unwrap_err();
        let expected = "invalid PEM for the certificates: no items found";
        assert_eq!(with_causes(&error), expected);
        assert_eq!(with_causes(&io::Error::other(error)), expected);
    }
}
