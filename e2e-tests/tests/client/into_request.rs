//! What can be connected to: URLs of several types, and requests with headers.

use e2e_tests::raw_peer::{Head, RawAcceptor};
use http::{HeaderValue, Request, Uri, header};
use ws_client::{
    Connector, IntoClientRequest, Reconnecting,
    error::{ClientRequestError, ConnectError, HeaderError, UrlError},
    reconnecting::{self, Event},
};

use crate::support::{run, soon};

/// A port without a listener.
const NO_LISTENER: &str = "ws://127.0.0.1:1/";

/// The request that arrives for what `made` makes of the server's URL.
async fn sent<R: IntoClientRequest>(connector: &Connector, made: impl FnOnce(&str) -> R) -> Head {
    let acceptor = RawAcceptor::bind();
    let request = made(&acceptor.url("/chat?room=1"));
    let server = async { acceptor.accept().await.upgrade().await };
    let (ws, head) = tokio::join!(connector.connect(request), server);
    drop(ws.unwrap());
    head
}

fn get(url: &str) -> http::request::Builder {
    Request::get(url)
}

async fn refused(request: Request<()>) -> ConnectError {
    soon(Connector::new().connect(request)).await.unwrap_err()
}

#[test]
fn a_url_of_each_type_leads_to_the_same_request() {
    run(async {
        let connector = Connector::new();
        let uri = |url: &str| url.parse::<Uri>().unwrap();
        let heads = [
            sent(&connector, |url| url.to_owned()).await,
            sent(&connector, uri).await,
            sent(&connector, |url| get(url).body(()).unwrap()).await,
        ];
        for head in heads {
            assert_eq!(head.target(), "/chat?room=1");
            assert_eq!((head.all("Host").len(), head.headers.len()), (1, 5));
        }
        let acceptor = RawAcceptor::bind();
        let (text, uri) = (acceptor.url("/"), uri(&acceptor.url("/")));
        let connecting = async {
            connector.connect(text.as_str()).await.unwrap();
            connector.connect(&text).await.unwrap();
            connector.connect(&uri).await.unwrap();
        };
        let serving = async {
            for _ in 0..3 {
                assert_eq!(acceptor.accept().await.upgrade().await.target(), "/");
            }
        };
        tokio::join!(connecting, serving);
    });
}

#[test]
fn headers_of_a_request_are_sent_in_place_of_the_connectors() {
    run(async {
        let connector =
            Connector::new().header("authorization", "Bearer of the connector").header("x-kept", "1");
        let head = sent(&connector, |url| {
            let request = get(url).header("Authorization", "Bearer mine").header("Cookie", "a=1");
            request.header("Cookie", "b=2").body(()).unwrap()
        })
        .await;
        assert_eq!(head.all("Authorization"), ["Bearer mine"]);
        assert_eq!(head.all("Cookie"), ["a=1", "b=2"]);
        assert_eq!(head.header("X-Kept"), Some("1"));
    });
}

#[test]
fn subprotocols_of_a_request_are_offered_and_the_choice_is_reported() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let request = get(&acceptor.url("/"))
            .header(header::SEC_WEBSOCKET_PROTOCOL, "v2.chat,  chat")
            .header(header::SEC_WEBSOCKET_PROTOCOL, "third");
        let server = async { acceptor.accept().await.upgrade_with(&["Sec-WebSocket-Protocol: chat"]).await };
        let connector = Connector::new().subprotocol("of.the.connector");
        let (ws, head) = tokio::join!(connector.connect(request.body(()).unwrap()), server);
        assert_eq!(head.all("Sec-WebSocket-Protocol"), ["v2.chat, chat, third"]);
        assert_eq!(ws.unwrap().subprotocol(), Some("chat"));
    });
}

