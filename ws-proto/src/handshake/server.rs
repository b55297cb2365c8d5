use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, Version, header};

use crate::{
    config::ValidConfig,
    header_syntax::{Extension, has_token, is_token, parse_extensions, token_list},
};

use super::{
    authority::split_authority,
    error::RequestError,
    key::{accept_key, is_valid_key},
    negotiation::{Extensions, choose},
    request::Request,
    response::{encode_headers, encode_status},
};

/// A valid request for a WebSocket (RFC 6455 section 4.2.1).
#[derive(Debug, Clone)]
pub struct ServerHandshake {
    /// The value of `Sec-WebSocket-Accept` in the response. `None` for an extended CONNECT.
    pub(super) accept_key: Option<String>,
    pub(super) offered: Vec<String>,
    offered_extensions: Vec<Extension>,
    /// The value of `Sec-WebSocket-Extensions` in the response.
    pub(super) extensions: Option<String>,
}

/// What the handshake looks at in a request.
#[derive(Clone, Copy)]
pub(super) struct RequestLines<'a> {
    pub(super) method: &'a Method,
    pub(super) target: &'a Uri,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
}

impl<'a, B> From<&'a http::Request<B>> for RequestLines<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        let (method, target) = (request.method(), request.uri());
        Self { method, target, version: request.version(), headers: request.headers() }
    }
}

impl ServerHandshake {
    /// Checks a request: GET, HTTP/1.1, a path or a URL in absolute form, one `Host`, the `Upgrade` and `Connection`
    /// tokens, one key of 16 bytes, version 13, no body.
    ///
    /// In absolute form, the scheme is `http`, `https`, `ws` or `wss`. The target's host applies and may differ from
    /// `Host`, which is then ignored (RFC 9112 section 3.2.2).
    ///
    /// # Errors
    /// The first [`RequestError`] that applies, in the order: version, host, HTTP/1.0, method, target, body, upgrade,
    /// connection, WebSocket version, key, subprotocols, extensions.
    pub fn new(request: &Request) -> Result<Self, RequestError> {
        Self::upgrade(request.into())
    }

    /// Checks a request to upgrade an HTTP/1.1 connection.
    pub(super) fn upgrade(request: RequestLines<'_>) -> Result<Self, RequestError> {
        let headers = request.headers;
        let needs_host = match request.version {
            Version::HTTP_11 => true,
            Version::HTTP_10 => false,
            _ => return Err(RequestError::Version),
        };
        check_host(headers, needs_host)?;
        if request.version == Version::HTTP_10 {
            return Err(RequestError::Http10);
        }
        if request.method != Method::GET {
            return Err(RequestError::Method);
        }
        check_target(request.target)?;
        check_no_body(headers)?;
        if !has_token(headers, header::UPGRADE, "websocket") {
            return Err(RequestError::Upgrade);
        }
        if !has_token(headers, header::CONNECTION, "upgrade") {
            return Err(RequestError::Connection);
        }
        if single(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(RequestError::WebSocketVersion);
        }
        let key = single(headers, header::SEC_WEBSOCKET_KEY).filter(|key| is_valid_key(key));
        let key = key.ok_or(RequestError::Key)?;
        Self::with_offers(headers, Some(accept_key(key)))
    }

    /// Reads the subprotocols and extensions that the client offers.
    pub(super) fn with_offers(headers: &HeaderMap, accept_key: Option<String>) -> Result<Self, RequestError> {
        let offered = token_list(headers, header::SEC_WEBSOCKET_PROTOCOL)
            .ok_or(RequestError::Header("Sec-WebSocket-Protocol"))?;
        let offered_extensions =
            parse_extensions(headers).ok_or(RequestError::Header("Sec-WebSocket-Extensions"))?;
        Ok(Self { accept_key, offered, offered_extensions, extensions: None })
    }

