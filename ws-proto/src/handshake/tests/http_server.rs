//! The server's handshake inside an HTTP server: from `http::Request` to `http::Response`, over HTTP/1.1 and HTTP/2.

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Builder,
};

use super::{KEY, REQUEST, Rejection, RequestError, ResponseParts, ResponsePartsError, ServerHandshake};
use crate::{Config, ValidConfig};

fn config() -> ValidConfig {
    Config::default().validate().unwrap()
}

fn http1() -> Builder {
    Request::get("/chat")
        .header("Host", "example.com")
        .header("Upgrade", "foo, WebSocket")
        .header("Connection", "keep-alive, upgrade")
        .header("Sec-WebSocket-Key", KEY)
        .header("Sec-WebSocket-Version", "13")
}

fn http2() -> Builder {
    let target = "https://example.com/chat";
    Request::connect(target).version(Version::HTTP_2).header("sec-websocket-version", "13")
}

fn error(request: Builder, protocol: Option<&str>) -> RequestError {
    let request = request.body("any body").unwrap();
    let error = ServerHandshake::from_request(&request, protocol).unwrap_err();
    let (head, _) = request.into_parts();
    assert_eq!(ServerHandshake::from_parts(&head, protocol).unwrap_err(), error);
    error
}

fn accepted(request: Builder, parts: &ResponseParts) -> Result<Response<()>, ResponsePartsError> {
    let mut handshake = ServerHandshake::from_request(&request.body(()).unwrap(), Some("websocket")).unwrap();
    let _ = handshake.negotiate(&config());
    handshake.response(parts)
}

fn names(response: &Response<()>) -> Vec<&str> {
    let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_http_1_request_gets_101_with_the_accept_key() {
    let response = accepted(http1(), &ResponseParts::default()).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(names(&response), ["connection", "sec-websocket-accept", "upgrade"]);
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()[header::UPGRADE], "websocket");
    assert_eq!(response.headers()[header::CONNECTION], "Upgrade");
}

#[test]
fn an_extended_connect_gets_200_without_headers_of_http_1() {
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let response = accepted(http2().version(version), &ResponseParts::default()).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(names(&response), [""; 0]);
    }
}

#[test]
fn the_chosen_subprotocol_and_own_headers_are_in_the_response() {
    for request in [http1(), http2()] {
        let mut parts = ResponseParts { subprotocol: Some("chat".to_owned()), ..ResponseParts::default() };
        parts.headers.append(header::SET_COOKIE, HeaderValue::from_static("a=1"));
        parts.headers.append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
        let response = accepted(request.header("Sec-WebSocket-Protocol", "soap, chat"), &parts).unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "chat");
        assert_eq!(response.headers().get_all(header::SET_COOKIE).iter().count(), 2);
    }
}

#[cfg(feature = "deflate")]
#[test]
fn agreed_compression_is_in_the_response_over_http_2_too() {
    let deflate = Some(crate::deflate::DeflateConfig::server());
    let config = Config { deflate, ..Config::default() };
    for request in [http1(), http2()] {
        let request = request.header("Sec-WebSocket-Extensions", "permessage-deflate").body(()).unwrap();
        let mut handshake = ServerHandshake::from_request(&request, Some("websocket")).unwrap();
        assert!(handshake.negotiate(&config.clone().validate().unwrap()).deflate().is_some());
        let response = handshake.response(&ResponseParts::default()).unwrap();
        let answer = response.headers()[header::SEC_WEBSOCKET_EXTENSIONS].to_str().unwrap();
        assert!(answer.starts_with("permessage-deflate"), "{answer}");
    }
}

#[test]
fn a_response_that_breaks_the_handshake_is_an_error() {
    for request in [http1, http2] {
        let parts = ResponseParts { subprotocol: Some("chat".to_owned()), ..ResponseParts::default() };
        let unknown = Err(ResponsePartsError::Subprotocol("chat".to_owned()));
        assert_eq!(accepted(request(), &parts).map(drop), unknown);
        for name in ["content-length", "sec-websocket-accept", "connection"] {
            let mut parts = ResponseParts::default();
            parts.headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
            let reserved = Err(ResponsePartsError::ReservedHeader(name.to_owned()));
            assert_eq!(accepted(request(), &parts).map(drop), reserved);
        }
    }
}

#[test]
fn both_forms_of_the_101_agree() {
    let (head, _) = http1().body(()).unwrap().into_parts();
    let handshake = ServerHandshake::from_parts(&head, None).unwrap();
    let encoded = String::from_utf8(handshake.accept(&ResponseParts::default()).unwrap()).unwrap();
    let response = handshake.response(&ResponseParts::default()).unwrap();
    for (name, value) in response.headers() {
        let line = format!("{name}: {}", value.to_str().unwrap());
        assert!(encoded.to_lowercase().contains(&line.to_lowercase()), "{line} in {encoded}");
    }
    assert_eq!(encoded.lines().count(), 1 + response.headers().len() + 1);
}

#[test]
fn an_extended_connect_has_no_encoding_in_http_1() {
    let handshake = ServerHandshake::from_request(&http2().body(()).unwrap(), Some("websocket")).unwrap();
    assert!(handshake.is_extended_connect());
    let encoded = handshake.accept(&ResponseParts::default());
    assert_eq!(encoded, Err(ResponsePartsError::ExtendedConnect));
}

