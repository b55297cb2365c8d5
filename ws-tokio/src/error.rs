use std::io;

use ws_proto::error::{ConnectionError, ControlError, SendError};

/// An error of a running [`WebSocket`](crate::WebSocket): one type for receiving and sending.
///
/// The errors of the single operations convert into it, so `?` works on all of them. An [`io::Error`] can be made from
/// it. `Display` does not repeat the cause, which [`source`](std::error::Error::source) returns: print the chain to see
/// both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection ended without a clean closing handshake.
    #[error("the connection failed")]
    Connection(#[from] ConnectionError),
    /// Nothing can be sent, because the connection is closing or closed.
    #[error("the connection is not open")]
    Closed,
    /// The write queue is full.
    #[error("the write queue is full")]
    Full,
    /// A ping or pong is too long, or too many control frames wait.
    #[error("the control frame cannot be sent")]
    Control(#[source] ControlError),
    /// [`WebSocket::ping_rtt`](crate::WebSocket::ping_rtt) cannot read the pong, because the messages that were
    /// received and not taken fill `max_held_bytes`. Receive them first, or measure with a [`Sender`](crate::Sender).
    #[error("the held messages are at their limit")]
    HeldFull,
}

impl<P> From<SendError<P>> for Error {
    fn from(error: SendError<P>) -> Self {
        match error {
            SendError::Closed(_) => Self::Closed,
            SendError::Full(_) => Self::Full,
        }
    }
}

impl From<ControlError> for Error {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::Closed => Self::Closed,
            error => Self::Control(error),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Connection(ConnectionError::Transport(kind)) => kind,
            Error::Connection(ConnectionError::Eof) => io::ErrorKind::UnexpectedEof,
            Error::Connection(ConnectionError::TimedOut(_)) => io::ErrorKind::TimedOut,
            Error::Connection(ConnectionError::Protocol(_) | ConnectionError::Limit(_)) => {
                io::ErrorKind::InvalidData
            }
            Error::Connection(_) => io::ErrorKind::Other,
            Error::Closed => io::ErrorKind::NotConnected,
            Error::Full | Error::HeldFull => io::ErrorKind::WouldBlock,
            Error::Control(_) => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use ws_proto::error::LimitExceeded;

    use super::*;

    /// One value of each variant.
    fn all() -> Vec<Error> {
        // Does not compile if a variant is missing below.
        let _is_complete = |error: &Error| match error {
            Error::Connection(_) | Error::Closed | Error::Full | Error::Control(_) | Error::HeldFull => {}
        };
        let connection =
            [ConnectionError::Eof, ConnectionError::Limit(LimitExceeded::Fragments { limit: 1 })];
        let control = [ControlError::Full, ControlError::TooLong { len: 126 }];
        let mut all = vec![Error::Closed, Error::Full, Error::HeldFull];
        all.extend(connection.map(Error::Connection));
        all.extend(control.map(Error::Control));
        all
    }

    #[test]
    fn no_error_repeats_its_source_and_one_with_a_cause_has_it() {
        for error in all() {
            let source = error.source().map(ToString::to_string);
            assert_eq!(
                source.is_some(),
                matches!(error, Error::Connection(_) | Error::Control(_)),
                "{error:?}"
            );
            assert!(source.is_none_or(|source| !error.to_string().contains(&source)), "{error}");
        }
    }

    #[test]
    fn an_io_error_has_the_text_and_the_causes_of_the_error() {
        for error in all() {
            let io = io::Error::from(error);
            assert_eq!(io.to_string(), error.to_string());
            let source = |error: &dyn std::error::Error| error.source().map(ToString::to_string);
            assert_eq!(source(&io), source(&error));
        }
    }
}
