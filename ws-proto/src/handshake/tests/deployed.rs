//! HTTP as deployed clients, proxies and health checks send it, and the limits of tolerance.

use http::{HeaderValue, Method, StatusCode, Version, header};

use crate::{
    config::{Config, Limits},
    handshake::{
        Rejection, Request, RequestError, RequestReader, ResponseError, ResponseReader, ServerHandshake,
    },
};

use super::{KEY, REQUEST, RESPONSE, plus, serve, with};

fn read(request: &str) -> Result<Request, RequestError> {
    let read = RequestReader::new(&Limits::default()).read(request.as_bytes())?;
    let (request, length) = read.expect("a complete head");
    assert!(length > 0);
    Ok(request)
}

fn with_target(target: &str) -> String {
    REQUEST.replace("/chat?room=1", target)
}

fn with_host(host: &str) -> String {
    REQUEST.replace("Host: example.com", &format!("Host: {host}"))
}

#[test]
fn a_target_in_absolute_form_is_accepted_unchanged() {
    for scheme in ["http", "https", "ws", "wss", "HTTP", "Ws"] {
        let target = format!("{scheme}://other.example:8080/chat?x=1");
        let request = read(&with_target(&target)).unwrap();
        let uri = request.uri();
        assert_eq!((uri.path(), uri.query()), ("/chat", Some("x=1")), "{target}");
        assert_eq!(uri.authority().unwrap().as_str(), "other.example:8080");
        assert!(ServerHandshake::new(&request).is_ok(), "{target}");
    }
    for (target, path) in
        [("http://a", "/"), ("ws://[::1]:80", "/"), ("ws://a?x", "/"), ("http://a//b", "//b")]
    {
        let request = read(&with_target(target)).unwrap();
        assert_eq!(request.uri().path(), path, "{target}");
        assert!(ServerHandshake::new(&request).is_ok(), "{target}");
    }
}

#[test]
fn a_target_that_is_neither_a_path_nor_a_url_with_a_host_is_refused() {
    for target in [
        "*",
        "a",
        "example.com:80",
        "ftp://a/",
        "http:/a",
        "http:///chat",
        "http://:80/",
        "http://user@a/",
        "http://user:pass@a/",
        "http://a:99999/",
        "http://a:+80/",
        "http://a,b/",
        "http://[::1]a/",
        "http://[a]/",
    ] {
        assert_eq!(serve(&with_target(target)).err(), Some(RequestError::Target), "{target}");
    }
}

#[test]
fn an_absolute_target_does_not_replace_the_host_header() {
    let absolute = |request: String| request.replace("/chat?room=1", "http://example.com/");
    for request in [with("Host: example.com", ""), plus("Host: example.com"), with_host("a b")] {
        assert_eq!(serve(&absolute(request)).err(), Some(RequestError::Host));
    }
}

#[test]
fn a_fragment_or_a_backslash_in_a_target_is_refused_for_every_method() {
    for target in ["/#", "/a#b", "/?a#b", "/\\evil.example", "/a?b\\c", "http://a/#b", "http://a\\b/"] {
        for method in ["GET", "POST"] {
            let request = with_target(target).replace("GET", method);
            assert_eq!(serve(&request).err(), Some(RequestError::Target), "{method} {target}");
        }
    }
}

#[test]
fn a_quotation_mark_in_a_query_is_read_as_its_encoding() {
    let request = read(&with_target("/\"?a=\"b\"&c")).unwrap();
    assert_eq!((request.uri().path(), request.uri().query()), ("/\"", Some("a=%22b%22&c")));
    assert!(ServerHandshake::new(&request).is_ok());
}

