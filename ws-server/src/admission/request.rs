use std::{fmt, net::SocketAddr, ops::Deref};

use http::{HeaderName, HeaderValue, Method};
use ws_proto::handshake::{Acceptance, Rejection, token_list};
use ws_tokio::guarded;

/// A request to open a WebSocket, whole, before it is answered: method, target, every header line, the peer's address.
///
/// It derefs to [`http::Request`]. What is set here goes into the 101 response.
///
/// `uri()` is the target as it was sent: mostly a path, or a URL in absolute form, `http://host/path`, whose host counts then
/// in place of the `Engine` header (RFC 9112 section 3.2.2). [`path`](Self::path) and [`query`](Self::query) are the same in
/// both forms. A quotation mark in a query reads `%22`. `version()` is HTTP/1.1 or, for a plain request to
/// [`ServerBuilder::http`](crate::ServerBuilder::http), HTTP/1.0.
pub struct Request {
    inner: http::Request<()>,
    peer: Option<SocketAddr>,
    pub(crate) acceptance: Acceptance,
}

impl Request {
    pub(crate) fn new(inner: http::Request<()>, peer: Option<SocketAddr>) -> Self {
        Self { inner, peer, acceptance: Acceptance::default() }
    }

    /// The peer's address, where the transport has one.
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.inner.uri().path()
    }

    /// The query, without its question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.inner.uri().query()
    }

    /// A header's value, if it stands there and is visible ASCII; of several lines the first.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The subprotocols that the client offers, in its order (RFC 6455 section 11.3.4).
    #[must_use]
    pub fn offered_subprotocols(&self) -> Vec<String> {
        token_list(self.inner.headers(), http::header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default()
    }

    /// Chooses the first of `supported`, in the server's order, that the client offers; `None`, and no subprotocol, if
    /// there is none.
    pub fn select_subprotocol(&mut self, supported: &[impl AsRef<str>]) -> Option<String> {
        let offered = self.offered_subprotocols();
        let chosen =
            supported.iter().map(AsRef::as_ref).find(|name| offered.iter().any(|offer| offer == name));
        self.acceptance.subprotocol = chosen.map(str::to_owned);
        self.acceptance.subprotocol.clone()
    }

    /// Adds a header to the 101 response. Headers that belong to the handshake are refused when it is sent.
    pub fn add_response_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.acceptance.headers.append(name, value);
    }

    /// The subprotocol that was chosen.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.acceptance.subprotocol.as_deref()
    }
}

/// Without the query and the values of headers: they may be credentials.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.inner.method())
            .field("path", &self.path())
            .field("headers", &self.inner.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// What the application has added may have destructors of its own; a panic of theirs ends here.
impl Drop for Request {
    fn drop(&mut self) {
        let acceptance = std::mem::take(&mut self.acceptance);
        let _ = guarded(|| drop(acceptance));
    }
}

impl Deref for Request {
    type Target = http::Request<()>;

    fn deref(&self) -> &http::Request<()> {
        &self.inner
    }
}

/// Encodes the response to a request that is not accepted. The response to HEAD has no body.
pub(crate) fn encode_rejection(rejection: &Rejection, method: &Method) -> Vec<u8> {
    if method == Method::HEAD { rejection.encode_head() } else { rejection.encode() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_request_has_no_secrets_in_it() {
        let inner = http::Request::builder()
            .uri("/chat?token=secret")
            .header("Cookie", "id=secret")
            .header("Sec-WebSocket-Protocol", "token.secret");
        let mut request = Request::new(inner.body(()).unwrap(), None);
        request.select_subprotocol(&["token.secret"]);
        let told = format!("{request:?}");
        assert!(!told.contains("secret") && told.contains("cookie") && told.contains("/chat"), "{told}");
    }
}
