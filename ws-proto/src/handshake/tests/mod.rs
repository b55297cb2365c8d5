mod deployed;
mod http_client;
mod http_server;
mod responses;
mod splits;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use proptest::prelude::*;

use super::{
    ClientHandshake, ClientRequest, ClientRequestError, Rejection, RequestError, RequestReader,
    ResponseError, ResponseParts, ResponsePartsError, ResponseReader, ServerHandshake, accept_key,
};
use crate::{
    config::Limits,
    header_syntax::{has_token, token_list},
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const REQUEST: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn serve(request: &str) -> Result<ServerHandshake, RequestError> {
    let mut reader = RequestReader::new(&Limits::default());
    let (request, _) = reader.read(request.as_bytes())?.expect("a complete head");
    ServerHandshake::new(&request)
}

/// The request with one line replaced, or removed if `replacement` is empty.
fn with(line: &str, replacement: &str) -> String {
    assert!(REQUEST.contains(line), "{line}");
    REQUEST.replace(&format!("{line}\r\n"), replacement)
}

/// The request with an additional line.
fn plus(line: &str) -> String {
    REQUEST.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"))
}

fn answer(response: &str, subprotocols: &[&str]) -> Result<super::Negotiated, ResponseError> {
    let mut request = ClientRequest::new("example.com", "/chat");
    request.subprotocols = subprotocols.iter().map(|name| (*name).to_owned()).collect();
    // The sample nonce of RFC 6455 section 1.3.
    let (handshake, _) = ClientHandshake::new(&request, *b"the sample nonce").unwrap();
    let (response, _) =
        ResponseReader::new(&Limits::default()).read(response.as_bytes())?.expect("a complete head");
    handshake.finish(&response)
}

#[test]
fn the_accept_key_is_that_of_rfc_6455_section_1_3() {
    assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_complete_request_is_read() {
    let bytes = [REQUEST.as_bytes(), b"\x81\x80frame"].concat();
    let (request, len) = RequestReader::new(&Limits::default()).read(&bytes).unwrap().unwrap();
    assert_eq!(len, REQUEST.len());
    assert_eq!((request.uri().path(), request.uri().query()), ("/chat", Some("room=1")));
    assert_eq!(request.headers()["host"], "example.com");
    assert!(ServerHandshake::new(&request).is_ok());
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let mut reader = RequestReader::new(&Limits::default());
    for len in 1..REQUEST.len() {
        assert!(reader.read(&REQUEST.as_bytes()[..len]).unwrap().is_none());
    }
    assert!(reader.read(REQUEST.as_bytes()).unwrap().is_some());
}

#[test]
fn the_101_response_is_129_bytes_without_additions() {
    let response = serve(REQUEST).unwrap().accept(&ResponseParts::default()).unwrap();
    assert_eq!(response, RESPONSE.as_bytes());
    assert_eq!(response.len(), 129);
}

#[test]
fn names_and_tokens_are_compared_ignoring_case() {
    let request = "GET / HTTP/1.1\r\nhost: a\r\nupgrade: WebSocket\r\nconnection: keep-alive, UPGRADE\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    assert!(serve(request).is_ok());
}

#[test]
fn each_bad_request_gets_its_status() {
    let cases: Vec<(String, RequestError, u16)> = vec![
        (REQUEST.replace("GET", "POST"), RequestError::Method, 405),
        (REQUEST.replace("GET", "get"), RequestError::Method, 405),
        (REQUEST.replace("HTTP/1.1", "HTTP/1.0"), RequestError::Http10, 426),
        (REQUEST.replace("HTTP/1.1", "HTTP/2.0"), RequestError::Version, 505),
        (REQUEST.replace("/chat?room=1", "ftp://example.com/chat"), RequestError::Target, 400),
        (REQUEST.replace("/chat?room=1", "*"), RequestError::Target, 400),
        (with("Host: example.com", ""), RequestError::Host, 400),
        (plus("Host: other.example"), RequestError::Host, 400),
        (REQUEST.replace("example.com", "a b"), RequestError::Host, 400),
        (REQUEST.replace("example.com", "a/b"), RequestError::Host, 400),
        (REQUEST.replace("example.com", "user@example.com"), RequestError::Host, 400),
        (REQUEST.replace("/chat?room=1", "/\u{e9}"), RequestError::Target, 400),
        (with("Upgrade: websocket", ""), RequestError::Upgrade, 426),
        (with("Upgrade: websocket", "Upgrade: websocketx\r\n"), RequestError::Upgrade, 426),
        (with("Connection: Upgrade", ""), RequestError::Connection, 426),
        (with("Connection: Upgrade", "Connection: noupgrade\r\n"), RequestError::Connection, 426),
        (with("Sec-WebSocket-Version: 13", ""), RequestError::WebSocketVersion, 426),
        (
            with("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8\r\n"),
            RequestError::WebSocketVersion,
            426,
        ),
        (plus("Sec-WebSocket-Version: 8"), RequestError::WebSocketVersion, 426),
        (REQUEST.replace(KEY, ""), RequestError::Key, 400),
        (REQUEST.replace(KEY, "dG9vIHNob3J0"), RequestError::Key, 400),
        (REQUEST.replace(KEY, "dGhlIHNhbXBsZSBub25jZSE="), RequestError::Key, 400),
        (REQUEST.replace(KEY, "!!!!!!!!!!!!!!!!!!!!!!=="), RequestError::Key, 400),
        (plus(&format!("Sec-WebSocket-Key: {KEY}")), RequestError::Key, 400),
        (plus("Content-Length: 5"), RequestError::Body, 400),
        (plus("Content-Length: 0, 5"), RequestError::Body, 400),
        (plus("Transfer-Encoding: chunked"), RequestError::Body, 400),
        (plus("Sec-WebSocket-Protocol: a b"), RequestError::Header("Sec-WebSocket-Protocol"), 400),
        (plus("Bad Name: x"), RequestError::Malformed, 400),
        (plus("Spaced : x"), RequestError::Malformed, 400),
        (plus(" folded: x"), RequestError::Malformed, 400),
        (plus("Null: a\0b"), RequestError::Malformed, 400),
        (REQUEST.replace("Host: example.com\r\n", "Host: example.com\n"), RequestError::Malformed, 400),
        (REQUEST.replace("\r\n", "\n"), RequestError::Malformed, 400),
        ("\x16\x03\x01 a TLS hello".to_owned(), RequestError::Malformed, 400),
        ("garbage\r\n\r\n".to_owned(), RequestError::Malformed, 400),
    ];
    for (request, error, status) in cases {
        assert_eq!(serve(&request).err(), Some(error), "{request:?}");
        assert_eq!(error.status(), status);
        let response = String::from_utf8(Rejection::from(error).encode()).unwrap();
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{response}");
        let connection = if status == 426 { "close, Upgrade" } else { "close" };
        assert!(response.contains(&format!("\r\nConnection: {connection}\r\n")), "{response}");
        assert_eq!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"), status == 426, "{response}");
    }
}

#[test]
fn a_content_length_of_zero_is_accepted() {
    assert!(serve(&plus("Content-Length: 0")).is_ok());
}

#[test]
fn a_head_over_the_limit_is_refused_with_431_before_its_end() {
    let limits = Limits { max_head_size: 1000, ..Limits::default() };
    let mut reader = RequestReader::new(&limits);
    let bytes = plus(&format!("Padding: {}", "x".repeat(2000)));
    assert_eq!(reader.read(&bytes.as_bytes()[..1000]).err(), Some(RequestError::HeadTooLarge));
}

#[test]
fn header_lines_are_counted_rather_than_names() {
    let limits = Limits { max_header_lines: 10, ..Limits::default() };
    let request = plus(&"Same: x\r\n".repeat(10));
    assert_eq!(
        RequestReader::new(&limits).read(request.as_bytes()).err(),
        Some(RequestError::TooManyHeaders)
    );
    assert!(serve(&plus(&vec!["Same: x"; 90].join("\r\n"))).is_ok());
}

#[test]
fn a_token_in_a_list_is_found_and_a_substring_is_not() {
    let headers =
        |value: &'static str| HeaderMap::from_iter([(header::UPGRADE, HeaderValue::from_static(value))]);
    for value in ["websocket", "WEBSOCKET", "a, websocket", "websocket, b", "a,\t websocket ,b"] {
        assert!(has_token(&headers(value), header::UPGRADE, "websocket"), "{value}");
    }
    for value in ["", "notwebsocket", "websocketx", "web socket", "websocket/13", "foo, bar"] {
        assert!(!has_token(&headers(value), header::UPGRADE, "websocket"), "{value}");
    }
}

#[test]
fn subprotocols_are_listed_in_order_over_all_lines() {
    let request = plus("Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Protocol: third");
    assert_eq!(serve(&request).unwrap().offered_subprotocols(), ["chat", "superchat", "third"]);
}

#[test]
fn exactly_one_of_the_offered_subprotocols_can_be_chosen() {
    let handshake = serve(&plus("Sec-WebSocket-Protocol: a, b")).unwrap();
    let choose = |name: &str| {
        handshake.accept(&ResponseParts { subprotocol: Some(name.to_owned()), ..ResponseParts::default() })
    };
    let response = String::from_utf8(choose("b").unwrap()).unwrap();
    assert!(response.contains("\r\nSec-WebSocket-Protocol: b\r\n"));
    assert_eq!(choose("c"), Err(ResponsePartsError::Subprotocol("c".to_owned())));
    assert_eq!(choose("a, b"), Err(ResponsePartsError::Subprotocol("a, b".to_owned())));
}

#[test]
fn an_acceptance_adds_headers_but_not_those_of_the_handshake() {
    let accept = |name: HeaderName| {
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("value"))]);
        serve(REQUEST).unwrap().accept(&ResponseParts { headers, ..ResponseParts::default() })
    };
    let response = String::from_utf8(accept(header::SET_COOKIE).unwrap()).unwrap();
    assert!(response.contains("\r\nSet-Cookie: value\r\n"));
    for name in [header::CONNECTION, header::SEC_WEBSOCKET_ACCEPT, header::CONTENT_LENGTH] {
        assert!(accept(name).is_err());
    }
}

