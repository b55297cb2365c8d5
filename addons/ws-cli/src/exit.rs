//! Exit codes, and errors in one line.

use std::{error::Error, fmt::Write as _, io};

use ws_client::{
    CloseInfo,
    close::Initiator,
    error::{ConnectError, ConnectionError, TimedOut},
};

/// The exit codes other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    Usage = 1,
    Network = 2,
    Tls = 3,
    Refused = 4,
    Protocol = 5,
    Abnormal = 6,
    Closed = 7,
    Timeout = 124,
    Interrupted = 130,
}

/// Why the program ends with a code other than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// One line; nothing is printed if it is empty.
    pub(crate) message: String,
    /// What follows the line: the body of a refusal.
    pub(crate) detail: String,
}

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: String::new() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Code::Interrupted, "")
    }

    /// A local file or stream failed.
    pub(crate) fn local(what: &str, error: &io::Error) -> Self {
        Self::usage(format!("{what}: {}", chain(error)))
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::of_connect(&error)
    }
}

impl Failure {
    /// An attempt to connect failed.
    pub(crate) fn of_connect(error: &ConnectError) -> Self {
        let code = match error {
            ConnectError::Resolve { .. }
            | ConnectError::Connect { .. }
            | ConnectError::Io(_)
            | ConnectError::Proxy { .. } => Code::Network,
            ConnectError::Tls(_) | ConnectError::TlsHandshake { .. } => Code::Tls,
            ConnectError::Refused(_) | ConnectError::Redirect { .. } => Code::Refused,
            ConnectError::Response(_) => Code::Protocol,
            ConnectError::TimedOut(_) => Code::Timeout,
            _ => Code::Usage,
        };
        let mut failure = Self::new(code, chain(error));
        if let ConnectError::Refused(refusal) = error {
            String::from_utf8_lossy(refusal.body()).trim_end().clone_into(&mut failure.detail);
        }
        failure
    }
}

/// An error and its causes: `a: b: c`. A cause that the error repeats is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            let _ = write!(text, ": {next}");
        }
        cause = error.source();
    }
    text
}

/// The outcome of a connection that is over. `asked` says whether this side had what it wanted and began to close.
pub(crate) fn of_close(info: &CloseInfo, asked: bool) -> Outcome {
    let answered = info.received.as_ref().zip(info.sent.as_ref());
    let same_code = answered.is_some_and(|(received, sent)| received.code == sent.code);
    let asked = asked && info.initiator == Initiator::Local && info.sent.is_some();
    let code = match info.error {
        Some(ConnectionError::Protocol(_) | ConnectionError::Limit(_) | ConnectionError::MemoryBudget) => {
            Code::Protocol
        }
        // The server owes only the end. Many servers cut the connection in place of a Close.
        Some(
            ConnectionError::TimedOut(TimedOut::Close) | ConnectionError::Eof | ConnectionError::Transport(_),
        ) if asked => {
            return Ok(());
        }
        Some(ConnectionError::TimedOut(_)) => Code::Timeout,
        Some(_) => Code::Abnormal,
        None if (asked && same_code) || matches!(info.code(), 1000 | 1001 | 1005) => return Ok(()),
        None if info.received.is_none() => Code::Abnormal,
        None => Code::Closed,
    };
    let message = match info.error {
        Some(error) => format!("the connection failed: {}", chain(&error)),
        None => format!("the server closed the connection: {}", code_and_reason(info)),
    };
    Err(Failure::new(code, message))
}

/// The code and the reason of a Close.
pub(crate) fn code_and_reason(info: &CloseInfo) -> String {
    match info.reason() {
        "" => info.code().to_string(),
        reason => format!("{} {reason}", info.code()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ws_client::{CloseCode, close::CloseFrame, error::ProtocolError};

    fn closed(received: Option<u16>, sent: Option<u16>, initiator: Initiator) -> CloseInfo {
        let frame = |code: u16| CloseFrame::new(CloseCode::new(code).unwrap(), "");
        {
            let mut info = CloseInfo::new(initiator);
            (info.received, info.sent) = (received.map(frame), sent.map(frame));
            info
        }
    }

    fn code(info: &CloseInfo, asked: bool) -> u8 {
        of_close(info, asked).map_or_else(|failure| failure.code as u8, |()| 0)
    }

    #[test]
    fn exit_codes_follow_from_the_close() {
        use Initiator::{Library, Local, Remote};
        for (received, sent, initiator, asked, expected) in [
            (Some(1000), Some(1000), Remote, false, 0),
            (Some(1001), Some(1001), Remote, false, 0),
            (Some(1011), Some(1011), Remote, false, 7),
            (Some(4000), Some(4000), Remote, false, 7),
            (Some(1000), Some(1000), Local, true, 0),
            (Some(4000), Some(4000), Local, true, 0),
            (Some(1011), Some(1000), Local, true, 7),
        ] {
            let info = closed(received, sent, initiator);
            assert_eq!(code(&info, asked), expected, "{info:?}");
        }
        let with = |error, mut info: CloseInfo| {
            info.error = Some(error);
            info
        };
        assert_eq!(code(&with(ConnectionError::Eof, closed(None, None, Remote)), false), 6);
        assert_eq!(code(&with(ConnectionError::Eof, closed(None, Some(1000), Local)), true), 0);
        assert_eq!(code(&with(ConnectionError::Eof, closed(None, None, Local)), true), 6);
        let violation = ConnectionError::Protocol(ProtocolError::MaskedFrame);
        assert_eq!(code(&with(violation, closed(None, Some(1002), Library)), false), 5);
        let silent = ConnectionError::TimedOut(TimedOut::Keepalive);
        assert_eq!(code(&with(silent, closed(None, None, Library)), false), 124);
    }

    #[test]
    fn a_cause_is_printed_once() {
        let error = ConnectionError::Protocol(ProtocolError::MaskedFrame);
        assert_eq!(chain(&error), "the peer violated the protocol: frame from a server with a mask");
    }
}
