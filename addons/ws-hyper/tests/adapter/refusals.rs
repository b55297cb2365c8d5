//! Requests that do not become WebSockets: the exact statuses and headers.

use e2e_tests::{
    harness,
    raw_peer::{Head, RawClient, RequestHead, SAMPLE_KEY},
};
use http::StatusCode;
use ws_hyper::{
    OriginPolicy, Rejection, Upgrader,
    error::{AnswerError, BeginErrorKind},
};

use crate::support::{ALL, HyperServer, Serve, text};

/// Sends a request that is refused. The connection closes after the response.
async fn refused(server: &HyperServer, change: impl FnOnce(RequestHead) -> RequestHead) -> Head {
    let mut client = RawClient::connect(server.addr).await;
    let request = change(client.request("/"));
    let head = client.upgrade_with(request.to_bytes()).await;
    assert_eq!(head.header("Sec-WebSocket-Accept"), None);
    let connection = head.header("Connection").unwrap_or_default();
    assert!(connection.starts_with("close"), "{connection}");
    client.recv_body(&head).await;
    client.expect_eof().await;
    head
}

#[test]
fn each_invalid_request_gets_the_status_of_rfc_6455() {
    type Change = fn(RequestHead) -> RequestHead;
    let cases: [(u16, Change); 12] = [
        (405, |request| request.method("POST")),
        (405, |request| request.method("PUT")),
        (426, |request| request.without("Upgrade")),
        (426, |request| request.replacing("Upgrade", "h2c")),
        (426, |request| request.replacing("Connection", "keep-alive")),
        (426, |request| request.replacing("Connection", "upgradefoo")),
        (426, |request| request.replacing("Sec-WebSocket-Version", "8")),
        (426, |request| request.without("Sec-WebSocket-Version")),
        (400, |request| request.without("Sec-WebSocket-Key")),
        (400, |request| request.with("Sec-WebSocket-Key", SAMPLE_KEY)),
        (400, |request| request.replacing("Sec-WebSocket-Key", "c2hvcnQ=")),
        (400, |request| request.with("Sec-WebSocket-Protocol", "a b")),
    ];
    harness::run(async move {
        for serve in ALL {
            let server = HyperServer::echo(serve, Upgrader::default()).await;
            for (status, change) in cases {
                let head = refused(&server, change).await;
                assert_eq!(head.status(), status);
                let is_426 = status == 426;
                assert_eq!(head.header("Sec-WebSocket-Version"), is_426.then_some("13"));
                assert_eq!(head.header("Upgrade"), is_426.then_some("websocket"));
                assert_eq!(head.header("Allow"), (status == 405).then_some("GET"));
            }
        }
    });
}

#[test]
fn a_request_of_http_1_0_gets_426() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Http1, Upgrader::default()).await;
        let head = refused(&server, |request| request.version("HTTP/1.0")).await;
        assert_eq!(head.start_line, "HTTP/1.0 426 Upgrade Required");
    });
}

#[test]
fn websocket_may_be_one_of_several_upgrades() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Http1, Upgrader::default()).await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/").replacing("Upgrade", "foo, WebSocket");
        let head = client.upgrade_with(request.to_bytes()).await;
        head.assert_switching_protocols(SAMPLE_KEY);
    });
}

#[test]
fn a_foreign_page_gets_403_and_one_of_the_same_host_connects() {
    harness::run(async {
        let list = OriginPolicy::List(vec!["https://app.example".to_owned()]);
        for (upgrader, foreign) in [
            (Upgrader::default(), "https://app.example"),
            (Upgrader::default().origin(list), "https://evil.example"),
            (Upgrader::default().over_tls(true), "http://127.0.0.1"),
        ] {
            let server = HyperServer::echo(Serve::Auto, upgrader).await;
            let head = refused(&server, |request| request.with("Origin", foreign)).await;
            assert_eq!(head.status(), 403);
            let mut client = RawClient::connect(server.addr).await;
            let own = format!("https://{}", server.addr);
            let request = client.request("/").with("Origin", &own);
            assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 101);
        }
    });
}

#[test]
fn an_origin_policy_that_panics_refuses_the_request_with_500() {
    let options = harness::Options { allow_panics: true, ..harness::Options::default() };
    harness::run_with(options, async {
        let policy = OriginPolicy::Custom(std::sync::Arc::new(|_| panic!("as the test wants")));
        let server = HyperServer::echo(Serve::Http1, Upgrader::default().origin(policy)).await;
        assert_eq!(refused(&server, |request| request.with("Origin", "https://a")).await.status(), 500);
    });
}

#[test]
fn the_upgrade_of_a_request_is_taken_once() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            drop(upgrader.begin(&mut request).unwrap());
            let error = upgrader.begin(&mut request).unwrap_err();
            assert_eq!(error.kind(), BeginErrorKind::NotUpgradable);
            assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
            async { error.into_response() }
        })
        .await;
        assert_eq!(refused(&server, |request| request).await.status(), 500);
    });
}

#[test]
fn an_answer_that_breaks_the_handshake_becomes_500() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let path = request.uri().path().to_owned();
            let mut upgrade = upgrader.begin(&mut request).unwrap();
            if path == "/protocol" {
                upgrade.select_protocol("unknown");
            } else {
                upgrade = upgrade.configure(|config| config.close_timeout = std::time::Duration::ZERO);
            }
            let error = upgrade.on_upgrade::<(), _, _>(|_| async {}).unwrap_err();
            assert_eq!(matches!(error, AnswerError::Config(_)), path == "/config", "{error:?}");
            async { error.into_response() }
        })
        .await;
        for path in ["/protocol", "/config"] {
            let mut client = RawClient::connect(server.addr).await;
            let request = client.request(path);
            assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 500);
        }
    });
}

#[test]
fn an_application_refuses_with_any_response() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let is_login = request.uri().path() == "/login";
            let upgrade = upgrader.begin(&mut request).unwrap();
            let rejection = Rejection::new(StatusCode::UNAUTHORIZED).with_text("log in");
            let answer = if is_login { text("a page") } else { upgrade.reject(rejection) };
            async { answer }
        })
        .await;
        assert_eq!(refused(&server, |request| request).await.status(), 401);
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/login");
        let head = client.upgrade_with(request.to_bytes()).await;
        assert_eq!((head.status(), client.recv_body(&head).await), (200, b"a page".to_vec()));
    });
}