#[test]
fn a_rejection_frames_its_body_and_closes() {
    let rejection = Rejection::new(StatusCode::UNAUTHORIZED)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))
        .with_header(header::CONNECTION, HeaderValue::from_static("keep-alive"))
        .with_text("no\n");
    let response = String::from_utf8(rejection.encode()).unwrap();
    assert!(response.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    assert!(response.contains("Content-Length: 3\r\n") && response.ends_with("\r\n\r\nno\n"));
    assert!(response.contains("Connection: close\r\n") && !response.contains("keep-alive"));
}

#[test]
fn a_rejection_is_403_by_default_and_never_informational() {
    assert!(Rejection::default().encode().starts_with(b"HTTP/1.1 403 "));
    assert!(Rejection::new(StatusCode::SWITCHING_PROTOCOLS).encode().starts_with(b"HTTP/1.1 500 "));
}

#[test]
fn a_server_accepts_the_clients_request() {
    let mut request = ClientRequest::new("[::1]:9001", "/ws?a=b");
    request.subprotocols = vec!["chat".to_owned(), "v2".to_owned()];
    request.headers.insert(header::ORIGIN, HeaderValue::from_static("http://example.com"));
    let (client, bytes) = ClientHandshake::new(&request, [7; 16]).unwrap();
    let (parsed, _) = RequestReader::new(&Limits::default()).read(&bytes).unwrap().unwrap();
    assert_eq!(parsed.headers()["host"], "[::1]:9001");
    let server = ServerHandshake::new(&parsed).unwrap();
    let acceptance = ResponseParts { subprotocol: Some("v2".to_owned()), ..ResponseParts::default() };
    let response = server.accept(&acceptance).unwrap();
    let (response, _) = ResponseReader::new(&Limits::default()).read(&response).unwrap().unwrap();
    assert_eq!(client.finish(&response).unwrap().subprotocol.as_deref(), Some("v2"));
}