#[test]
fn headers_that_the_handshake_sets_are_replaced_silently() {
    run(async {
        let head = sent(&Connector::new(), |url| {
            get(url)
                .header("Upgrade", "h2c")
                .header("Connection", "keep-alive")
                .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
                .header("Sec-WebSocket-Version", "8")
                .header("Sec-WebSocket-Extensions", "permessage-deflate")
                .body(())
                .unwrap()
        })
        .await;
        assert_eq!(head.all("Upgrade"), ["websocket"]);
        assert_eq!(head.all("Connection"), ["Upgrade"]);
        assert_eq!(head.all("Sec-WebSocket-Version"), ["13"]);
        assert_eq!(head.header("Sec-WebSocket-Extensions"), None);
        assert_ne!(head.all("Sec-WebSocket-Key"), ["AAAAAAAAAAAAAAAAAAAAAA=="]);
    });
}

#[test]
fn the_host_of_a_request_is_sent_in_place_of_the_urls() {
    run(async {
        let head =
            sent(&Connector::new(), |url| get(url).header("Host", "virtual.example").body(()).unwrap()).await;
        assert_eq!(head.all("Host"), ["virtual.example"]);
    });
}

#[test]
fn the_host_and_the_headers_of_a_request_stay_at_its_origin() {
    run(async {
        let (first, second) = (RawAcceptor::bind(), RawAcceptor::bind());
        let url = second.url("/there");
        let redirect = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {url}\r\n\r\n");
        let request = get(&first.url("/")).header("Host", "virtual.example").header("X-Key", "secret");
        let server = async {
            let mut server = first.accept().await;
            server.answer(&redirect).await;
            second.accept().await.upgrade().await
        };
        let connector = Connector::new().redirects(1);
        let (ws, head) = tokio::join!(connector.connect(request.body(()).unwrap()), server);
        ws.unwrap();
        assert_eq!(head.header("Host"), Some(&*second.addr().to_string()));
        assert_eq!(head.header("X-Key"), None);
    });
}

#[test]
fn credentials_in_a_uri_become_basic_authentication() {
    run(async {
        let with_credentials = |url: &str| url.replace("ws://", "ws://Aladdin:open%20sesame@");
        let head = sent(&Connector::new(), |url| with_credentials(url).parse::<Uri>().unwrap()).await;
        assert_eq!(head.header("Authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        let head = sent(&Connector::new(), |url| {
            get(&with_credentials(url)).header("Authorization", "Bearer mine").body(()).unwrap()
        })
        .await;
        assert_eq!(head.all("Authorization"), ["Bearer mine"]);
    });
}

#[test]
fn a_request_that_cannot_be_sent_is_an_error_without_a_connection() {
    run(async {
        let error = refused(Request::post(NO_LISTENER).body(()).unwrap()).await;
        assert!(matches!(&error, ConnectError::Method(method) if method == "POST"), "{error:?}");
        let error = refused(Request::get("/path").body(()).unwrap()).await;
        assert!(matches!(error, ConnectError::Url(UrlError::Scheme(_))), "{error:?}");
        let error = refused(get(NO_LISTENER).header("Content-Length", "0").body(()).unwrap()).await;
        let named = ClientRequestError::ReservedHeader("content-length".to_owned());
        assert!(matches!(&error, ConnectError::Request(error) if *error == named), "{error:?}");
        let error = refused(get(NO_LISTENER).header("Host", "a/b").body(()).unwrap()).await;
        assert!(matches!(error, ConnectError::Request(ClientRequestError::Host(_))), "{error:?}");
        let error = refused(get(NO_LISTENER).header("Host", "a").header("Host", "b").body(()).unwrap()).await;
        let repeated = HeaderError::Repeated(header::HOST);
        assert!(matches!(&error, ConnectError::Header(error) if *error == repeated), "{error:?}");
        let name = header::SEC_WEBSOCKET_PROTOCOL;
        let error = refused(get(NO_LISTENER).header(&name, &b"\xfc"[..]).body(()).unwrap()).await;
        let not_text = HeaderError::Value(name.clone());
        assert!(matches!(&error, ConnectError::Header(error) if *error == not_text), "{error:?}");
        for offered in ["", "a,,b", "a b", "a,a"] {
            let error = refused(get(NO_LISTENER).header(&name, offered).body(()).unwrap()).await;
            let is_named = matches!(error, ConnectError::Request(ClientRequestError::Subprotocol(_)));
            assert!(is_named, "{offered:?}: {error:?}");
        }
    });
}

