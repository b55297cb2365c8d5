use std::io;

use http::{Method, StatusCode};
use ws_proto::handshake::{Rejection, RequestError, ResponsePartsError};

use crate::admission::request::encode_rejection;

/// Why a stream did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The stream failed or ended, or there is no tokio runtime with timers.
    #[error("I/O failed during the handshake")]
    Io(#[from] io::Error),
    /// The request is not a valid WebSocket handshake. It has been answered.
    #[error("the request is not a valid WebSocket handshake")]
    Request(#[from] RequestError),
    /// The request's `Origin` is not allowed. It has been answered with 403.
    #[error("the request's origin is not allowed")]
    Origin,
    /// The application rejected the request, with this status. The rejection has been sent.
    #[error("the application rejected the request with status {0}")]
    Rejected(StatusCode),
    /// The application panicked while it decided about the request, which has been answered with 500.
    #[error("the application panicked while it decided about the request")]
    Panicked,
    /// The request did not arrive before the deadline, or the peer did not take the 101 response in time. A request of
    /// which a part arrived has been answered with 408.
    #[error("the handshake timed out")]
    TimedOut,
    /// The response cannot be sent with this header or subprotocol. The request has been answered with 500.
    #[error("the 101 response cannot be sent as requested")]
    ResponseParts(#[from] ResponsePartsError),
}

impl AcceptError {
    /// The response to a request that failed with this error, or `None` if there is no request to answer.
    pub(super) fn response(&self, method: &Method) -> Option<Vec<u8>> {
        self.rejection().map(|rejection| encode_rejection(&rejection, method))
    }

    /// As [`response`](Self::response), not encoded.
    pub(super) fn rejection(&self) -> Option<Rejection> {
        Some(match self {
            Self::Io(_) | Self::TimedOut | Self::Rejected(_) => return None,
            Self::Request(error) => Rejection::from(*error),
            Self::Origin => Rejection::new(StatusCode::FORBIDDEN).with_text("origin not allowed\n"),
            Self::Panicked | Self::ResponseParts(_) => Rejection::new(StatusCode::INTERNAL_SERVER_ERROR),
        })
    }
}

/// Why a server does not take a connection ([`Adopter::reserve`](crate::adopt::Adopter::reserve)). The request has no
/// answer yet: [`into_rejection`](Self::into_rejection) is the answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// The server is full (503 or 429), the request is not valid (400, 405, 426, 501 or 505), its origin is not allowed
    /// (403), the application rejected it, panicked (500) or did not decide in time (408).
    #[error("the server rejected the request with status {}", .0.response().status())]
    Rejected(Rejection),
    /// The server is shutting down, or has ended.
    #[error("the server is shutting down or has ended")]
    ShuttingDown,
}

impl ReserveError {
    /// The answer to the request. It is 503 if the server is shutting down.
    #[must_use]
    pub fn into_rejection(self) -> Rejection {
        match self {
            Self::Rejected(rejection) => rejection,
            Self::ShuttingDown => {
                Rejection::new(StatusCode::SERVICE_UNAVAILABLE).with_text("the server is shutting down\n")
            }
        }
    }
}

/// Why a server did not take a connection that was answered already
/// ([`Reservation::adopt`](crate::adopt::Reservation::adopt)). The connection is closed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdoptError {
    /// The socket could not leave the runtime that it is registered with.
    #[error("the socket could not be taken out of its runtime")]
    Io(#[from] io::Error),
    /// The reservation has ended: the handshake's deadline has passed, or the server has ended.
    #[error("the reservation has expired, or the server has ended")]
    Expired,
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    /// One value of each variant.
    fn all() -> [AcceptError; 7] {
        // Does not compile if a variant is missing below.
        let _is_complete = |error: &AcceptError| match error {
            AcceptError::Io(_) | AcceptError::Request(_) | AcceptError::Origin | AcceptError::Rejected(_) => {
            }
            AcceptError::Panicked | AcceptError::TimedOut | AcceptError::ResponseParts(_) => {}
        };
        [
            AcceptError::Io(io::ErrorKind::UnexpectedEof.into()),
            AcceptError::Request(RequestError::Malformed),
            AcceptError::Origin,
            AcceptError::Rejected(StatusCode::FORBIDDEN),
            AcceptError::Panicked,
            AcceptError::TimedOut,
            AcceptError::ResponseParts(ResponsePartsError::ReservedHeader("upgrade".to_owned())),
        ]
    }

    #[test]
    fn no_error_repeats_its_source_and_one_with_a_cause_has_it() {
        let adopting = AdoptError::Io(io::ErrorKind::NotConnected.into());
        let source = adopting.source().expect("a cause").to_string();
        assert!(!adopting.to_string().contains(&source), "{adopting}: {source}");
        for error in all() {
            let has_cause =
                matches!(error, AcceptError::Io(_) | AcceptError::Request(_) | AcceptError::ResponseParts(_));
            let source = error.source().map(ToString::to_string);
            assert_eq!(source.is_some(), has_cause, "{error:?}");
            assert!(source.is_none_or(|source| !error.to_string().contains(&source)), "{error}");
        }
    }
}