#[test]
fn each_bad_response_gets_its_error() {
    let cases = [
        (
            RESPONSE.replace("101 Switching Protocols", "400 Bad Request"),
            ResponseError::Refused(StatusCode::BAD_REQUEST),
        ),
        ("HTTP/1.1 403 Forbidden\r\n\r\n".to_owned(), ResponseError::Refused(StatusCode::FORBIDDEN)),
        ("HTTP/1.0 503 Nope\r\n\r\n".to_owned(), ResponseError::Refused(StatusCode::SERVICE_UNAVAILABLE)),
        (RESPONSE.replace("HTTP/1.1", "HTTP/1.0"), ResponseError::Version),
        (RESPONSE.replace("Upgrade: websocket\r\n", ""), ResponseError::Upgrade),
        (RESPONSE.replace("Connection: Upgrade\r\n", ""), ResponseError::Connection),
        (RESPONSE.replace("s3pPLMB", "AAAAAAA"), ResponseError::AcceptMismatch),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned(), ResponseError::Upgrade),
        ("HTTP/1.1 1015 What\r\n\r\n".to_owned(), ResponseError::Malformed),
        ("HTTP/1.1 101 X\nUpgrade: websocket\n\n".to_owned(), ResponseError::Malformed),
        ("garbage\r\n\r\n".to_owned(), ResponseError::Malformed),
        (RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n"), ResponseError::Extension),
        (
            RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: evil\r\n\r\n"),
            ResponseError::Subprotocol,
        ),
        (
            RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"),
            ResponseError::Subprotocol,
        ),
        (RESPONSE.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol:\r\n\r\n"), ResponseError::Subprotocol),
    ];
    for (response, error) in cases {
        assert_eq!(answer(&response, &["a", "b"]), Err(error), "{response:?}");
    }
    let lines: Vec<&str> =
        RESPONSE.lines().filter(|line| !line.starts_with("Sec-WebSocket-Accept")).collect();
    assert_eq!(answer(&(lines.join("\r\n") + "\r\n"), &[]), Err(ResponseError::AcceptMissing));
}

#[test]
fn a_response_is_accepted_with_forty_more_headers() {
    let headers: String = (0..40).map(|i| format!("X-Cdn-{i}: value\r\n")).collect();
    let response = RESPONSE.replace("Upgrade: w", &format!("{headers}Upgrade: w"));
    assert_eq!(answer(&response, &["a"]).unwrap().subprotocol, None);
}

#[test]
fn values_that_would_break_the_request_are_refused() {
    let new = |request: &ClientRequest| ClientHandshake::new(request, [0; 16]).err();
    for path in ["", "chat", "/a b", "/a\r\nX: y", "/a#b", "/\u{e9}"] {
        let error = new(&ClientRequest::new("example.com", path));
        assert_eq!(error, Some(ClientRequestError::Path(path.to_owned())));
    }
    for host in ["", "a b", "a\r\nX: y", "user@host", "host/path"] {
        assert_eq!(new(&ClientRequest::new(host, "/")), Some(ClientRequestError::Host(host.to_owned())));
    }
    for names in [&["a b"][..], &[""], &["a\r\n"], &["a", "a"], &["a,b"]] {
        let mut request = ClientRequest::new("example.com", "/");
        request.subprotocols = names.iter().map(|name| (*name).to_owned()).collect();
        assert!(matches!(new(&request), Some(ClientRequestError::Subprotocol(_))), "{names:?}");
    }
    for name in [header::HOST, header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::CONTENT_LENGTH] {
        let mut request = ClientRequest::new("example.com", "/");
        request.headers.insert(name, HeaderValue::from_static("x"));
        assert!(matches!(new(&request), Some(ClientRequestError::ReservedHeader(_))));
    }
}

#[test]
fn different_nonces_give_different_keys() {
    let request = ClientRequest::new("example.com", "/");
    let bytes = |nonce| ClientHandshake::new(&request, nonce).unwrap().1;
    assert_ne!(bytes([1; 16]), bytes([2; 16]));
}

#[test]
fn empty_items_in_a_list_are_skipped() {
    let headers =
        HeaderMap::from_iter([(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(" ,a,, b ,"))]);
    assert_eq!(token_list(&headers, header::SEC_WEBSOCKET_PROTOCOL).unwrap(), ["a", "b"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = RequestReader::new(&Limits::default()).read(&bytes);
        let _ = ResponseReader::new(&Limits::default()).read(&bytes);
    }

    #[test]
    fn no_value_adds_a_line_to_a_request(host in ".{0,20}", path in ".{0,30}", protocol in ".{0,10}") {
        let mut request = ClientRequest::new(host, path);
        request.subprotocols = vec![protocol];
        if let Ok((_, bytes)) = ClientHandshake::new(&request, [1; 16]) {
            let line_feeds = bytes.iter().filter(|byte| **byte == b'\n').count();
            let returns = bytes.iter().filter(|byte| **byte == b'\r').count();
            prop_assert_eq!((line_feeds, returns), (8, 8));
        }
    }

    #[test]
    fn a_request_split_anywhere_is_read_once_it_is_complete(cut in 0_usize..REQUEST.len()) {
        let mut reader = RequestReader::new(&Limits::default());
        prop_assert!(reader.read(&REQUEST.as_bytes()[..cut]).unwrap().is_none());
        prop_assert_eq!(reader.read(REQUEST.as_bytes()).unwrap().unwrap().1, REQUEST.len());
    }
}
