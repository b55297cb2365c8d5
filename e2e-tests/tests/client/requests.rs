//! The client's request (RFC 6455 section 4.1).

use std::collections::HashSet;

use e2e_tests::raw_peer::{Head, RawAcceptor};
use http::{HeaderName, HeaderValue, header};
use ws_client::{
    Connector, Message, ProxyUrl, connect,
    error::{ClientRequestError, ConnectError, SendError},
};

use crate::support::{answered_with, run};

/// A port without a listener. A client that connects there gets another error.
const NO_LISTENER: &str = "ws://127.0.0.1:1/";

/// The request that `connector` sends for `target`.
async fn request(connector: &Connector, target: &str) -> Head {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url(target);
    let server = async { acceptor.accept().await.upgrade().await };
    let (ws, request) = tokio::join!(connector.connect(&url), server);
    drop(ws.expect("a valid upgrade"));
    assert_eq!(request.header("Host"), Some(&*acceptor.addr().to_string()));
    request
}

#[test]
fn the_request_is_what_the_protocol_demands_and_nothing_more() {
    run(async {
        let head = request(&Connector::new(), "/chat?room=1").await;
        assert_eq!(head.start_line, "GET /chat?room=1 HTTP/1.1");
        assert_eq!(head.header("Upgrade"), Some("websocket"));
        assert_eq!(head.header("Connection"), Some("Upgrade"));
        assert_eq!(head.header("Sec-WebSocket-Version"), Some("13"));
        let names: Vec<&str> = head.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]);
    });
}

#[test]
fn the_path_is_a_slash_if_there_is_none() {
    run(async {
        assert_eq!(request(&Connector::new(), "").await.target(), "/");
        assert_eq!(request(&Connector::new(), "?a=b").await.target(), "/?a=b");
        assert_eq!(request(&Connector::new(), "/a%20b#fragment").await.target(), "/a%20b");
    });
}

#[test]
fn what_a_browser_encodes_is_encoded() {
    run(async {
        for (written, sent) in [
            ("/\u{fc} \"<>`{}^?\u{fc} \"<>'", "/%C3%BC%20%22%3C%3E%60%7B%7D%5E?%C3%BC%20%22%3C%3E%27"),
            ("/%C3%BC%zz%?%C3%BC%", "/%C3%BC%zz%?%C3%BC%"),
            ("/a/../b/%2e/c\\d", "/b/c/d"),
            ("/a|b[c]?`{}|\\^", "/a|b[c]?`{}|\\^"),
        ] {
            assert_eq!(request(&Connector::new(), written).await.target(), sent, "{written}");
        }
    });
}

#[test]
fn every_key_is_fresh_and_has_16_bytes() {
    run(async {
        let mut keys = HashSet::new();
        for _ in 0..10 {
            let head = request(&Connector::new(), "/").await;
            let key = head.header("Sec-WebSocket-Key").unwrap().to_owned();
            assert!(key.len() == 24 && key.ends_with("=="), "{key}");
            assert!(keys.insert(key), "a key was used twice");
        }
    });
}

#[test]
fn headers_of_the_callers_are_sent_as_often_as_they_were_given() {
    run(async {
        let connector = Connector::new()
            .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer token"))
            .header(header::COOKIE, HeaderValue::from_static("a=1"))
            .header(header::COOKIE, HeaderValue::from_static("b=2"))
            .header(header::ORIGIN, HeaderValue::from_static("https://example.com"));
        let head = request(&connector, "/").await;
        assert_eq!(head.header("Authorization"), Some("Bearer token"));
        assert_eq!(head.all("Cookie"), ["a=1", "b=2"]);
        assert_eq!(head.header("Origin"), Some("https://example.com"));
    });
}

#[test]
fn headers_of_the_handshake_cannot_be_replaced() {
    run(async {
        for name in [
            header::HOST,
            header::UPGRADE,
            header::CONNECTION,
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_EXTENSIONS,
            header::SEC_WEBSOCKET_PROTOCOL,
            header::SEC_WEBSOCKET_ACCEPT,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ] {
            let connector = Connector::new().header(name.clone(), HeaderValue::from_static("1"));
            let error = connector.connect(NO_LISTENER).await.unwrap_err();
            assert!(!error.is_temporary(), "{name}: {error}");
            let ConnectError::Request(ClientRequestError::ReservedHeader(named)) = error else {
                panic!("{name}: {error}")
            };
            assert_eq!(named, name.as_str());
        }
    });
}