#[test]
fn http_1_0_is_not_an_upgrade_and_needs_no_host() {
    let health_check = "OPTIONS / HTTP/1.0\r\n\r\n";
    let request = read(health_check).unwrap();
    assert_eq!((request.method(), request.version()), (&Method::OPTIONS, Version::HTTP_10));
    for request in [health_check.to_owned(), REQUEST.replace("HTTP/1.1", "HTTP/1.0")] {
        let error = serve(&request).unwrap_err();
        assert_eq!((error, error.status()), (RequestError::Http10, StatusCode::UPGRADE_REQUIRED));
        assert!(error.is_not_upgrade());
    }
    // An error in any request is also an error in HTTP/1.0.
    let two_hosts = "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n";
    assert_eq!(serve(two_hosts).err(), Some(RequestError::Host));
}

#[test]
fn a_higher_minor_version_counts_as_http_1_1() {
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let request = read(&REQUEST.replace("HTTP/1.1", version)).unwrap();
        assert_eq!(request.version(), Version::HTTP_11);
        assert_eq!(request.headers().len(), 5);
        assert!(ServerHandshake::new(&request).is_ok());
    }
}

#[test]
fn another_major_version_gets_505_and_an_invalid_version_400() {
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.1", "HTTP/9.9"] {
        let error = serve(&REQUEST.replace("HTTP/1.1", version)).unwrap_err();
        assert_eq!((error, error.status().as_u16()), (RequestError::Version, 505), "{version}");
    }
    for version in
        ["http/1.1", "HTTP/1.1 ", "HTTP/1.1\t", "HTTP/11", "HTTP/1.10", "HTTP/1", "HTTP/1.x", "H", ""]
    {
        assert_eq!(
            serve(&REQUEST.replace("HTTP/1.1", version)).err(),
            Some(RequestError::Malformed),
            "{version}"
        );
    }
}

#[test]
fn a_key_may_have_bits_after_its_last_byte() {
    // The second is the example of RFC 6455 section 4.1.
    for key in ["dGhlIHNhbXBsZSBub25jZR==", "AQIDBAUGBwgJCgsMDQ4PEC=="] {
        assert!(serve(&REQUEST.replace(KEY, key)).is_ok(), "{key}");
    }
    for key in [
        "AQIDBAUGBwgJCgsMDQ4PECA=",
        "AQIDBAUGBwgJCgsMDQ4P-C==",
        "AQIDBAUGBwgJCgsMDQ4PEC=",
        "AQIDBAUGBwgJCgsMDQ4PEC",
    ] {
        assert_eq!(serve(&REQUEST.replace(KEY, key)).err(), Some(RequestError::Key), "{key}");
    }
}

#[test]
fn one_empty_line_before_the_request_line_is_ignored() {
    let bytes = [b"\r\n", REQUEST.as_bytes(), b"\x81\x80"].concat();
    let mut reader = RequestReader::new(&Limits::default());
    for length in 1..REQUEST.len() + 2 {
        assert!(reader.read(&bytes[..length]).unwrap().is_none(), "{length}");
    }
    let (request, length) = reader.read(&bytes).unwrap().unwrap();
    assert_eq!((request.uri().path(), length), ("/chat", REQUEST.len() + 2));
    for refused in ["\r\n\r\n", "\n", "\r", "\r\n ", "\r\n\n", " \r\n"] {
        assert_eq!(read(&format!("{refused}{REQUEST}")).err(), Some(RequestError::Malformed), "{refused:?}");
    }
}

#[test]
fn an_empty_line_counts_toward_the_limit_of_the_head() {
    let limits = Limits { max_head_size: REQUEST.len(), ..Limits::default() };
    assert!(RequestReader::new(&limits).read(REQUEST.as_bytes()).unwrap().is_some());
    let longer = format!("\r\n{REQUEST}");
    assert_eq!(RequestReader::new(&limits).read(longer.as_bytes()).err(), Some(RequestError::HeadTooLarge));
}

