//! The request as the application sees it, and what it adds to the response.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, SAMPLE_KEY};
use e2e_tests::server::{Script, ServerRunner, close_normally, echo_test_with};
use http::{HeaderName, HeaderValue, StatusCode};
use std::sync::mpsc;
use ws_server::{Rejection, Request, Server, ServerBuilder};

type Headers<'a> = &'a [(&'a str, &'a str)];

async fn open_with(client: &mut RawClient, headers: Headers<'_>) -> e2e_tests::raw_peer::Head {
    let request =
        headers.iter().fold(client.request("/"), |request, (name, value)| request.with(name, value));
    let head = client.upgrade_with(request.to_bytes()).await;
    head.assert_switching_protocols(SAMPLE_KEY);
    head
}

/// The parts of a request, for comparison.
fn describe(request: &Request) -> [String; 6] {
    let header = |name| request.header(name).unwrap_or("none").to_owned();
    [
        request.path().to_owned(),
        request.query().unwrap_or("none").to_owned(),
        header("authorization"),
        header("x-missing"),
        request.headers().get_all("cookie").iter().count().to_string(),
        request.peer_addr().unwrap().to_string(),
    ]
}

async fn expect_description(server: &ServerRunner, described: &mpsc::Receiver<[String; 6]>) {
    let mut client = server.connect().await;
    let request = client
        .request("/a/path?with=query&more")
        .with("Authorization", "Bearer x")
        .with("Cookie", "a=1")
        .with("Cookie", "b=2");
    client.upgrade_with(request.to_bytes()).await.assert_switching_protocols(SAMPLE_KEY);
    let address = client.local_addr().to_string();
    close_normally(client).await;
    let expected = ["/a/path", "with=query&more", "Bearer x", "none", "2", &address];
    assert_eq!(described.recv().unwrap(), expected);
}

#[test]
fn accept_sees_the_whole_request() {
    harness::run(async {
        let (sender, described) = mpsc::channel();
        let script = Script::new().accept(move |request| {
            sender.send(describe(request)).unwrap();
            Ok(())
        });
        let server = script.start(Server::builder()).await;
        expect_description(&server, &described).await;
        server.stop().await;
    });
}

#[test]
fn an_async_function_gets_the_request() {
    harness::run(async {
        let (sender, described) = mpsc::channel();
        let server = ServerRunner::serve_with_request(Server::builder(), move |mut ws, request| {
            sender.send(describe(&request)).unwrap();
            async move { while ws.recv().await.is_some() {} }
        })
        .await;
        expect_description(&server, &described).await;
        server.stop().await;
    });
}

#[test]
fn on_request_may_reject_before_anything_else_is_asked() {
    echo_test_with(
        |builder| {
            builder.on_request(|request| match request.header("authorization") {
                Some("Bearer good") => Ok(()),
                _ => Err(Rejection::new(StatusCode::UNAUTHORIZED).with_text("token, please")),
            })
        },
        async |server| {
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            let head = client.upgrade_with(request).await;
            assert_eq!((head.status(), client.recv_body(&head).await), (401, b"token, please".to_vec()));
            client.expect_eof().await;
            drop(client);
            let mut client = server.connect().await;
            open_with(&mut client, &[("Authorization", "Bearer good")]).await;
            close_normally(client).await;
        },
    );
}

