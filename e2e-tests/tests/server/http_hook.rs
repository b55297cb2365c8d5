//! Plain HTTP on the WebSocket port.

use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::{Head, RawClient, RequestHead};
use e2e_tests::server::{ServerRunner, close_normally, echo_test, echo_test_with};
use http::Response;
use std::time::Duration;
use ws_server::{Rejection, Request, Server, ServerBuilder};

const PAGE: &str = "<!doctype html><p>hello";
/// More than the kernel takes in one write.
const LARGE: usize = 16 * 1024 * 1024;

fn page(request: &Request) -> Response<Bytes> {
    match request.path() {
        "/" => Response::builder().header("Content-Type", "text/html").body(Bytes::from(PAGE)).unwrap(),
        "/method" => Response::new(Bytes::from(request.method().to_string())),
        "/peer" => Response::new(Bytes::from(request.peer_addr().unwrap().to_string())),
        "/panic" => panic!("on purpose"),
        "/large" => Response::new(Bytes::from(vec![b'x'; LARGE])),
        "/empty" => Response::builder().status(204).body(Bytes::from("no body")).unwrap(),
        "/cached" => Response::builder().status(304).body(Bytes::from("no body")).unwrap(),
        _ => Response::builder().status(404).body(Bytes::from("nothing here")).unwrap(),
    }
}

fn with_page(builder: ServerBuilder) -> ServerBuilder {
    builder.http(page)
}

fn plain(method: &str, target: &str) -> RequestHead {
    RequestHead::new("localhost", target)
        .method(method)
        .without("Upgrade")
        .without("Connection")
        .without("Sec-WebSocket-Key")
        .without("Sec-WebSocket-Version")
}

async fn ask(server: &ServerRunner, request: RequestHead) -> (Head, RawClient) {
    let mut client = server.connect().await;
    let head = client.upgrade_with(request.to_bytes()).await;
    (head, client)
}

async fn expect(server: &ServerRunner, request: RequestHead, status: u16, body: &str) -> Head {
    let (head, mut client) = ask(server, request).await;
    assert_eq!(head.status(), status, "{head:?}");
    assert_eq!(head.header("Connection"), Some("close"));
    assert_eq!(client.recv_body(&head).await, body.as_bytes());
    client.expect_eof().await;
    head
}

#[test]
fn a_get_is_answered_by_the_hook_and_an_upgrade_still_works() {
    echo_test_with(with_page, async |server| {
        let head = expect(server, plain("GET", "/"), 200, PAGE).await;
        assert_eq!(head.header("Content-Type"), Some("text/html"));
        server.expect_alive().await;
    });
}

#[test]
fn a_head_gets_the_same_head_without_the_body() {
    echo_test_with(with_page, async |server| {
        let (head, mut client) = ask(server, plain("HEAD", "/")).await;
        assert_eq!((head.status(), head.header("Content-Type")), (200, Some("text/html")));
        assert_eq!(head.header("Content-Length"), Some(PAGE.len().to_string().as_str()));
        client.expect_eof().await;
    });
}

#[test]
fn the_hooks_status_is_sent() {
    echo_test_with(with_page, async |server| {
        expect(server, plain("GET", "/missing"), 404, "nothing here").await;
    });
}

#[test]
fn the_hook_sees_the_whole_request() {
    echo_test_with(with_page, async |server| {
        expect(server, plain("POST", "/method"), 200, "POST").await;
        // Not the method of an upgrade, but all its headers.
        expect(server, RequestHead::new("localhost", "/method").method("PUT"), 200, "PUT").await;
        let mut client = server.connect().await;
        let head = client.upgrade_with(plain("GET", "/peer").to_bytes()).await;
        assert_eq!(client.recv_body(&head).await, client.local_addr().to_string().into_bytes());
    });
}

#[test]
fn an_unread_body_does_not_destroy_the_answer() {
    echo_test_with(with_page, async |server| {
        // More than the kernel buffers, so the client can send it only if the server reads.
        const BODY: usize = 8 * 1024 * 1024;
        let request = plain("POST", "/method").with("Content-Length", &BODY.to_string());
        let mut client = server.connect().await;
        client.send_bytes([request.to_bytes(), vec![b'x'; BODY]].concat()).await;
        let head = client.recv_head().await;
        assert_eq!((head.status(), client.recv_body(&head).await), (200, b"POST".to_vec()));
        client.expect_eof().await;
    });
}

