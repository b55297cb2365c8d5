//! The server decides about a connection before its request is answered.

use super::{Front, expect_echo, for_each_api, status};
use e2e_tests::harness::{self, Options};
use e2e_tests::raw_peer::RequestHead;
use e2e_tests::server::{Script, close_normally, echo_test, start_echo};
use http::{HeaderValue, Method, StatusCode, Uri, Version, header};
use ws_server::{DeflateConfig, Rejection, Server, adopt::OpeningRequest, error::ReserveError};

#[test]
fn a_request_that_is_no_handshake_or_of_a_strange_origin_is_refused() {
    type Change = fn(RequestHead) -> RequestHead;
    let cases: [(u16, Change); 5] = [
        (426, |request| request.without("Upgrade")),
        (405, |request| request.method("POST")),
        (400, |request| request.without("Sec-WebSocket-Key")),
        (400, |request| request.with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")),
        (403, |request| request.with("Origin", "https://evil.example")),
    ];
    echo_test(async |server| {
        let front = Front::bind().await;
        for (expected, change) in cases {
            let (_client, arrived) = front.arrive_with(change).await;
            assert_eq!(status(arrived.adopt(server.adopter()).await), expected);
            assert_eq!((server.handle().connections(), server.handle().handshakes()), (0, 0));
        }
    });
}

#[test]
fn over_tls_a_page_of_the_same_host_must_use_tls_too() {
    echo_test(async |server| {
        let front = Front::bind().await;
        for (scheme, is_taken) in [("http", false), ("https", true)] {
            let origin = |head: RequestHead| {
                head.replacing("Host", "a.example").with("Origin", &format!("{scheme}://a.example"))
            };
            let (_client, arrived) = front.arrive_with(origin).await;
            let reserved =
                server.adopter().reserve(OpeningRequest::new(arrived.request).over_tls(true)).await;
            assert_eq!(reserved.is_ok(), is_taken, "{scheme}");
        }
    });
}

#[test]
fn what_the_application_rejects_gets_its_rejection_and_frees_its_place() {
    harness::run(async {
        let reject = || Rejection::new(StatusCode::PAYMENT_REQUIRED).with_text("no credit\n");
        let in_accept = Script::new().accept(move |_| Err(reject()));
        let builders = [
            (in_accept, Server::builder()),
            (Script::new(), Server::builder().on_request(move |_| Err(reject()))),
            (Script::new(), Server::builder().on_request_async(move |_| async move { Err(reject()) })),
        ];
        for (script, builder) in builders {
            let server = script.start(builder).await;
            let (_client, arrived) = Front::bind().await.arrive().await;
            let Err(ReserveError::Rejected(rejection)) = server.adopter().reserve(arrived.request).await
            else {
                panic!("it is rejected")
            };
            assert_eq!(rejection.response().status(), StatusCode::PAYMENT_REQUIRED);
            assert_eq!(rejection.response().body(), "no credit\n");
            server.wait_for_connections(0).await;
            server.wait_for_handshakes(0).await;
            let (_report, events) = server.stop_and_drain().await;
            assert_eq!(events, [], "nothing was accepted");
        }
    });
}

#[test]
fn a_panic_of_the_application_is_answered_with_500_and_the_server_lives() {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, async {
        let in_accept = Script::new().accept(|_| panic!("on purpose"));
        let builders = [
            (in_accept, Server::builder()),
            (Script::new(), Server::builder().on_request(|_| panic!("on purpose"))),
            (Script::new(), Server::builder().on_request_async(|_| async { panic!("on purpose") })),
        ];
        for (script, builder) in builders {
            let server = script.start(builder).await;
            let front = Front::bind().await;
            for _ in 0..2 {
                assert_eq!(status(front.arrive().await.1.adopt(server.adopter()).await), 500);
                server.wait_for_connections(0).await;
            }
            server.stop().await;
        }
    });
}

#[test]
fn a_panic_of_a_callback_closes_an_adopted_connection_with_1011() {
    harness::run_with(Options { allow_panics: true, ..Options::default() }, async {
        let server = Script::new().on_message(|_, _| panic!("on purpose")).start(Server::builder()).await;
        let front = Front::bind().await;
        for _ in 0..2 {
            let mut client = front.open(server.adopter()).await;
            client.send(e2e_tests::raw_peer::RawFrame::text("!")).await;
            client.expect_close(1011).await;
            drop(client);
        }
        server.stop().await;
    });
}

#[test]
fn the_response_has_what_the_hooks_set_and_what_they_may_not_set_is_500() {
    for_each_api(async |api| {
        let builder = Server::builder().on_request(|request| {
            let name = if request.path() == "/chat" { header::SET_COOKIE } else { header::UPGRADE };
            request.add_response_header(name, HeaderValue::from_static("a=b"));
            Ok(())
        });
        let server = start_echo(api, builder).await;
        let front = Front::bind().await;
        let (mut client, arrived) = front.arrive().await;
        arrived.adopt(server.adopter()).await.unwrap();
        assert_eq!(client.recv_head().await.header("Set-Cookie"), Some("a=b"));
        expect_echo(&mut client, "hello").await;
        close_normally(client).await;
        let (_client, mut arrived) = front.arrive().await;
        *arrived.request.uri_mut() = Uri::from_static("/other");
        assert_eq!(status(arrived.adopt(server.adopter()).await), 500);
        server.stop().await;
    });
}

#[test]
fn compression_is_negotiated_with_the_servers_settings() {
    for_each_api(async |api| {
        for (builder, is_answered) in
            [(Server::builder(), false), (Server::builder().deflate(DeflateConfig::server()), true)]
        {
            let server = start_echo(api, builder).await;
            let offer = |head: RequestHead| head.with("Sec-WebSocket-Extensions", "permessage-deflate");
            let (mut client, arrived) = Front::bind().await.arrive_with(offer).await;
            arrived.adopt(server.adopter()).await.unwrap();
            let head = client.recv_head().await;
            let answer = head.header("Sec-WebSocket-Extensions").unwrap_or_default();
            assert_eq!(answer.starts_with("permessage-deflate"), is_answered, "{answer}");
            client.reader.allow_compression();
            client.send(e2e_tests::raw_peer::RawFrame::text("x".repeat(1000))).await;
            let reply = client.recv_frame().await;
            assert_eq!(reply.payload.len() < 100, is_answered, "{} bytes", reply.payload.len());
            close_normally(client).await;
            server.stop().await;
        }
    });
}

/// The answer to an extended CONNECT is 200, and its stream is any transport (RFC 8441 section 5).
#[test]
fn an_extended_connect_of_http2_is_adopted() {
    echo_test(async |server| {
        let request = || {
            let request = http::Request::builder()
                .method(Method::CONNECT)
                .uri("https://a.example/chat")
                .version(Version::HTTP_2)
                .header("Sec-WebSocket-Version", "13")
                .header("Origin", "https://a.example");
            request.body(()).unwrap()
        };
        let opening = OpeningRequest::new(request()).protocol("websocket").over_tls(true);
        let reservation = server.adopter().reserve(opening).await.unwrap();
        assert_eq!(reservation.response().status(), StatusCode::OK);
        assert!(!reservation.response().headers().contains_key("upgrade"));
        let refused = server.adopter().reserve(OpeningRequest::new(request()).over_tls(true)).await;
        assert_eq!(status(refused), 501);
    });
}