#[test]
fn no_header_can_begin_a_line_of_its_own() {
    assert!(HeaderValue::from_str("a\r\nX-Injected: 1").is_err());
    assert!(HeaderName::from_bytes(b"A: b\r\nC").is_err());
    run(async {
        for url in ["ws://127.0.0.1:1/\r\nX-Injected: 1", "ws://127.0.0.1:1/a\tb", "ws://127.0.0.1\r\n:1/"] {
            assert!(matches!(connect(url).await, Err(ConnectError::Url(_))), "{url:?}");
        }
    });
}

#[test]
fn subprotocols_are_offered_in_order_and_the_choice_is_reported() {
    run(async {
        let connector = Connector::new().subprotocol("v2.chat").subprotocol("chat");
        let head = request(&connector, "/").await;
        assert_eq!(head.header("Sec-WebSocket-Protocol"), Some("v2.chat, chat"));

        for (extra, chosen) in [
            (vec!["Sec-WebSocket-Protocol: chat"], Some("chat")),
            (vec!["sec-websocket-protocol:v2.chat"], Some("v2.chat")),
            (vec![], None),
        ] {
            let acceptor = RawAcceptor::bind();
            let url = acceptor.url("/");
            let server = async { acceptor.accept().await.upgrade_with(&extra).await };
            let (ws, _) = tokio::join!(connector.connect(&url), server);
            assert_eq!(ws.unwrap().subprotocol(), chosen);
        }
    });
}

#[test]
fn a_subprotocol_that_is_no_token_is_refused_without_a_connection() {
    run(async {
        for names in [&["a b"][..], &[""], &["a,b"], &["a\r\nX: y"], &["twice", "twice"]] {
            let connector =
                names.iter().fold(Connector::new(), |connector, name| connector.subprotocol(*name));
            let error = connector.connect(NO_LISTENER).await.unwrap_err();
            assert!(matches!(error, ConnectError::Request(_)), "{names:?}: {error}");
        }
    });
}

#[test]
fn what_is_printed_for_debugging_has_no_secrets_in_it() {
    run(async {
        let connector = Connector::new()
            .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"))
            .header(HeaderName::from_static("x-api-key"), HeaderValue::from_static("secret"))
            .subprotocol("token.secret")
            .mask_seed([77; 32])
            .proxy(ws_client::Proxy::Through(ProxyUrl::parse("http://me:secret@proxy").unwrap()));
        let shown = format!("{connector:?}");
        assert!(shown.contains("x-api-key"), "names are shown: {shown}");
        let mut all = vec![shown];

        let response = format!("{}Set-Cookie: id=secret\r\n\r\n", crate::support::SWITCHING);
        all.push(format!("{:?}", answered_with(&Connector::new(), &response).await.unwrap()));
        let response = "HTTP/1.1 403 No\r\nSet-Cookie: id=secret\r\n\r\nthe secret";
        all.push(format!("{:?}", answered_with(&Connector::new(), response).await.unwrap_err()));
        assert!(all[1].contains("set-cookie") && all[2].contains("403"), "{all:?}");

        for message in [Message::text("secret"), Message::binary(&b"secret"[..])] {
            all.push(format!("{message:?} {:?}", SendError::Full(message.clone())));
        }
        for shown in all {
            assert!(
                !shown.contains("secret") && !shown.contains("77, 77") && !shown.contains("115, 101"),
                "{shown}"
            );
        }
    });
}

#[test]
fn the_responses_head_can_be_looked_at() {
    run(async {
        let response = format!("{}X-Session: 7\r\n\r\n", crate::support::SWITCHING);
        let connected = answered_with(&Connector::new(), &response).await.unwrap();
        assert_eq!(connected.response.status(), 101);
        assert_eq!(connected.response.headers()["X-Session"], "7");
    });
}
