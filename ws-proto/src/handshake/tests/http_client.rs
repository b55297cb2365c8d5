//! The client's handshake over HTTP/2: from `ClientRequest` to `http::Request`, and its check of an `http::Response`.

use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};

use super::super::{
    ClientHandshake, ClientRequest, ClientRequestError, Negotiated, ResponseError, ResponseParts,
    ServerHandshake, TransportSecurity,
};
use crate::{Config, ValidConfig};

#[cfg(feature = "deflate")]
fn config() -> ValidConfig {
    let deflate = Some(crate::deflate::DeflateConfig::client());
    Config { deflate, ..Config::default() }.validate().unwrap()
}

#[cfg(not(feature = "deflate"))]
fn config() -> ValidConfig {
    Config::default().validate().unwrap()
}

fn connect(request: &ClientRequest) -> Result<(ClientHandshake, Request<()>), ClientRequestError> {
    ClientHandshake::extended_connect(request, TransportSecurity::Tls)
}

fn chat() -> ClientRequest {
    ClientRequest::new("example.com:8443", "/chat?room=1")
}

fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().version(Version::HTTP_2).status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).unwrap()
}

fn finish(request: &ClientRequest, response: &Response<()>) -> Result<Negotiated, ResponseError> {
    connect(request).unwrap().0.finish(response)
}

#[test]
fn the_request_is_a_connect_without_the_headers_of_http_1() {
    let (_, request) = connect(&chat()).unwrap();
    assert_eq!((request.method(), request.version()), (&Method::CONNECT, Version::HTTP_2));
    assert_eq!(request.uri(), "https://example.com:8443/chat?room=1");
    let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["sec-websocket-version"]);
    assert_eq!(request.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    let (_, plain) = ClientHandshake::extended_connect(&chat(), TransportSecurity::Plain).unwrap();
    assert_eq!(plain.uri(), "http://example.com:8443/chat?room=1");
}

#[test]
fn the_server_of_this_crate_accepts_the_request() {
    let config = config();
    let mut request = chat().with_extensions(&config);
    request.subprotocols = vec!["v2".to_owned(), "v1".to_owned()];
    let mut secret = HeaderValue::from_static("Bearer token");
    secret.set_sensitive(true);
    request.headers.insert(header::AUTHORIZATION, secret);
    let (handshake, sent) = connect(&request).unwrap();
    assert!(sent.headers()[header::AUTHORIZATION].is_sensitive());
    let mut server = ServerHandshake::from_request(&sent, Some(ClientHandshake::PROTOCOL)).unwrap();
    assert_eq!(server.offered_subprotocols(), ["v2", "v1"]);
    let extensions = server.negotiate(&config);
    let parts = ResponseParts { subprotocol: Some("v1".to_owned()), ..ResponseParts::default() };
    let mut answer = server.response(&parts).unwrap();
    *answer.version_mut() = Version::HTTP_2;
    let negotiated = handshake.finish(&answer).unwrap();
    assert_eq!(negotiated.subprotocol.as_deref(), Some("v1"));
    assert_eq!(negotiated.extensions, extensions);
    #[cfg(feature = "deflate")]
    assert!(negotiated.extensions.deflate().is_some());
}

#[test]
fn a_2xx_accepts_and_needs_no_accept_key() {
    for status in [200, 201, 299] {
        assert_eq!(finish(&chat(), &response(status, &[])).unwrap(), Negotiated::default(), "{status}");
    }
    let ignored = response(200, &[("sec-websocket-accept", "x"), ("content-length", "3")]);
    assert_eq!(finish(&chat(), &ignored).unwrap(), Negotiated::default());
}

#[test]
fn any_other_status_is_a_refusal() {
    for status in [101, 300, 400, 403, 404, 501, 503] {
        let invalid = [("sec-websocket-protocol", "never offered")];
        let refused = ResponseError::Refused(StatusCode::from_u16(status).unwrap());
        assert_eq!(finish(&chat(), &response(status, &invalid)).unwrap_err(), refused);
    }
}

#[test]
fn what_was_not_offered_is_an_error() {
    let mut request = chat();
    request.subprotocols = vec!["v1".to_owned()];
    let error = |headers: &[(&str, &str)]| finish(&request, &response(200, headers)).unwrap_err();
    assert_eq!(error(&[("sec-websocket-protocol", "v2")]), ResponseError::Subprotocol);
    assert_eq!(error(&[("sec-websocket-protocol", "v1, v1")]), ResponseError::Subprotocol);
    assert_eq!(error(&[("sec-websocket-protocol", "")]), ResponseError::Subprotocol);
    assert_eq!(error(&[("sec-websocket-extensions", "permessage-deflate")]), ResponseError::Extension);
}

#[test]
fn an_http_1_response_does_not_answer_an_extended_connect() {
    let mut answer = response(200, &[]);
    *answer.version_mut() = Version::HTTP_11;
    assert_eq!(finish(&chat(), &answer).unwrap_err(), ResponseError::Version);
}

#[test]
fn a_request_that_cannot_be_sent_is_an_error() {
    let error = |request: &ClientRequest| connect(request).map(|(_, request)| request).unwrap_err();
    for host in ["", "a b", "user@example.com", "[::1", "a/b"] {
        let request = ClientRequest::new(host, "/");
        assert_eq!(error(&request), ClientRequestError::Host(host.to_owned()), "{host}");
    }
    for path in ["", "chat", "/a b", "/a#b", "*"] {
        let request = ClientRequest::new("example.com", path);
        assert_eq!(error(&request), ClientRequestError::Path(path.to_owned()), "{path}");
    }
    for name in ["host", "upgrade", "connection", "content-length", "sec-websocket-key"] {
        let mut request = chat();
        request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
        assert_eq!(error(&request), ClientRequestError::ReservedHeader(name.to_owned()));
    }
    for names in [&["a b"][..], &["v1", "v1"], &[""]] {
        let mut request = chat();
        request.subprotocols = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(matches!(error(&request), ClientRequestError::Subprotocol(_)), "{names:?}");
    }
}
