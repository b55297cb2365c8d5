//! Adoption out of hyper over HTTP/1.1.

use std::{
    future::Future as _,
    pin::pin,
    task::{Context, Poll, Waker},
};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame, RequestHead, SAMPLE_KEY},
    server::{Event, Script, ServerRunner, close_normally},
};
use http::{Request, Response, StatusCode};
use tokio::{net::TcpListener, runtime::Handle};
use ws_client::{Connector, Message};
use ws_hyper::{Adoptable, DeflateConfig, Rejection, error::BeginErrorKind};
use ws_server::Server;

use super::{answered, echo_and_close, for_each_server, front};
use crate::support::{ALL, Answer, HyperServer, Serve, serve_connection};

#[test]
fn messages_are_echoed_by_a_handler_and_by_an_async_function() {
    for_each_server(
        |builder| builder,
        async |server| {
            for serve in ALL {
                let front = front(serve, server.adopter()).await;
                let mut ws = ws_client::connect(&front.url()).await.unwrap();
                let large = Message::from(vec![7_u8; 1 << 20]);
                for message in [Message::from("hello"), Message::from(""), large] {
                    ws.send(message.clone()).await.unwrap();
                    assert_eq!(ws.recv().await, Some(message), "{serve:?}");
                }
                assert_eq!(server.handle().connections(), 1, "it is a connection of the server");
                assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn frames_behind_the_request_reach_the_server_at_every_split() {
    for_each_server(
        |builder| builder,
        async |server| {
            for serve in ALL {
                let front = front(serve, server.adopter()).await;
                let mut client = RawClient::connect(front.addr).await;
                let mut bytes = client.request("/").to_bytes();
                let head_len = bytes.len();
                bytes.extend(client.writer.encode(&RawFrame::text("early")));
                bytes.extend(client.writer.encode(&RawFrame::text("bird")));
                client.send_bytes(&bytes).await;
                client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
                client.expect_text("early").await;
                client.expect_text("bird").await;
                close_normally(client).await;
                for split in head_len - 4..bytes.len() {
                    let mut client = RawClient::connect(front.addr).await;
                    client.send_bytes(&bytes[..split]).await;
                    tokio::task::yield_now().await;
                    client.send_bytes(&bytes[split..]).await;
                    assert_eq!(client.recv_head().await.status(), 101);
                    client.expect_text("early").await;
                    client.expect_text("bird").await;
                    close_normally(client).await;
                }
            }
        },
    );
}

#[test]
fn a_plain_socket_leaves_hyper_and_any_other_transport_stays_in_it() {
    harness::run(async {
        let serve_one = |mut ws: ws_server::WebSocket<ws_server::ServerStream>, _| async move {
            let is_socket = ws.with_io(|io| io.socket().is_some()).unwrap();
            let _ = ws.send(format!("{is_socket}")).await;
        };
        let server = ServerRunner::serve_on_shards(Server::builder(), 1, serve_one).await;
        for (serve, expected) in [(Serve::Http1, "true"), (Serve::Auto, "true"), (Serve::Opaque, "false")] {
            let front = front(serve, server.adopter()).await;
            let mut client = RawClient::open(front.addr, "/").await;
            client.expect_text(expected).await;
            client.expect_close(1000).await;
        }
        server.stop().await;
    });
}

#[test]
fn hyper_and_the_adopting_task_are_done_with_a_plain_connection_when_it_opens() {
    harness::run(async {
        let script = Script::new().on_message(|conn, message| drop(conn.send(message)));
        let server = script.start_sharded(Server::builder(), 1).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tasks = Handle::current().metrics();
        let before = tasks.num_alive_tasks();
        for serve in [Serve::Http1, Serve::Auto] {
            let served = async {
                let (stream, _) = listener.accept().await.unwrap();
                let adopter = server.adopter().clone();
                serve_connection(serve, stream, move |request| {
                    let adopter = adopter.clone();
                    async move { ws_hyper::adopt(&adopter, request).await }
                })
                .await;
            };
            let opened = RawClient::open(listener.local_addr().unwrap(), "/");
            let (mut client, ()) = tokio::join!(opened, served);
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
            assert_eq!(tasks.num_alive_tasks(), before, "{serve:?}");
            close_normally(client).await;
        }
        server.stop().await;
    });
}

#[test]
fn invalid_requests_and_foreign_pages_get_their_statuses_and_headers() {
    type Change = fn(RequestHead) -> RequestHead;
    let cases: [(u16, Change); 5] = [
        (426, |request| request.without("Upgrade")),
        (426, |request| request.replacing("Sec-WebSocket-Version", "8")),
        (405, |request| request.method("POST")),
        (400, |request| request.without("Sec-WebSocket-Key")),
        (403, |request| request.with("Origin", "https://evil.example")),
    ];
    for_each_server(
        |builder| builder,
        async |server| {
            for serve in ALL {
                let front = front(serve, server.adopter()).await;
                for (status, change) in cases {
                    let head = answered(&front, change).await;
                    assert_eq!(head.status(), status);
                    assert_eq!(head.header("Sec-WebSocket-Accept"), None);
                    assert_eq!(head.header("Sec-WebSocket-Version"), (status == 426).then_some("13"));
                    assert!(head.header("Connection").unwrap().starts_with("close"));
                    assert_eq!((server.handle().connections(), server.handle().handshakes()), (0, 0));
                }
                let own = format!("http://{}", front.addr);
                assert_eq!(answered(&front, |request| request.with("Origin", &own)).await.status(), 101);
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn what_a_hook_rejects_is_answered_with_its_rejection() {
    for_each_server(
        |builder| {
            let reject = || Rejection::new(StatusCode::UNAUTHORIZED).with_text("who are you?\n");
            builder.on_request(move |_| Err(reject()))
        },
        async |server| {
            let front = front(Serve::Auto, server.adopter()).await;
            let mut client = RawClient::connect(front.addr).await;
            let request = client.request("/").to_bytes();
            let head = client.upgrade_with(request).await;
            assert_eq!((head.status(), client.recv_body(&head).await), (401, b"who are you?\n".to_vec()));
            client.expect_eof().await;
            server.wait_for_connections(0).await;
        },
    );
}

#[test]
fn a_full_server_answers_503_and_a_place_that_becomes_free_is_used_again() {
    for_each_server(
        |builder| builder.max_connections(1),
        async |server| {
            let front = front(Serve::Http1, server.adopter()).await;
            for _ in 0..2 {
                let client = RawClient::open(front.addr, "/").await;
                assert_eq!(answered(&front, |request| request).await.status(), 503);
                echo_and_close(client).await;
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn compression_is_negotiated_with_the_settings_of_the_server() {
    for_each_server(
        |builder| builder.deflate(DeflateConfig::server()),
        async |server| {
            let front = front(Serve::Auto, server.adopter()).await;
            let connector = Connector::new().deflate(Some(DeflateConfig::client()));
            let mut ws = connector.connect(&front.url()).await.unwrap();
            assert!(ws.deflate_params().is_some());
            let message = Message::from("hello ".repeat(1000));
            ws.send(message.clone()).await.unwrap();
            assert_eq!(ws.recv().await, Some(message));
            ws.close(1000.try_into().unwrap(), "").await;
        },
    );
}

#[test]
fn the_peers_address_reaches_the_application_and_its_limit() {
    harness::run(async {
        let builder = Server::builder().max_connections_per_address(1);
        let server = ServerRunner::serve_with_request(builder, |mut ws, request| async move {
            let _ = ws.send(request.peer_addr().unwrap().to_string()).await;
            while ws.recv().await.is_some() {}
        })
        .await;
        let peer = "192.0.2.1:443".parse().unwrap();
        let adopter = server.adopter().clone();
        let front = HyperServer::start(Serve::Http1, move |request| {
            let adoptable = Adoptable::new(request).unwrap().peer_addr(peer);
            let adopter = adopter.clone();
            async move { adoptable.adopt(&adopter).await }
        })
        .await;
        let mut client = RawClient::open(front.addr, "/").await;
        client.expect_text("192.0.2.1:443").await;
        assert_eq!(answered(&front, |request| request).await.status(), 429);
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn over_tls_a_page_of_the_same_host_must_use_tls_too() {
    for_each_server(
        |builder| builder,
        async |server| {
            let adopter = server.adopter().clone();
            let front = HyperServer::start(Serve::Http1, move |request| {
                let adoptable = Adoptable::new(request).unwrap().over_tls(true);
                let adopter = adopter.clone();
                async move { adoptable.adopt(&adopter).await }
            })
            .await;
            for (scheme, status) in [("http", 403), ("https", 101)] {
                let origin = format!("{scheme}://{}", front.addr);
                let head = answered(&front, |request| request.with("Origin", &origin)).await;
                assert_eq!(head.status(), status, "{scheme}");
            }
        },
    );
}

#[test]
fn without_an_upgrade_of_hyper_the_application_is_not_asked_and_the_answer_is_500() {
    harness::run(async {
        let server = Script::new().start(Server::builder()).await;
        let adopter = server.adopter().clone();
        let front = HyperServer::start(Serve::Http1, move |mut request| {
            drop(request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>());
            let adopter = adopter.clone();
            async move { ws_hyper::adopt(&adopter, request).await }
        })
        .await;
        assert_eq!(answered(&front, |request| request).await.status(), 500);
        let (_report, events) = server.stop_and_drain().await;
        assert_eq!(events, [] as [Event; 0]);
        let error = Adoptable::new(request()).unwrap_err();
        assert_eq!(error.kind(), BeginErrorKind::NotUpgradable);
    });
}

fn request() -> Request<()> {
    let request = Request::builder()
        .header("Host", "a.example")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", SAMPLE_KEY)
        .header("Sec-WebSocket-Version", "13");
    request.body(()).unwrap()
}

#[test]
fn outside_of_a_runtime_the_answer_is_500() {
    let server = Server::builder().without_listener().unwrap();
    let mut request = request();
    let upgrade = hyper::upgrade::on(&mut request);
    request.extensions_mut().insert(upgrade);
    let adopter = server.adopter();
    let mut adopting = pin!(ws_hyper::adopt(&adopter, request));
    let polled: Poll<Answer> = adopting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(
        polled.map(|answer| Response::status(&answer)),
        Poll::Ready(StatusCode::INTERNAL_SERVER_ERROR)
    ));
}
