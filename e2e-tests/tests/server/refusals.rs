//! Each refused request gets a status that states the reason, and then the end of the connection.

use e2e_tests::harness;
use e2e_tests::raw_peer::{Head, RequestHead, SAMPLE_KEY};
use e2e_tests::server::{ObservedServer, Script, ServerRunner, close_normally, echo_test, echo_test_with};
use http::{HeaderName, HeaderValue, StatusCode};
use ws_server::{OriginPolicy, Rejection, Server};

/// Sends a modified request. Checks that one well-formed response arrives and then the end of the stream, and returns
/// it.
async fn refuse(server: &ServerRunner, bend: impl FnOnce(RequestHead) -> RequestHead) -> (Head, String) {
    let mut client = server.connect().await;
    let request = bend(client.request("/"));
    let head = client.upgrade_with(request.to_bytes()).await;
    assert_ne!(head.status(), 101, "{request:?}");
    let connection = if head.status() == 426 { "close, Upgrade" } else { "close" };
    assert_eq!(head.header("Connection"), Some(connection), "{head:?}");
    assert!(head.header("Content-Length").is_some(), "{head:?}");
    let body = client.recv_body(&head).await;
    client.expect_eof().await;
    (head, String::from_utf8(body).unwrap())
}

async fn expect_statuses(server: &mut ObservedServer, status: u16, bends: &[fn(RequestHead) -> RequestHead]) {
    for bend in bends {
        let (head, body) = refuse(server, bend).await;
        assert_eq!(head.status(), status, "{:?}", bend(RequestHead::new("localhost", "/")));
        assert!(!body.is_empty(), "it says why");
    }
    server.expect_alive().await;
}

#[test]
fn what_is_no_proper_request_is_400() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 14] = [
            |request| request.without("Host"),
            |request| request.with("Host", "other"),
            |request| request.replacing("Host", "a, b"),
            |request| request.replacing("Host", "a:65536"),
            |request| request.replacing("Host", "[::1]a"),
            |request| request.version("HTTP/1.1.1"),
            |request| request.with("Content-Length", "5"),
            |request| request.with("Transfer-Encoding", "chunked"),
            |request| request.with("Sec-WebSocket-Protocol", "a b"),
            |request| request.with("Bad Name", "x"),
            |mut request| {
                request.target = "ftp://localhost/".into();
                request
            },
            |mut request| {
                request.target = "/path#fragment".into();
                request
            },
            |mut request| {
                request.target = "/\\evil.example".into();
                request
            },
            |mut request| {
                request.target = "*".into();
                request
            },
        ];
        expect_statuses(server, 400, &bends).await;
    });
}

#[test]
fn a_key_that_is_missing_doubled_or_not_16_bytes_is_400() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 7] = [
            |request| request.without("Sec-WebSocket-Key"),
            |request| request.replacing("Sec-WebSocket-Key", ""),
            |request| request.replacing("Sec-WebSocket-Key", "not base64 at all!"),
            |request| request.replacing("Sec-WebSocket-Key", "c2hvcnQ="),
            |request| request.replacing("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZSE="),
            |request| request.with("Sec-WebSocket-Key", SAMPLE_KEY),
            |request| request.with("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
        ];
        expect_statuses(server, 400, &bends).await;
    });
}

#[test]
fn another_method_is_405_and_get_is_allowed() {
    echo_test(async |server| {
        for method in ["POST", "PUT", "OPTIONS", "CONNECT", "BREW"] {
            let (head, _) = refuse(server, |request| request.method(method)).await;
            assert_eq!((head.status(), head.header("Allow")), (405, Some("GET")), "{method}");
        }
        server.expect_alive().await;
    });
}

#[test]
fn what_is_no_upgrade_to_version_13_is_426_with_the_version() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 7] = [
            |request| request.without("Upgrade"),
            |request| request.replacing("Upgrade", "h2c"),
            |request| request.without("Connection"),
            |request| request.replacing("Connection", "keep-alive"),
            |request| request.without("Sec-WebSocket-Version"),
            |request| request.replacing("Sec-WebSocket-Version", "12"),
            |request| request.with("Sec-WebSocket-Version", "8"),
        ];
        for bend in bends {
            let (head, _) = refuse(server, bend).await;
            assert_eq!((head.status(), head.header("Sec-WebSocket-Version")), (426, Some("13")), "{head:?}");
            assert_eq!(head.header("Upgrade"), Some("websocket"));
        }
        server.expect_alive().await;
    });
}

