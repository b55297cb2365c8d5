//! The handshake inside an HTTP server, which reads requests and writes responses itself: HTTP/1.1 (RFC 6455), and
//! HTTP/2 and HTTP/3 by extended CONNECT (RFC 8441, RFC 9220).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version, header, request};

use super::{
    error::RequestError,
    server::{
        Rejection, RequestLines, ResponseParts, ResponsePartsError, ServerHandshake, check_host,
        check_no_body, check_target, is_reserved, single,
    },
};

/// The value of `:protocol` in an extended CONNECT (RFC 8441 section 5).
const WEBSOCKET: &str = "websocket";

impl ServerHandshake {
    /// Checks a request of any HTTP version.
    ///
    /// An HTTP/1.1 request is checked as by [`new`](Self::new). An HTTP/2 or HTTP/3 request must be an extended
    /// CONNECT: with `protocol`, the `:protocol` pseudo-header, which `http::Request` has no place for. It has no key
    /// and no `Upgrade`; its target has a scheme and an authority, or a `Host` header replaces the authority.
    ///
    /// # Errors
    /// For HTTP/1.1 as [`new`](Self::new). For the others the first [`RequestError`] that applies, in the order:
    /// method, protocol, target, host, body, WebSocket version, subprotocols, extensions.
    pub fn from_request<B>(request: &http::Request<B>, protocol: Option<&str>) -> Result<Self, RequestError> {
        Self::from_lines(request.into(), protocol)
    }

    /// Checks the head of a request, as [`from_request`](Self::from_request) does.
    ///
    /// # Errors
    /// As [`from_request`](Self::from_request).
    pub fn from_parts(head: &request::Parts, protocol: Option<&str>) -> Result<Self, RequestError> {
        let request::Parts { method, uri, version, headers, .. } = head;
        Self::from_lines(RequestLines { method, target: uri, version: *version, headers }, protocol)
    }

    fn from_lines(request: RequestLines<'_>, protocol: Option<&str>) -> Result<Self, RequestError> {
        match request.version {
            Version::HTTP_2 | Version::HTTP_3 => Self::extended_connect(request, protocol),
            _ => Self::upgrade(request),
        }
    }

    fn extended_connect(request: RequestLines<'_>, protocol: Option<&str>) -> Result<Self, RequestError> {
        let headers = request.headers;
        if request.method != Method::CONNECT {
            return Err(RequestError::NotConnect);
        }
        // A token that is compared as it is (RFC 8441 section 4).
        if protocol != Some(WEBSOCKET) {
            return Err(RequestError::Protocol);
        }
        check_target(request.target)?;
        check_host(headers, request.target.authority().is_none())?;
        check_no_body(headers)?;
        if single(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err(RequestError::ConnectVersion);
        }
        Self::with_offers(headers, None)
    }

    /// Whether the request is an extended CONNECT, and not an HTTP/1.1 upgrade.
    #[must_use]
    pub const fn is_extended_connect(&self) -> bool {
        self.accept_key.is_none()
    }

    /// The response that accepts the request: 101 with `Upgrade`, `Connection` and `Sec-WebSocket-Accept` (RFC 6455
    /// section 4.2.2), or 200 without them for an extended CONNECT (RFC 8441 section 5). The connection is open once it
    /// is written. It has no body and must get no `Content-Length`.
    ///
    /// # Errors
    /// [`ResponsePartsError`] if `parts` has a subprotocol that the client did not offer, or a header that the
    /// application must not set.
    pub fn response(&self, parts: &ResponseParts) -> Result<Response<()>, ResponsePartsError> {
        if let Some(name) = parts.headers.keys().find(|name| is_reserved(name)) {
            return Err(ResponsePartsError::ReservedHeader(name.to_string()));
        }
        let mut response = Response::new(());
        *response.headers_mut() = parts.headers.clone();
        let headers = response.headers_mut();
        if let Some(subprotocol) = &parts.subprotocol {
            let unknown = || ResponsePartsError::Subprotocol(subprotocol.clone());
            if !self.offered.contains(subprotocol) {
                return Err(unknown());
            }
            let value = HeaderValue::from_str(subprotocol).map_err(|_| unknown())?;
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        // Both are visible ASCII.
        set(headers, header::SEC_WEBSOCKET_EXTENSIONS, self.extensions.as_deref());
        if self.accept_key.is_some() {
            set(headers, header::SEC_WEBSOCKET_ACCEPT, self.accept_key.as_deref());
            headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        }
        Ok(response)
    }
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// The response for an HTTP server to write. As in [`Rejection::encode`], `Connection` is `close`, a 1xx status becomes
/// 500, and a 204, 205 or 304 has no body. The server sets `Content-Length`. Remove `Connection` and `Upgrade` for
/// HTTP/2, which has neither (RFC 9113 section 8.2.2).
impl<B: From<Bytes>> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        let (status, has_content) = (rejection.status(), !rejection.content().is_empty());
        let (mut head, content) = rejection.response.into_parts();
        head.status = status;
        for name in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            head.headers.remove(name);
        }
        let is_upgrade = head.headers.contains_key(header::UPGRADE);
        let connection = if is_upgrade { "close, Upgrade" } else { "close" };
        head.headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
        Self::from_parts(head, B::from(if has_content { content } else { Bytes::new() }))
    }
}
