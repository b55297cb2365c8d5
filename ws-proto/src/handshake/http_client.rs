//! The client's handshake over HTTP/2 and HTTP/3, by extended CONNECT (RFC 8441, RFC 9220). An HTTP implementation
//! sends the request and receives the response.

use http::{
    HeaderValue, Method, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::{
    client::{ClientHandshake, ClientRequest},
    error::ClientRequestError,
    origin::TransportSecurity,
};

impl ClientHandshake {
    /// The `:protocol` pseudo-header of the request (RFC 8441 section 5), which `http::Request` has no place for.
    pub const PROTOCOL: &str = "websocket";

    /// Starts a handshake over HTTP/2. Returns its state and the request to send: a CONNECT whose target has the scheme
    /// `https` or `http`, the authority and the path. Send it with the `:protocol` pseudo-header
    /// [`PROTOCOL`](Self::PROTOCOL), and only to a server that has sent `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441
    /// section 3). It has no key, no `Upgrade` and no body. For HTTP/3 change its version.
    ///
    /// # Errors
    /// [`ClientRequestError`] if the request would not be valid, for example because of control characters.
    pub fn extended_connect(
        request: &ClientRequest,
        security: TransportSecurity,
    ) -> Result<(Self, Request<()>), ClientRequestError> {
        request.check()?;
        let authority = Authority::try_from(request.host.as_str());
        let path = PathAndQuery::try_from(request.path.as_str());
        let mut target = http::uri::Parts::default();
        target.scheme = Some(if security == TransportSecurity::Tls { Scheme::HTTPS } else { Scheme::HTTP });
        target.authority = Some(authority.map_err(|_| ClientRequestError::Host(request.host.clone()))?);
        let invalid_path = || ClientRequestError::Path(request.path.clone());
        target.path_and_query = Some(path.map_err(|_| invalid_path())?);

        let mut connect = Request::new(());
        *connect.method_mut() = Method::CONNECT;
        *connect.version_mut() = Version::HTTP_2;
        *connect.uri_mut() = Uri::from_parts(target).map_err(|_| invalid_path())?;
        *connect.headers_mut() = request.headers.clone();
        let headers = connect.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if !request.subprotocols.is_empty() {
            let names = request.subprotocols.join(", ");
            let value =
                HeaderValue::try_from(names.as_str()).map_err(|_| ClientRequestError::Subprotocol(names))?;
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        // The offer is visible ASCII.
        if let Some(offer) = request.extensions.header().and_then(|offer| HeaderValue::try_from(offer).ok()) {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
        }
        let (offered, extensions) = (request.subprotocols.clone(), request.extensions.clone());
        Ok((Self { expected_accept: None, offered, extensions }, connect))
    }
}
