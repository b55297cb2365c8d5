use std::fmt;

use http::{HeaderMap, HeaderName, Response, StatusCode, Version, header};

use crate::{
    config::ValidConfig,
    header_syntax::{has_token, parse_extensions, token_list},
};

use super::{
    error::{ClientRequestError, ResponseError},
    key::{accept_key, encode_key},
    negotiation::{Extensions, Offer},
    response::encode_headers,
    server::{is_reserved, is_subprotocol, single},
};

/// A client's handshake request.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ClientRequest {
    /// The value of `Host`, or of `:authority` over HTTP/2: a name or address, with the port unless it is the default
    /// of the scheme.
    pub host: String,
    /// Path and query; begins with `/`.
    pub path: String,
    /// Additional headers, such as `Authorization`, `Cookie`, `Origin`.
    pub headers: HeaderMap,
    /// Subprotocols to offer, the preferred one first.
    pub subprotocols: Vec<String>,
    pub(super) extensions: Offer,
}

/// Omits the query, the values of headers and the subprotocols, which may be credentials.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("host", &self.host)
            .field("path", &self.path.split('?').next().unwrap_or_default())
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("subprotocols", &self.subprotocols.len())
            .finish_non_exhaustive()
    }
}

impl ClientRequest {
    /// Creates a request without additional headers and subprotocols.
    #[must_use]
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Self {
        Self { host: host.into(), path: path.into(), ..Self::default() }
    }

    /// Offers the extensions that `config` enables; [`Negotiated::extensions`] has those that the server accepted.
    #[must_use]
    pub fn with_extensions(mut self, config: &ValidConfig) -> Self {
        self.extensions = Offer::of(config);
        self
    }

    pub(super) fn check(&self) -> Result<(), ClientRequestError> {
        let is_visible = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_visible(&self.host) || self.host.contains(['/', '?', '#', '@']) {
            return Err(ClientRequestError::Host(self.host.clone()));
        }
        if !is_visible(&self.path) || !self.path.starts_with('/') || self.path.contains('#') {
            return Err(ClientRequestError::Path(self.path.clone()));
        }
        if let Some(name) = self.headers.keys().find(|name| is_reserved(name) || **name == header::HOST) {
            return Err(ClientRequestError::ReservedHeader(name.to_string()));
        }
        for (at, name) in self.subprotocols.iter().enumerate() {
            if !is_subprotocol(name) || self.subprotocols[..at].contains(name) {
                return Err(ClientRequestError::Subprotocol(name.clone()));
            }
        }
        Ok(())
    }
}

/// The client's half of the opening handshake (RFC 6455 section 4.1).
#[derive(Clone)]
pub struct ClientHandshake {
    /// The value of `Sec-WebSocket-Accept` in the response. `None` for an extended CONNECT.
    pub(super) expected_accept: Option<String>,
    pub(super) offered: Vec<String>,
    pub(super) extensions: Offer,
}

/// Omits the subprotocols, which may be credentials.
impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

/// The server's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The subprotocol in use, one of those offered.
    pub subprotocol: Option<String>,
    /// The extensions in use, a subset of those offered. Pass them to the connection.
    pub extensions: Extensions,
}

impl ClientHandshake {
    /// Starts a handshake over HTTP/1.1. Returns its state and the request to send. `nonce` must be fresh for each
    /// handshake. For HTTP/2 use [`extended_connect`](Self::extended_connect).
    ///
    /// # Errors
    /// [`ClientRequestError`] if the request would not be valid, for example because of control characters.
    pub fn new(request: &ClientRequest, nonce: [u8; 16]) -> Result<(Self, Vec<u8>), ClientRequestError> {
        request.check()?;
        let key = encode_key(nonce);
        let mut out = Vec::with_capacity(256);
        for part in ["GET ", &request.path, " HTTP/1.1\r\nHost: ", &request.host] {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\r\nSec-WebSocket-Version: 13\r\n");
        if !request.subprotocols.is_empty() {
            out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            out.extend_from_slice(request.subprotocols.join(", ").as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if let Some(offer) = request.extensions.header() {
            out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
            out.extend_from_slice(offer.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        encode_headers(&request.headers, &mut out);
        out.extend_from_slice(b"\r\n");
        let (offered, extensions) = (request.subprotocols.clone(), request.extensions.clone());
        Ok((Self { expected_accept: Some(accept_key(&key)), offered, extensions }, out))
    }

    /// Checks the response (RFC 6455 section 4.1, items 1 to 6; RFC 8441 section 5). The status is checked first: a
    /// refusal is reported as one even if other parts of the response are invalid. A 101 accepts an upgrade, and any
    /// 2xx an extended CONNECT.
    ///
    /// # Errors
    /// The first [`ResponseError`] that applies.
    pub fn finish(&self, response: &Response<()>) -> Result<Negotiated, ResponseError> {
        match &self.expected_accept {
            Some(expected) => check_upgrade(response, expected)?,
            None => check_connected(response)?,
        }
        let headers = response.headers();
        let answered = parse_extensions(headers).ok_or(ResponseError::Extension)?;
        let extensions = self.extensions.answered(&answered).map_err(|()| ResponseError::Extension)?;
        Ok(Negotiated { subprotocol: self.chosen_subprotocol(headers)?, extensions })
    }

    fn chosen_subprotocol(&self, headers: &HeaderMap) -> Result<Option<String>, ResponseError> {
        let chosen = token_list(headers, header::SEC_WEBSOCKET_PROTOCOL).ok_or(ResponseError::Subprotocol)?;
        match chosen.as_slice() {
            [] if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) => Ok(None),
            [one] if self.offered.contains(one) => Ok(Some(one.clone())),
            _ => Err(ResponseError::Subprotocol),
        }
    }
}

/// Checks the head of a 101 response.
fn check_upgrade(response: &Response<()>, expected_accept: &str) -> Result<(), ResponseError> {
    let headers = response.headers();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(ResponseError::Refused(response.status()));
    }
    if response.version() != Version::HTTP_11 {
        return Err(ResponseError::Version);
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(ResponseError::Upgrade);
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(ResponseError::Connection);
    }
    let accept = single(headers, header::SEC_WEBSOCKET_ACCEPT).ok_or(ResponseError::AcceptMissing)?;
    if accept == expected_accept { Ok(()) } else { Err(ResponseError::AcceptMismatch) }
}

/// Checks the status and the version of the response to an extended CONNECT.
fn check_connected(response: &Response<()>) -> Result<(), ResponseError> {
    if !response.status().is_success() {
        return Err(ResponseError::Refused(response.status()));
    }
    match response.version() {
        Version::HTTP_2 | Version::HTTP_3 => Ok(()),
        _ => Err(ResponseError::Version),
    }
}