#[test]
fn a_handlers_accept_sees_what_on_request_has_set() {
    harness::run(async {
        let builder = Server::builder().on_request(|request| {
            request.select_subprotocol(&["chat"]);
            request.add_response_header(HeaderName::from_static("x-first"), HeaderValue::from_static("1"));
            Ok(())
        });
        let script = Script::new().accept(|request| {
            assert_eq!(request.subprotocol(), Some("chat"));
            request.add_response_header(HeaderName::from_static("x-second"), HeaderValue::from_static("2"));
            Ok(())
        });
        let server = script.start(builder).await;
        let mut client = server.connect().await;
        let head = open_with(&mut client, &[("Sec-WebSocket-Protocol", "chat")]).await;
        assert_eq!((head.header("X-First"), head.header("X-Second")), (Some("1"), Some("2")));
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn the_servers_first_subprotocol_that_the_client_offers_is_chosen() {
    echo_test_with(
        |builder| {
            builder.on_request(|request| {
                request.select_subprotocol(&["v3", "v2", "v1"]);
                Ok(())
            })
        },
        async |server| {
            let cases: [(Headers<'_>, Option<&str>); 5] = [
                (&[("Sec-WebSocket-Protocol", "v1, v2")], Some("v2")),
                (&[("Sec-WebSocket-Protocol", "v1"), ("Sec-WebSocket-Protocol", "v3")], Some("v3")),
                (&[("Sec-WebSocket-Protocol", "V3")], None),
                (&[("Sec-WebSocket-Protocol", "other")], None),
                (&[], None),
            ];
            for (offer, expected) in cases {
                let mut client = server.connect().await;
                let head = open_with(&mut client, offer).await;
                assert_eq!(head.header("Sec-WebSocket-Protocol"), expected, "{offer:?}");
                close_normally(client).await;
            }
        },
    );
}

#[test]
fn an_offer_that_is_not_accepted_is_not_answered() {
    echo_test_with(
        |builder| builder,
        async |server| {
            let mut client = server.connect().await;
            let offers = [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x-unknown; a=b")];
            let head = open_with(&mut client, &offers).await;
            assert_eq!(head.header("Sec-WebSocket-Protocol"), None);
            assert_eq!(head.header("Sec-WebSocket-Extensions"), None);
            close_normally(client).await;
        },
    );
}

#[test]
fn the_async_api_knows_the_subprotocol() {
    harness::run(async {
        let builder = Server::builder().on_request(|request| {
            request.select_subprotocol(&["chat"]);
            Ok(())
        });
        let server = ServerRunner::serve(builder, async |mut ws| {
            let subprotocol = ws.subprotocol().unwrap_or("none").to_owned();
            ws.send(subprotocol).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let mut client = server.connect().await;
        open_with(&mut client, &[("Sec-WebSocket-Protocol", "chat")]).await;
        client.expect_text("chat").await;
        close_normally(client).await;
        let mut client = server.open().await;
        client.expect_text("none").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn response_headers_are_sent_even_twice() {
    echo_test_with(
        |builder| {
            builder.on_request(|request| {
                let cookie = HeaderName::from_static("set-cookie");
                request.add_response_header(cookie.clone(), HeaderValue::from_static("a=1"));
                request.add_response_header(cookie, HeaderValue::from_static("b=2"));
                Ok(())
            })
        },
        async |server| {
            let mut client = server.connect().await;
            let head = client.upgrade("/").await;
            assert_eq!(head.all("Set-Cookie"), ["a=1", "b=2"]);
            close_normally(client).await;
        },
    );
}

#[test]
fn a_response_header_of_the_handshakes_own_is_500() {
    echo_test_with(
        |builder| {
            builder.on_request(|request| {
                let name = HeaderName::from_static("sec-websocket-accept");
                request.add_response_header(name, HeaderValue::from_static("forged"));
                Ok(())
            })
        },
        async |server| {
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            let head = client.upgrade_with(request).await;
            assert_eq!(head.status(), 500);
            client.recv_body(&head).await;
            client.expect_eof().await;
            server.wait_for_connections(0).await;
        },
    );
}

#[test]
fn a_target_in_absolute_form_names_the_host_and_the_application_sees_it() {
    harness::run(async {
        let (sender, seen) = mpsc::channel();
        let script = Script::new().accept(move |request| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            sender.send((request.uri().to_string(), request.path().to_owned(), host)).unwrap();
            Ok(())
        });
        let server = script.start(Server::builder()).await;
        let upgrade = async |target: &str, origin: &str| {
            let mut client = server.connect().await;
            let mut request = client.request(target);
            request = request.replacing("Host", "proxy.example").with("Origin", origin);
            (client.upgrade_with(request.to_bytes()).await.status(), client)
        };
        for scheme in ["http", "https", "ws", "wss"] {
            let target = format!("{scheme}://chat.example/room?x=1");
            let (status, client) = upgrade(&target, "https://chat.example").await;
            assert_eq!(status, 101, "{target}");
            close_normally(client).await;
            let host = "chat.example".to_owned();
            assert_eq!(seen.recv().unwrap(), (target, "/room".to_owned(), host));
        }
        // RFC 9112 section 3.2.2: the Host header is ignored, and replaced by the host of the target.
        assert_eq!(upgrade("ws://chat.example/", "https://proxy.example").await.0, 403);
        server.stop().await;
    });
}

#[test]
fn a_quotation_mark_in_a_query_a_higher_minor_version_and_the_rfcs_key_are_taken() {
    echo_test_with(
        |builder| builder,
        async |server| {
            const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEC==";
            let mut client = server.connect().await;
            let request = client.request("/?q=\"a\"").version("HTTP/1.2").replacing("Sec-WebSocket-Key", KEY);
            client.upgrade_with(request.to_bytes()).await.assert_switching_protocols(KEY);
            close_normally(client).await;
        },
    );
}

/// What a hook knows about the user.
#[derive(Clone)]
struct User(String);

/// A server whose async hook and hook attach values to the request.
fn naming_users() -> ServerBuilder {
    let find = async |mut request: Request| {
        request.extensions_mut().insert(7_u32);
        Ok(request)
    };
    Server::builder().on_request_async(find).on_request(|request| {
        let name = request.header("x-user").unwrap_or("unknown").to_owned();
        request.extensions_mut().insert(User(name));
        Ok(())
    })
}

/// What the hooks have attached.
fn attached(request: &Request) -> (String, u32) {
    let user = request.extensions().get::<User>().expect("the hook has set it");
    (user.0.clone(), *request.extensions().get().expect("the async hook has set it"))
}

async fn expect_attached(server: &ServerRunner, seen: &mpsc::Receiver<(String, u32)>) {
    let mut client = server.connect().await;
    open_with(&mut client, &[("X-User", "ada")]).await;
    close_normally(client).await;
    assert_eq!(seen.recv().unwrap(), ("ada".to_owned(), 7));
}

#[test]
fn what_hooks_attach_to_a_request_reaches_a_handlers_accept() {
    harness::run(async {
        let (sender, seen) = mpsc::channel();
        let script = Script::new().accept(move |request| {
            sender.send(attached(request)).unwrap();
            assert!(request.extensions_mut().remove::<User>().is_some());
            Ok(())
        });
        let server = script.start(naming_users()).await;
        expect_attached(&server, &seen).await;
        server.stop().await;
    });
}

#[test]
fn what_hooks_attach_to_a_request_reaches_an_async_function_also_as_a_request_of_http() {
    harness::run(async {
        let (sender, seen) = mpsc::channel();
        let server = ServerRunner::serve_with_request(naming_users(), move |mut ws, request| {
            let attached = attached(&request);
            let request: http::Request<()> = request.into();
            assert_eq!((request.uri().path(), request.headers()["x-user"].as_bytes()), ("/", &b"ada"[..]));
            assert_eq!(request.extensions().get(), Some(&attached.1));
            sender.send(attached).unwrap();
            async move { while ws.recv().await.is_some() {} }
        })
        .await;
        expect_attached(&server, &seen).await;
        server.stop().await;
    });
}