#[test]
fn each_fault_of_an_extended_connect_has_its_status() {
    let websocket = Some("websocket");
    let get = || http2().method(Method::GET);
    for (request, protocol, expected, status) in [
        (get(), websocket, RequestError::NotConnect, 405),
        (get(), None, RequestError::NotConnect, 405),
        (http2(), None, RequestError::Protocol, 501),
        (http2(), Some("connect-udp"), RequestError::Protocol, 501),
        (http2(), Some("WebSocket"), RequestError::Protocol, 501),
        (http2().uri("example.com:443"), websocket, RequestError::Target, 400),
        (http2().uri("ftp://example.com/"), websocket, RequestError::Target, 400),
        (http2().uri("https://user@example.com/"), websocket, RequestError::Target, 400),
        (http2().uri("/chat"), websocket, RequestError::Host, 400),
        (http2().header("host", "a, b"), websocket, RequestError::Host, 400),
        (http2().header("content-length", "5"), websocket, RequestError::Body, 400),
        (http2().header("sec-websocket-version", "13"), websocket, RequestError::ConnectVersion, 400),
        (
            http2().header("sec-websocket-protocol", "a b"),
            websocket,
            RequestError::Header("Sec-WebSocket-Protocol"),
            400,
        ),
    ] {
        let error = error(request, protocol);
        assert_eq!((error, error.status().as_u16()), (expected, status));
    }
}

#[test]
fn a_middleware_may_leave_only_the_path_of_an_http_2_target() {
    let request = http2().uri("/chat").header("host", "example.com").body(()).unwrap();
    assert!(ServerHandshake::from_request(&request, Some("websocket")).is_ok());
}

#[test]
fn an_http_1_request_is_checked_as_one_that_was_read_from_a_socket() {
    assert!(REQUEST.contains(KEY));
    for (request, expected) in [
        (http1().version(Version::HTTP_10), RequestError::Http10),
        (http1().version(Version::HTTP_09), RequestError::Version),
        (http1().method(Method::POST), RequestError::Method),
        (http1().header("Sec-WebSocket-Key", KEY), RequestError::Key),
        (http1().header("Sec-WebSocket-Version", "8"), RequestError::WebSocketVersion),
        (http1().header("Host", "example.com"), RequestError::Host),
        (Request::get("/").header("Host", "a"), RequestError::Upgrade),
    ] {
        assert_eq!(error(request, None), expected);
    }
}

#[test]
fn a_refusal_over_http_1_closes_the_connection_and_names_what_is_supported() {
    let refusal = |error: RequestError| Response::<Bytes>::from(Rejection::from(error));
    let old = refusal(RequestError::WebSocketVersion);
    assert_eq!(old.status(), 426);
    assert_eq!(old.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    assert_eq!(old.headers()[header::UPGRADE], "websocket");
    assert_eq!(old.headers()[header::CONNECTION], "close, Upgrade");
    let posted = refusal(RequestError::Method);
    assert_eq!((posted.status().as_u16(), &posted.headers()[header::ALLOW]), (405, &"GET".parse().unwrap()));
    assert_eq!(posted.headers()[header::CONNECTION], "close");
    assert!(!posted.headers().contains_key(header::UPGRADE));
    let got = refusal(RequestError::NotConnect);
    assert_eq!((got.status().as_u16(), &got.headers()[header::ALLOW]), (405, &"CONNECT".parse().unwrap()));
    let version = refusal(RequestError::ConnectVersion);
    assert_eq!(version.status(), 400);
    assert_eq!(version.headers()[header::SEC_WEBSOCKET_VERSION], "13");
    assert!(!version.headers().contains_key(header::UPGRADE));
}

#[test]
fn a_rejection_of_an_application_keeps_its_body_and_loses_what_frames_it() {
    let rejection = Rejection::new(StatusCode::UNAUTHORIZED)
        .with_text("no")
        .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("99"))
        .with_header(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    let response = Response::<Vec<u8>>::from(rejection);
    assert_eq!((response.status().as_u16(), response.body().as_slice()), (401, &b"no"[..]));
    assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
    assert!(!response.headers().contains_key(header::TRANSFER_ENCODING));
    for (status, expected, body) in [(101, 500, "x"), (204, 204, ""), (205, 205, ""), (304, 304, "")] {
        let status = StatusCode::from_u16(status).unwrap();
        let response = Response::<Bytes>::from(Rejection::new(status).with_body("x"));
        assert_eq!((response.status().as_u16(), &response.body()[..]), (expected, body.as_bytes()));
    }
}

/// An HTTP server allows much longer headers than this crate's reader. Each subprotocol takes memory of its own.
#[test]
fn more_than_64_subprotocols_are_refused_also_on_several_lines() {
    let offered = |lines: &[usize]| {
        let request = lines.iter().fold(http1(), |request, count| {
            request.header("Sec-WebSocket-Protocol", vec!["a"; *count].join(","))
        });
        ServerHandshake::from_request(&request.body(()).unwrap(), None)
            .map(|handshake| handshake.offered_subprotocols().len())
    };
    assert_eq!(offered(&[64]), Ok(64));
    assert_eq!(offered(&[63, 1]), Ok(64));
    for lines in [&[65][..], &[64, 1], &[200_000]] {
        assert_eq!(offered(lines), Err(RequestError::Header("Sec-WebSocket-Protocol")), "{lines:?}");
    }
}