    /// Chooses from the extensions that the client offers those that `config` allows. [`accept`](Self::accept) then
    /// names them in the response. Pass the result to the connection:
    /// [`with_extensions`](crate::Connection::with_extensions). Without this call, no extension is used.
    pub fn negotiate(&mut self, config: &ValidConfig) -> Extensions {
        let (extensions, answer) = choose(config, &self.offered_extensions);
        self.extensions = answer;
        extensions
    }

    /// The subprotocols that the client offers, in its order of preference.
    #[must_use]
    pub fn offered_subprotocols(&self) -> &[String] {
        &self.offered
    }

    /// The 101 response (RFC 6455 section 4.2.2), encoded. The connection is open once it is written. Inside an HTTP
    /// server use [`response`](Self::response).
    ///
    /// # Errors
    /// [`ResponsePartsError`] if `parts` has a subprotocol that the client did not offer, or a header that the
    /// application must not set, or if the request is an extended CONNECT.
    pub fn accept(&self, parts: &ResponseParts) -> Result<Vec<u8>, ResponsePartsError> {
        let accept_key = self.accept_key.as_ref().ok_or(ResponsePartsError::ExtendedConnect)?;
        let mut out = Vec::with_capacity(160);
        out.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
        );
        out.extend_from_slice(accept_key.as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(subprotocol) = &parts.subprotocol {
            if !self.offered.contains(subprotocol) {
                return Err(ResponsePartsError::Subprotocol(subprotocol.clone()));
            }
            out.extend_from_slice(b"Sec-WebSocket-Protocol: ");
            out.extend_from_slice(subprotocol.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if let Some(extensions) = &self.extensions {
            out.extend_from_slice(b"Sec-WebSocket-Extensions: ");
            out.extend_from_slice(extensions.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if let Some(name) = parts.headers.keys().find(|name| is_reserved(name)) {
            return Err(ResponsePartsError::ReservedHeader(name.to_string()));
        }
        encode_headers(&parts.headers, &mut out);
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }
}

/// What the application adds to a 101 response.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ResponseParts {
    /// The subprotocol to use; one of those that the client offered.
    pub subprotocol: Option<String>,
    /// Additional headers, such as `Set-Cookie`.
    pub headers: HeaderMap,
}

/// Why a 101 response cannot be sent as requested. The fault is the application's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponsePartsError {
    /// The client did not offer this subprotocol.
    #[error("subprotocol {0:?} was not offered by the client")]
    Subprotocol(String),
    /// The handshake sets this header itself.
    #[error("header {0:?} is set by the handshake")]
    ReservedHeader(String),
    /// The request is an extended CONNECT, whose response has no form in HTTP/1.1.
    #[error("the response to an extended CONNECT cannot be encoded as HTTP/1.1")]
    ExtendedConnect,
}

/// The response to a refused upgrade: any status, headers and body. The default is 403 without a body.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// Boxed to keep a `Result` with it small.
    pub(super) response: Box<Response<Bytes>>,
}

impl Rejection {
    /// Creates a rejection with a status only. A 1xx status is sent as 500, because it would not end the request.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        Self::from(response)
    }

    /// Sets a body of plain text.
    #[must_use]
    pub fn with_text(self, text: impl Into<String>) -> Self {
        self.with_header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
            .with_body(text.into())
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        *self.response.body_mut() = body.into();
        self
    }

