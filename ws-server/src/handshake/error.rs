use std::io;

use http::{Method, StatusCode};
use ws_proto::handshake::{Rejection, RequestError, ResponsePartsError};

use crate::admission::request::encode_rejection;

/// Why a stream did not become a WebSocket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The stream failed or ended.
    #[error("the peer left during the handshake: {0}")]
    Io(#[from] io::Error),
    /// The request is not a valid WebSocket handshake. It has been answered.
    #[error("bad request: {0}")]
    Request(#[from] RequestError),
    /// The request's `Origin` is not allowed. It has been answered with 403.
    #[error("the request's origin is not allowed")]
    Origin,
    /// The request did not arrive before the deadline.
    #[error("the handshake timed out")]
    TimedOut,
    /// The response cannot be sent with this header or subprotocol. The request has been answered with 500.
    #[error("{0}")]
    ResponseParts(#[from] ResponsePartsError),
}

impl AcceptError {
    /// The response to a request that failed with this error, or `None` if there is no request to answer.
    pub(super) fn response(&self, method: &Method) -> Option<Vec<u8>> {
        let rejection = match self {
            Self::Io(_) | Self::TimedOut => return None,
            Self::Request(error) => Rejection::from(*error),
            Self::Origin => Rejection::new(StatusCode::FORBIDDEN).with_text("origin not allowed\n"),
            Self::ResponseParts(_) => Rejection::new(StatusCode::INTERNAL_SERVER_ERROR),
        };
        Some(encode_rejection(&rejection, method))
    }
}
