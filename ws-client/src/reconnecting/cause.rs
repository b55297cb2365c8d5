//! Why there is no connection.

use std::{error::Error, fmt, io, time::Duration};

use ws_proto::CloseInfo;

use crate::error::ConnectError;

/// An error of the application's hooks.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an attempt failed, or why a connection ended.
///
/// [`default_decision`](Self::default_decision) says what the client does.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The request hook failed, for example because it did not get a token.
    Request(BoxError),
    /// Connecting failed, or the server refused the upgrade.
    Connect(ConnectError),
    /// The hook for a new connection failed. The connection was dropped.
    Setup(BoxError),
    /// The attempt, including both hooks, took longer than this.
    AttemptTimedOut(Duration),
    /// The connection ended.
    Closed(CloseInfo),
    /// The connection was closed because it reached its maximal lifetime.
    Expired(CloseInfo),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(_) => f.write_str("the request hook failed"),
            Self::Connect(_) => f.write_str("connecting failed"),
            Self::Setup(_) => f.write_str("the hook for a new connection failed"),
            Self::AttemptTimedOut(limit) => write!(f, "the attempt took longer than {limit:?}"),
            Self::Closed(info) => write!(f, "the connection ended with code {}", info.code()),
            Self::Expired(_) => f.write_str("the connection reached its maximal lifetime"),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Request(error) | Self::Setup(error) => Some(&**error),
            Self::Connect(error) => Some(error),
            Self::Closed(info) | Self::Expired(info) => info.error.as_ref().map(|error| error as _),
            Self::AttemptTimedOut(_) => None,
        }
    }
}

impl From<ConnectError> for Cause {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

/// For a dial function that opens its own transport.
impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Connect(error.into())
    }
}
