use std::{fmt, net::SocketAddr, ops::Deref};

use http::{HeaderName, HeaderValue, Method};
use ws_proto::handshake::{Rejection, ResponseParts, token_list};
use ws_tokio::internal::guarded;

use crate::proxy::Forwarded;

/// A request to open a WebSocket: method, target, every header line, the peer's address.
///
/// It derefs to [`http::Request`]. Until the request is answered, the subprotocol and the headers that are set here go
/// into the 101 response: in a hook, in [`Handler::accept`], and through
/// [`PendingUpgrade::request_mut`](crate::PendingUpgrade::request_mut). In the function of [`Server::serve`] the
/// request is answered, and to set them has no effect.
///
/// A hook can pass a value on, such as the user that it has authenticated: put it into
/// [`extensions_mut`](Self::extensions_mut), and take it out in [`Handler::accept`] or in the function of
/// [`Server::serve`].
///
/// ```no_run
/// use ws_server::{Rejection, Server, http::StatusCode};
///
/// #[derive(Clone)]
/// struct User(String);
///
/// # async fn example() -> std::io::Result<()> {
/// let server = Server::builder().on_request(|request| {
///     let user = request.header("x-user").map(str::to_owned);
///     let user = user.ok_or_else(|| Rejection::new(StatusCode::UNAUTHORIZED))?;
///     request.extensions_mut().insert(User(user));
///     Ok(())
/// });
/// let server = server.bind("127.0.0.1:9001").await?;
/// server
///     .serve(|mut ws, request| async move {
///         if let Some(User(name)) = request.extensions().get() {
///             let _ = ws.send(format!("hello, {name}")).await;
///         }
///     })
///     .await;
/// # Ok(())
/// # }
/// ```
///
/// [`Handler::accept`]: crate::Handler::accept
/// [`Server::serve`]: crate::Server::serve
///
/// `uri()` is the target as the client sent it: usually a path, or a URL in absolute form, `http://host/path`. The host
/// of such a URL replaces the `Host` header, also in `headers()` (RFC 9112 section 3.2.2). [`path`](Self::path) and
/// [`query`](Self::query) are the same in both forms. A quotation mark in a query appears as `%22`. `version()` is
/// HTTP/1.1, or HTTP/1.0 for a plain request to [`ServerBuilder::http`](crate::ServerBuilder::http). A request of an
/// [`Adopter`](crate::adopt::Adopter) may be an extended CONNECT of HTTP/2 or HTTP/3.
///
/// Header values and the target share one copy of the request's head. One that is kept keeps all of it in memory, at
/// most [`max_head_size`](ws_proto::Limits::max_head_size): copy what is kept for long.
pub struct Request {
    inner: http::Request<()>,
    peer: Option<SocketAddr>,
    /// Boxed because few requests have one, and functions keep requests for long.
    proxy: Option<Box<SocketAddr>>,
    is_server_draining: bool,
    pub(crate) acceptance: ResponseParts,
}

impl Request {
    pub(crate) fn new(mut inner: http::Request<()>, peer: Option<SocketAddr>) -> Self {
        // RFC 9112 section 3.2.2: the host of a target in absolute form replaces the `Host` header.
        let authority = inner.uri().authority().map(http::uri::Authority::as_str);
        if let Some(host) = authority.and_then(|authority| HeaderValue::from_str(authority).ok()) {
            inner.headers_mut().insert(http::header::HOST, host);
        }
        let acceptance = ResponseParts::default();
        Self { inner, peer, proxy: None, is_server_draining: false, acceptance }
    }

    /// Sets the proxy through which the peer has connected.
    pub(crate) fn set_proxy(&mut self, proxy: Option<Box<SocketAddr>>) {
        self.proxy = proxy;
    }

    /// Notes whether the server's shutdown has begun.
    pub(crate) const fn set_server_draining(&mut self, yes: bool) {
        self.is_server_draining = yes;
    }

    /// Replaces the peer by the client that the request names, if the peer is a proxy that may name one.
    pub(crate) fn follow_forwarded(&mut self, forwarded: Option<&Forwarded>) {
        let Some(forwarded) = forwarded.filter(|forwarded| forwarded.trusts(self.peer)) else { return };
        if let Some(client) = forwarded.client(self.inner.headers()) {
            let proxy = self.peer.replace(client);
            self.proxy = self.proxy.take().or_else(|| proxy.map(Box::new));
        }
    }