#[test]
fn a_host_is_one_name_or_address_and_a_port() {
    for host in [
        "",
        "a",
        "a.",
        "a_b",
        "a:80",
        "a:",
        "a:65535",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:",
        "[::1]:80",
        "[fe80::1%25eth0]:80",
    ] {
        assert!(serve(&with_host(host)).is_ok(), "{host}");
    }
    for host in [
        "a,b",
        "a:65536",
        "a:-1",
        "a:+80",
        "a:http",
        "a:80:80",
        "a:80, b",
        ":80",
        "[::1]a",
        "[::1]80",
        "[::1",
        "::1",
        "[a]",
        "[]",
        "[::1]:http",
        "a[::1]",
        "a b",
        "a/b",
        "a@b",
        "a#b",
        "a?b",
        "a\\b",
        "a%41",
        "a\"b",
    ] {
        assert_eq!(serve(&with_host(host)).err(), Some(RequestError::Host), "{host}");
    }
}

#[test]
fn an_invalid_host_is_refused_for_every_method() {
    for request in [with("Host: example.com", ""), plus("Host: b"), with_host("a,b")] {
        assert_eq!(serve(&request.replace("GET", "POST")).err(), Some(RequestError::Host));
    }
}

#[test]
fn a_response_without_content_has_no_length_and_no_body() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let answer = Rejection::new(status)
            .with_header(header::CONTENT_LENGTH, HeaderValue::from_static("4"))
            .with_text("text");
        for bytes in [answer.encode(), answer.encode_head()] {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("Content-Length") && text.ends_with("\r\n\r\n"), "{text}");
            assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        }
    }
    let reset =
        String::from_utf8(Rejection::new(StatusCode::RESET_CONTENT).with_text("text").encode()).unwrap();
    assert!(reset.contains("\r\nContent-Length: 0\r\n") && reset.ends_with("\r\n\r\n"), "{reset}");
}

#[test]
fn a_response_to_head_has_the_length_of_the_body_and_no_body() {
    let text = String::from_utf8(Rejection::default().with_text("text").encode_head()).unwrap();
    assert!(text.contains("\r\nContent-Length: 4\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn a_response_with_an_upgrade_header_names_it_in_connection() {
    let upgrade = Rejection::from(RequestError::WebSocketVersion).encode();
    let text = String::from_utf8(upgrade).unwrap();
    assert!(text.contains("\r\nUpgrade: websocket\r\n"), "{text}");
    assert!(text.contains("\r\nConnection: close, Upgrade\r\n"), "{text}");
    let plain = String::from_utf8(Rejection::default().encode()).unwrap();
    assert!(plain.contains("\r\nConnection: close\r\n"), "{plain}");
}

/// This many header lines, each with a distinct name.
fn lines(count: usize) -> String {
    (0..count).map(|number| format!("x{number}:\r\n")).collect()
}

#[test]
fn more_header_lines_than_a_map_can_hold_are_an_error() {
    let limits = Limits { max_head_size: usize::MAX, max_header_lines: usize::MAX, ..Limits::default() };
    let request = REQUEST.replace("Host", &(lines(40_000) + "Host"));
    let read = RequestReader::new(&limits).read(request.as_bytes());
    assert_eq!(read.err(), Some(RequestError::TooManyHeaders));
    let response = RESPONSE.replace("Upgrade: w", &(lines(40_000) + "Upgrade: w"));
    let read = ResponseReader::new(&limits).read(response.as_bytes());
    assert_eq!(read.err(), Some(ResponseError::TooManyHeaders));
}

#[test]
fn the_largest_configurable_number_of_header_lines_is_read() {
    let mut config = Config::default();
    config.limits.max_head_size = usize::MAX;
    config.limits.max_header_lines = Limits::MAX_HEADER_LINES;
    let config = config.validate().unwrap();
    let request = format!("GET / HTTP/1.1\r\n{}\r\n", lines(Limits::MAX_HEADER_LINES));
    let (request, _) = RequestReader::new(&config.limits).read(request.as_bytes()).unwrap().unwrap();
    assert_eq!(request.headers().len(), Limits::MAX_HEADER_LINES);
    let mut config = Config::clone(&config);
    config.limits.max_header_lines += 1;
    let error = config.validate().unwrap_err().to_string();
    assert!(error.contains("max_header_lines = 24577") && error.contains("24,576"), "{error}");
}