    /// Adds a header. [`encode`](Self::encode) sets those that frame the message.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.response.headers_mut().append(name, value);
        self
    }

    /// The response as it was given.
    #[must_use]
    pub fn response(&self) -> &Response<Bytes> {
        &self.response
    }

    /// The bytes to send. Close the connection after them: a proxy must not take later bytes for another request, so
    /// the response always has `Connection: close`. A 204, 205 or 304 has no content (RFC 9110 section 15), so its
    /// body is left out.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.encode_with(self.content())
    }

    /// The bytes to send in answer to HEAD: the same head, without the body (RFC 9110 section 9.3.2).
    #[must_use]
    pub fn encode_head(&self) -> Vec<u8> {
        self.encode_with(&[])
    }

    fn encode_with(&self, body: &[u8]) -> Vec<u8> {
        let mut headers = self.response.headers().clone();
        for name in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION] {
            headers.remove(name);
        }
        let mut out = Vec::with_capacity(256 + body.len());
        encode_status(self.status(), &mut out);
        encode_headers(&headers, &mut out);
        if !matches!(self.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            out.extend_from_slice(format!("Content-Length: {}\r\n", self.content().len()).as_bytes());
        }
        // `Connection` names each header that concerns the connection (RFC 9110 section 7.8).
        let upgrade = if headers.contains_key(header::UPGRADE) { ", Upgrade" } else { "" };
        out.extend_from_slice(format!("Connection: close{upgrade}\r\n\r\n").as_bytes());
        out.extend_from_slice(body);
        out
    }

    pub(super) fn status(&self) -> StatusCode {
        let status = self.response.status();
        if status.is_informational() { StatusCode::INTERNAL_SERVER_ERROR } else { status }
    }

    pub(super) fn content(&self) -> &[u8] {
        match self.response.status() {
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => &[],
            _ => self.response.body(),
        }
    }
}

impl From<Response<Bytes>> for Rejection {
    fn from(response: Response<Bytes>) -> Self {
        Self { response: Box::new(response) }
    }
}

impl Default for Rejection {
    fn default() -> Self {
        Self::new(StatusCode::FORBIDDEN)
    }
}

impl From<StatusCode> for Rejection {
    fn from(status: StatusCode) -> Self {
        Self::new(status)
    }
}

impl From<RequestError> for Rejection {
    fn from(error: RequestError) -> Self {
        let rejection = Self::new(error.status()).with_text(format!("{error}\n"));
        match error.status() {
            StatusCode::METHOD_NOT_ALLOWED => {
                let method = if error == RequestError::NotConnect { "CONNECT" } else { "GET" };
                rejection.with_header(header::ALLOW, HeaderValue::from_static(method))
            }
            _ if error == RequestError::ConnectVersion => {
                rejection.with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
            }
            StatusCode::UPGRADE_REQUIRED => rejection
                .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
                .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            _ => rejection,
        }
    }
}

/// Headers that belong to the handshake or frame the message.
pub(super) fn is_reserved(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 5] = [
        header::UPGRADE,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::TRAILER,
    ];
    NAMES.contains(name) || name.as_str().starts_with("sec-websocket-")
}

/// The value of a header that is on exactly one line, if it is visible ASCII.
pub(super) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

/// Exactly one `Host`, which may be empty (RFC 9112 section 3.2). HTTP/1.0 may have none.
pub(super) fn check_host(headers: &HeaderMap, is_needed: bool) -> Result<(), RequestError> {
    let is_host = |host: &str| host.is_empty() || split_authority(host).is_some();
    let is_valid = match single(headers, header::HOST) {
        Some(host) => is_host(host),
        None => !is_needed && !headers.contains_key(header::HOST),
    };
    if is_valid { Ok(()) } else { Err(RequestError::Host) }
}

/// A path, or a URL in absolute form.
pub(super) fn check_target(target: &Uri) -> Result<(), RequestError> {
    const SCHEMES: [&str; 4] = ["http", "https", "ws", "wss"];
    let is_known = |scheme: &str| SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let is_valid = match (target.scheme_str(), target.authority()) {
        (None, None) => target.path().starts_with('/'),
        (Some(scheme), Some(authority)) => is_known(scheme) && split_authority(authority.as_str()).is_some(),
        _ => false,
    };
    if is_valid { Ok(()) } else { Err(RequestError::Target) }
}

pub(super) fn check_no_body(headers: &HeaderMap) -> Result<(), RequestError> {
    let no_length = headers.get_all(header::CONTENT_LENGTH).iter().all(|value| value == "0");
    if no_length && !headers.contains_key(header::TRANSFER_ENCODING) {
        Ok(())
    } else {
        Err(RequestError::Body)
    }
}

/// Whether `name` is valid as a subprotocol (RFC 6455 section 4.1, item 10).
pub(super) fn is_subprotocol(name: &str) -> bool {
    is_token(name)
}