    /// The peer's address. `None` on a Unix socket and for an [`Acceptor`](crate::Acceptor). For an adopted connection,
    /// the address of its [`OpeningRequest`](crate::adopt::OpeningRequest).
    ///
    /// If a trusted proxy names its client, it is the client's address:
    /// [`proxy_protocol`](crate::ServerBuilder::proxy_protocol), [`forwarded`](crate::ServerBuilder::forwarded).
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The address of the proxy that has connected, if [`peer_addr`](Self::peer_addr) is not the socket's but what the
    /// proxy says. `None` for a proxy on a Unix socket.
    #[must_use]
    pub fn proxy_addr(&self) -> Option<SocketAddr> {
        self.proxy.as_deref().copied()
    }

    /// Whether the server's shutdown had begun when the request was read. The answer to a health check, in
    /// [`ServerBuilder::http`](crate::ServerBuilder::http), is 503 then: [`Shutdown::ready_delay`] says for how long.
    ///
    /// ```
    /// use ws_server::{Server, http::{Response, StatusCode}};
    ///
    /// let server = Server::builder().http(|request| {
    ///     let mut response = Response::new("ok\n".into());
    ///     if request.is_server_draining() {
    ///         *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    ///     }
    ///     response
    /// });
    /// ```
    ///
    /// [`Shutdown::ready_delay`]: crate::close::Shutdown::ready_delay
    #[must_use]
    pub const fn is_server_draining(&self) -> bool {
        self.is_server_draining
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.inner.uri().path()
    }

    /// The query, without its question mark, as it was sent: percent-encoding is not decoded.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.inner.uri().query()
    }

    /// A header's value, or `None` if it is absent or not visible ASCII. The first one if there are several lines.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// The values that hooks attach to the request, mutably. `extensions()` reads them.
    pub fn extensions_mut(&mut self) -> &mut http::Extensions {
        self.inner.extensions_mut()
    }

    /// The request as a plain [`http::Request`], with its extensions. The peer's address, and what was set for the
    /// response, are lost.
    #[must_use]
    pub fn into_http(mut self) -> http::Request<()> {
        std::mem::take(&mut self.inner)
    }

    /// The subprotocols that the client offers, in the client's order (RFC 6455 section 11.3.4).
    #[must_use]
    pub fn offered_subprotocols(&self) -> Vec<String> {
        token_list(self.inner.headers(), http::header::SEC_WEBSOCKET_PROTOCOL).unwrap_or_default()
    }

    /// Chooses the first subprotocol of `supported` that the client offers, and returns it. Chooses none and returns
    /// `None` if the client offers none of them. No effect once the request is answered.
    pub fn select_subprotocol(&mut self, supported: &[impl AsRef<str>]) -> Option<String> {
        let offered = self.offered_subprotocols();
        let chosen =
            supported.iter().map(AsRef::as_ref).find(|name| offered.iter().any(|offer| offer == name));
        self.acceptance.subprotocol = chosen.map(str::to_owned);
        self.acceptance.subprotocol.clone()
    }

    /// Adds a header to the 101 response. A header that belongs to the handshake makes the response fail: the client
    /// gets 500. No effect once the request is answered.
    pub fn add_response_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.acceptance.headers.append(name, value);
    }

    /// The subprotocol that was chosen.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.acceptance.subprotocol.as_deref()
    }
}

/// Omits the query and the values of headers, because they may contain credentials.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", self.inner.method())
            .field("path", &self.path())
            .field("headers", &self.inner.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("peer", &self.peer)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// The application's values may have destructors that panic.
impl Drop for Request {
    fn drop(&mut self) {
        let acceptance = std::mem::take(&mut self.acceptance);
        let _ = guarded(|| drop(acceptance));
        let extensions = std::mem::take(self.inner.extensions_mut());
        let _ = guarded(|| drop(extensions));
    }
}

/// As [`Request::into_http`].
impl From<Request> for http::Request<()> {
    fn from(request: Request) -> Self {
        request.into_http()
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
    fn the_debug_output_of_a_request_contains_no_secrets() {
        let inner = http::Request::builder()
            .uri("/chat?token=secret")
            .header("Cookie", "id=secret")
            .header("Sec-WebSocket-Protocol", "token.secret");
        let mut request = Request::new(inner.body(()).unwrap(), None);
        request.select_subprotocol(&["token.secret"]);
        let printed = format!("{request:?}");
        assert!(!printed.contains("secret") && printed.contains("cookie"), "{printed}");
        assert!(printed.contains("/chat"), "{printed}");
    }

    #[test]
    fn a_request_of_http_has_the_headers_and_the_extensions() {
        let inner = http::Request::builder().uri("/chat").header("X-Name", "value").body(()).unwrap();
        let mut request = Request::new(inner, None);
        request.extensions_mut().insert("attached");
        let request = request.into_http();
        assert_eq!((request.uri().path(), request.headers()["x-name"].as_bytes()), ("/chat", &b"value"[..]));
        assert_eq!(request.extensions().get(), Some(&"attached"));
    }
}