#[test]
fn a_broken_upgrade_is_not_the_hooks_business() {
    echo_test_with(with_page, async |server| {
        let bends = [
            (400, RequestHead::new("localhost", "/").without("Sec-WebSocket-Key")),
            (426, RequestHead::new("localhost", "/").replacing("Sec-WebSocket-Version", "12")),
            (505, plain("GET", "/").version("HTTP/2.0")),
            (400, plain("POST", "/").with("Host", "other")),
        ];
        for (status, request) in bends {
            assert_eq!(ask(server, request).await.0.status(), status);
        }
    });
}

#[test]
fn without_a_hook_a_get_is_426_and_a_head_405() {
    echo_test(async |server| {
        assert_eq!(ask(server, plain("GET", "/")).await.0.status(), 426);
        let (head, mut client) = ask(server, plain("HEAD", "/")).await;
        assert_eq!(head.status(), 405);
        // RFC 9110 section 9.3.2: a response to HEAD has no body, whatever its status.
        client.expect_eof().await;
    });
}

#[test]
fn a_hook_that_panics_is_500_and_the_server_lives() {
    let options = harness::Options { allow_panics: true, ..harness::Options::default() };
    harness::run_with(options, async {
        let server = ServerRunner::serve(
            with_page(Server::builder()),
            async |mut ws| {
                while ws.recv().await.is_some() {}
            },
        )
        .await;
        expect(&server, plain("GET", "/panic"), 500, "").await;
        close_normally(server.open().await).await;
        server.stop().await;
    });
}

/// Sends a request as text and checks the response, after which the connection ends.
async fn expect_answer(server: &ServerRunner, request: &str, status: u16, body: &str) {
    let mut client = server.connect().await;
    let head = client.upgrade_with(request).await;
    assert_eq!((head.status(), head.header("Connection")), (status, Some("close")), "{request:?}");
    assert_eq!(client.recv_body(&head).await, body.as_bytes(), "{request:?}");
    client.expect_eof().await;
}

#[test]
fn a_health_check_over_http_1_0_is_answered_by_the_hook() {
    echo_test_with(with_page, async |server| {
        // The first is sent by HAProxy's `option httpchk`, the rest by other health checks.
        for request in [
            "OPTIONS / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
            "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ] {
            expect_answer(server, request, 200, PAGE).await;
        }
        server.expect_alive().await;
    });
}

#[test]
fn an_upgrade_over_http_1_0_is_a_plain_request() {
    echo_test_with(with_page, async |server| {
        // RFC 9110 section 7.8: the Upgrade header is ignored in HTTP/1.0.
        expect(server, RequestHead::new("localhost", "/").version("HTTP/1.0"), 200, PAGE).await;
    });
}

#[test]
fn an_answer_without_content_has_no_length_and_no_body() {
    echo_test_with(with_page, async |server| {
        for (target, status) in [("/empty", 204), ("/cached", 304)] {
            for method in ["GET", "HEAD"] {
                let (head, mut client) = ask(server, plain(method, target)).await;
                assert_eq!((head.status(), head.header("Content-Length")), (status, None), "{method}");
                assert_eq!(head.header("Connection"), Some("close"));
                client.expect_eof().await;
            }
        }
    });
}

#[test]
fn a_page_or_a_rejection_reaches_a_reader_that_takes_longer_than_the_linger() {
    let refuse_all = |builder: ServerBuilder| {
        let refusal = Rejection::default().with_body(vec![b'x'; LARGE]);
        with_page(builder).on_request(move |_| Err(refusal.clone()))
    };
    echo_test_with(refuse_all, async |server| {
        for request in [plain("GET", "/large"), RequestHead::new("localhost", "/")] {
            let mut client = RawClient::connect_with_receive_buffer(server.addr(), 4096).await;
            let head = client.upgrade_with(request.to_bytes()).await;
            // This test is about time: a peer has one second to close after the response is written.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert_eq!(client.recv_body(&head).await.len(), LARGE, "{head:?}");
            client.expect_eof().await;
        }
    });
}

#[test]
fn a_peer_that_sends_all_of_its_body_before_it_reads_gets_the_whole_page() {
    echo_test_with(with_page, async |server| {
        let request = plain("POST", "/large").with("Content-Length", &LARGE.to_string());
        let mut client = RawClient::connect_with_receive_buffer(server.addr(), 4096).await;
        client.send_bytes([request.to_bytes(), vec![b'y'; LARGE]].concat()).await;
        let head = client.recv_head().await;
        assert_eq!(client.recv_body(&head).await.len(), LARGE);
        client.expect_eof().await;
    });
}
