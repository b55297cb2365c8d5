//! What a line on the terminal means.

use ws_client::{CloseCode, Message};

/// A line of the user's.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Send(Message),
    SendFile(String),
    Ping(Vec<u8>),
    Close(CloseCode, String),
    ToggleJson,
    Help,
}

pub(super) const HELP: &str = "\
/ping [TEXT]           sends a ping and shows the round-trip time
/close [CODE] [REASON] closes the connection; the default code is 1000
/send @FILE            sends a file: as text if it is UTF-8, as binary if not
/send TEXT             sends text, also if it begins with a slash
/binary HEX            sends bytes, such as /binary 00 ff
/json                  turns the indentation of JSON on or off
/help                  shows this list
Everything else is sent as text. // sends a text that begins with one slash. Ctrl-D closes.";

pub(super) fn parse(line: &str) -> Result<Command, String> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Command::Send(Message::text(line))) };
    if command.starts_with('/') {
        return Ok(Command::Send(Message::text(command)));
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    match name {
        "ping" => ping(rest.trim()),
        "close" => close(rest.trim()),
        "send" => Ok(match rest.trim().strip_prefix('@') {
            Some(path) => Command::SendFile(path.to_owned()),
            None => Command::Send(Message::text(rest)),
        }),
        "binary" => bytes(rest).map(|bytes| Command::Send(Message::binary(bytes))),
        "json" => Ok(Command::ToggleJson),
        "help" | "?" => Ok(Command::Help),
        _ => Err(format!("unknown command /{name}; /help lists the commands, // sends a slash")),
    }
}

fn ping(text: &str) -> Result<Command, String> {
    if text.len() > 117 {
        return Err("the text of a ping has at most 117 bytes".to_owned());
    }
    Ok(Command::Ping(text.as_bytes().to_vec()))
}

fn close(arguments: &str) -> Result<Command, String> {
    let (code, reason) = arguments.split_once(' ').unwrap_or((arguments, ""));
    if code.is_empty() {
        return Ok(Command::Close(CloseCode::NORMAL, String::new()));
    }
    let number = code.parse().map_err(|_| format!("{code:?} is not a close code"))?;
    let code = CloseCode::new(number).map_err(|error| error.to_string())?;
    if reason.len() > 123 {
        return Err("a reason has at most 123 bytes".to_owned());
    }
    Ok(Command::Close(code, reason.trim().to_owned()))
}

/// Pairs of hexadecimal digits; spaces between them are ignored.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> =
        text.chars().filter(|at| !at.is_whitespace()).map(|at| at.to_digit(16)).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => {
            Ok(digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
        }
        Some(_) => Err("the number of hexadecimal digits is odd".to_owned()),
        None => Err("expected hexadecimal digits, such as 00 ff".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Command, String> {
        Ok(Command::Send(Message::text(text)))
    }

    #[test]
    fn a_line_is_text_or_a_command() {
        assert_eq!(parse("hello"), text("hello"));
        assert_eq!(parse(""), text(""));
        assert_eq!(parse("//path"), text("/path"));
        assert_eq!(parse("/send /path"), text("/path"));
        assert_eq!(parse("/send @a b"), Ok(Command::SendFile("a b".to_owned())));
        assert_eq!(parse("/binary 00 fF"), Ok(Command::Send(Message::binary(vec![0, 255]))));
        assert_eq!(parse("/ping"), Ok(Command::Ping(Vec::new())));
        assert_eq!(parse("/close"), Ok(Command::Close(CloseCode::NORMAL, String::new())));
        let code = CloseCode::new(4000).unwrap();
        assert_eq!(parse("/close 4000 a b"), Ok(Command::Close(code, "a b".to_owned())));
    }

    #[test]
    fn a_bad_command_is_an_error_and_is_not_sent() {
        for line in ["/pnig", "/close 1006", "/close x", "/binary 0", "/binary xx"] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse(&format!("/ping {}", "x".repeat(118))).is_err());
        assert!(parse(&format!("/close 1000 {}", "x".repeat(124))).is_err());
    }
}