#[test]
fn another_major_version_of_http_is_505() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 3] = [
            |request| request.version("HTTP/0.9"),
            |request| request.version("HTTP/2.0"),
            |request| request.version("HTTP/3.0"),
        ];
        expect_statuses(server, 505, &bends).await;
    });
}

#[test]
fn without_a_hook_http_1_0_is_426() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 3] = [
            |request| request.version("HTTP/1.0"),
            |request| request.version("HTTP/1.0").without("Host"),
            |request| request.version("HTTP/1.0").without("Upgrade").method("OPTIONS"),
        ];
        expect_statuses(server, 426, &bends).await;
    });
}

#[test]
fn a_head_over_8_kib_or_100_lines_is_431() {
    echo_test(async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 3] = [
            |request| request.with("X", &"x".repeat(8 * 1024)),
            |request| request.with("Cookie", &"x".repeat(100 * 1024)),
            |request| (0..96).fold(request, |request, number| request.with(&format!("X-{number}"), "")),
        ];
        expect_statuses(server, 431, &bends).await;
    });
}

#[test]
fn a_head_at_the_limits_is_accepted() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let lines =
            (0..95).fold(client.request("/"), |request, number| request.with(&format!("X-{number}"), ""));
        client.upgrade_with(lines.to_bytes()).await.assert_switching_protocols(SAMPLE_KEY);

        let mut client = server.connect().await;
        let rest = 8 * 1024 - client.request("/").with("X", "").to_bytes().len();
        let request = client.request("/").with("X", &"x".repeat(rest)).to_bytes();
        assert_eq!(request.len(), 8 * 1024);
        client.upgrade_with(request).await.assert_switching_protocols(SAMPLE_KEY);
    });
}

#[test]
fn the_limits_of_a_head_can_be_set() {
    let configure = |builder: ws_server::ServerBuilder| {
        builder.protocol(|config| {
            config.limits.max_head_size = 300;
            config.limits.max_header_lines = 6;
        })
    };
    echo_test_with(configure, async |server| {
        let bends: [fn(RequestHead) -> RequestHead; 2] =
            [|request| request.with("X", &"x".repeat(200)), |request| request.with("A", "").with("B", "")];
        expect_statuses(server, 431, &bends).await;
    });
}

#[test]
fn a_page_of_another_host_is_403_by_default() {
    echo_test(async |server| {
        let own = format!("http://{}", server.addr());
        for origin in ["http://evil.example", "null", "https://127.0.0.1"] {
            let (head, body) = refuse(server, |request| request.with("Origin", origin)).await;
            assert_eq!((head.status(), body.as_str()), (403, "origin not allowed\n"), "{origin}");
        }
        let mut client = server.connect().await;
        let request = client.request("/").with("Origin", &own).to_bytes();
        client.upgrade_with(request).await.assert_switching_protocols(SAMPLE_KEY);
        close_normally(client).await;
    });
}

#[test]
fn the_origins_that_are_allowed_can_be_set() {
    let list = || OriginPolicy::List(vec!["https://app.example".into()]);
    echo_test_with(
        |builder| builder.origin(list()),
        async |server| {
            let mut client = server.connect().await;
            let request = client.request("/").with("Origin", "https://app.example").to_bytes();
            client.upgrade_with(request).await.assert_switching_protocols(SAMPLE_KEY);
            let (head, _) = refuse(server, |request| request.with("Origin", "https://other.example")).await;
            assert_eq!(head.status(), 403);
        },
    );
}

#[test]
fn a_handlers_rejection_is_sent_as_it_is() {
    harness::run(async {
        let script = Script::new().accept(|request| match request.path() {
            "/login" => Err(Rejection::new(StatusCode::UNAUTHORIZED)
                .with_header(HeaderName::from_static("www-authenticate"), HeaderValue::from_static("Basic"))
                .with_text("who are you?")),
            "/default" => Err(Rejection::default()),
            "/status" => Err(StatusCode::TOO_MANY_REQUESTS.into()),
            _ => Ok(()),
        });
        let server = script.start(Server::builder()).await;
        let to = |path: &'static str| {
            move |mut request: RequestHead| {
                request.target = path.into();
                request
            }
        };
        let (head, body) = refuse(&server, to("/login")).await;
        assert_eq!((head.status(), body.as_str()), (401, "who are you?"));
        assert_eq!(head.header("WWW-Authenticate"), Some("Basic"));
        let (head, body) = refuse(&server, to("/default")).await;
        assert_eq!((head.status(), body.as_str()), (403, ""));
        let (head, _) = refuse(&server, to("/status")).await;
        assert_eq!(head.status(), 429);
        // Requests that are not rejected are accepted.
        server.expect_alive().await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}