#[test]
fn a_bad_header_of_a_connector_is_an_error_that_names_it_and_hides_its_value() {
    run(async {
        for (connector, text) in [
            (
                Connector::new().header("authorization", "Bearer secret\r\nX-Injected: 1"),
                "the value of the header \"authorization\" has characters that are not allowed",
            ),
            (Connector::new().header("X Y", "secret"), "invalid header name, it begins with \"X\""),
            (
                Connector::new().header("Authorization: Bearer secret", ""),
                "invalid header name, it begins with \"Authorization\"",
            ),
            (Connector::new().header("", "secret"), "invalid header name, it begins with \"\""),
            (
                Connector::new().carry_to_other_origins("a:b").header("x y", "secret"),
                "invalid header name, it begins with \"a\"",
            ),
        ] {
            let error = soon(connector.connect(NO_LISTENER)).await.unwrap_err();
            assert!(matches!(error, ConnectError::Header(_)) && !error.is_temporary(), "{error:?}");
            assert_eq!(error.to_string(), text);
            let texts = format!("{error:?} {connector:?}");
            assert!(!texts.contains("secret"), "{texts}");
        }
    });
}

#[test]
fn names_and_values_of_headers_have_many_types() {
    run(async {
        let connector = Connector::new()
            .header("X-Text", "text")
            .header(String::from("X-String"), String::from("string"))
            .header(header::ORIGIN, HeaderValue::from_static("https://example.com"))
            .header("X-Number", 7)
            .header("X-Bytes", &b"bytes"[..]);
        let head = sent(&connector, str::to_owned).await;
        for (name, value) in [
            ("X-Text", "text"),
            ("X-String", "string"),
            ("Origin", "https://example.com"),
            ("X-Number", "7"),
            ("X-Bytes", "bytes"),
        ] {
            assert_eq!(head.header(name), Some(value));
        }
    });
}

#[test]
fn an_attempt_can_be_a_task_of_its_own() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let request = get(&acceptor.url("/")).body(()).unwrap();
        let attempt = tokio::spawn(ws_client::connect(request));
        acceptor.accept_upgraded().await;
        attempt.await.unwrap().unwrap();
    });
}

/// The connector's token may be the one that the hook replaces.
#[test]
fn what_a_reconnecting_client_asks_for_replaces_what_its_connector_has_as_a_request_does() {
    run(async {
        let acceptor = RawAcceptor::bind();
        let url = acceptor.url("/");
        let connector = Connector::new()
            .header("authorization", "Bearer old")
            .header("x-kept", "1")
            .subprotocol("v1")
            .subprotocol("v2");
        let mut client = Reconnecting::builder(connector, move |_| {
            let request = reconnecting::Request::new(&url)
                .header(header::AUTHORIZATION, HeaderValue::from_static("Bearer new"))
                .header(header::COOKIE, HeaderValue::from_static("a=1"))
                .header(header::COOKIE, HeaderValue::from_static("b=2"))
                .subprotocol("v2");
            async move { Ok(request) }
        })
        .build();
        let server = async { acceptor.accept().await.upgrade().await };
        let (event, head) = tokio::join!(client.next_event(), server);
        assert!(matches!(event, Some(Event::Up(_))), "{event:?}");
        assert_eq!(head.all("Authorization"), ["Bearer new"]);
        assert_eq!((head.all("Cookie"), head.header("X-Kept")), (vec!["a=1", "b=2"], Some("1")));
        assert_eq!(head.all("Sec-WebSocket-Protocol"), ["v2"]);
    });
}
