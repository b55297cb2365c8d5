use http::StatusCode;

/// Why a request is not an acceptable WebSocket upgrade. The fault is always the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not HTTP (RFC 9112), or with a bare line feed, a folded header or an illegal character.
    #[error("malformed HTTP request")]
    Malformed,
    /// More than `max_head_size` bytes without the end of the head.
    #[error("request head larger than max_head_size")]
    HeadTooLarge,
    /// More header lines than `max_header_lines`.
    #[error("more header lines than max_header_lines")]
    TooManyHeaders,
    /// A major version of HTTP other than 1.
    #[error("HTTP version not supported, expected HTTP/1.1")]
    Version,
    /// `HTTP/1.0`, which does not support upgrades (RFC 9110 section 7.8).
    #[error("HTTP/1.0 does not support upgrades, expected HTTP/1.1")]
    Http10,
    /// A method other than `GET` (RFC 6455 section 4.1).
    #[error("method not allowed, expected GET")]
    Method,
    /// A target that is neither a path nor an absolute URL with a host, or that has a fragment or a backslash.
    #[error("request target must be an absolute path or a URL")]
    Target,
    /// No `Host`, more than one, or one that is not a host and a port (RFC 9112 section 3.2).
    #[error("expected exactly one Host header with a valid host and optional port")]
    Host,
    /// A body, or a header that announces one: a sign of request smuggling.
    #[error("an upgrade request must not have a body")]
    Body,
    /// No `Upgrade: websocket`.
    #[error("missing \"Upgrade: websocket\"")]
    Upgrade,
    /// No `Connection: Upgrade`.
    #[error("missing \"Connection: Upgrade\"")]
    Connection,
    /// No `Sec-WebSocket-Key`, more than one, or one that is not 16 bytes in base64.
    #[error("expected exactly one Sec-WebSocket-Key of 16 bytes in base64")]
    Key,
    /// No `Sec-WebSocket-Version`, or one that is not 13.
    #[error("unsupported WebSocket version, expected 13")]
    WebSocketVersion,
    /// Header values that cannot be read, such as a list of subprotocols that is malformed or has more than 64.
    #[error("malformed header {0}")]
    Header(&'static str),
    /// An HTTP/2 or HTTP/3 request with a method other than `CONNECT` (RFC 8441 section 5).
    #[error("method not allowed, expected CONNECT")]
    NotConnect,
    /// A `CONNECT` without `:protocol`, or with one that is not `websocket` (RFC 8441 section 4, RFC 9220 section 3).
    #[error("expected the :protocol \"websocket\"")]
    Protocol,
    /// An extended CONNECT without `Sec-WebSocket-Version`, or with one that is not 13.
    #[error("unsupported WebSocket version, expected 13")]
    ConnectVersion,
}

impl RequestError {
    /// The status of the response to this error.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge | Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Method | Self::NotConnect => StatusCode::METHOD_NOT_ALLOWED,
            Self::Protocol => StatusCode::NOT_IMPLEMENTED,
            Self::Http10 | Self::Upgrade | Self::Connection | Self::WebSocketVersion => {
                StatusCode::UPGRADE_REQUIRED
            }
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether this may be a plain HTTP request for another service.
    #[must_use]
    pub const fn is_not_upgrade(self) -> bool {
        matches!(self, Self::Http10 | Self::Upgrade | Self::Connection | Self::Method | Self::NotConnect)
    }
}

/// Why a response did not complete the client's handshake. The fault is always the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// Not HTTP (RFC 9112).
    #[error("malformed HTTP response")]
    Malformed,
    /// More than `max_head_size` bytes without the end of the head. For a client, the limit also applies to all
    /// interim responses (1xx) together.
    #[error("response head larger than max_head_size")]
    HeadTooLarge,
    /// More header lines than `max_header_lines`.
    #[error("response with more header lines than max_header_lines")]
    TooManyHeaders,
    /// A status other than 101, or other than 2xx for an extended CONNECT: the WebSocket was refused.
    #[error("the server refused the upgrade with status {0}")]
    Refused(StatusCode),
    /// A 101 that is not `HTTP/1.1`, or a 2xx to an extended CONNECT that is neither HTTP/2 nor HTTP/3.
    #[error("the response that accepts has another HTTP version than the request")]
    Version,
    /// No `Upgrade: websocket`.
    #[error("the response lacks \"Upgrade: websocket\"")]
    Upgrade,
    /// No `Connection: Upgrade`.
    #[error("the response lacks \"Connection: Upgrade\"")]
    Connection,
    /// No `Sec-WebSocket-Accept`, or more than one.
    #[error("the response does not have exactly one Sec-WebSocket-Accept")]
    AcceptMissing,
    /// A `Sec-WebSocket-Accept` that does not match the key.
    #[error("Sec-WebSocket-Accept does not match the key")]
    AcceptMismatch,
    /// A subprotocol that was not offered, or more than one.
    #[error("the server selected a subprotocol that was not offered")]
    Subprotocol,
    /// An extension or a parameter that was not offered (RFC 6455 section 9.1), or that is invalid.
    #[error("the server selected an extension or a parameter that was not offered")]
    Extension,
}

/// Why a client's request cannot be sent. The fault is the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientRequestError {
    /// The `Host` value has characters that the header must not have, or is no authority for HTTP/2.
    #[error("invalid host {0:?}")]
    Host(String),
    /// The path has spaces or control characters, or does not begin with `/`.
    #[error("invalid request path {0:?}")]
    Path(String),
    /// A header that the handshake sets itself.
    #[error("header {0:?} is set by the handshake and cannot be replaced")]
    ReservedHeader(String),
    /// A subprotocol that is not a token (RFC 9110 section 5.6.2), or is offered twice.
    #[error("invalid subprotocol {0:?}")]
    Subprotocol(String),
}
