//! WebSockets over HTTP/1.1, each way of serving a connection.

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use http::{HeaderValue, header};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use ws_client::{Connector, Message};
use ws_hyper::{Config, DeflateConfig, Upgrader};

use crate::support::{ALL, HyperServer, Once, Serve, echo, serve_connection};

fn compressing() -> Upgrader {
    let mut config = Config::default();
    config.deflate = Some(DeflateConfig::server());
    Upgrader::new(config.validate().unwrap())
}

#[test]
fn messages_are_echoed() {
    harness::run(async {
        for serve in ALL {
            let server = HyperServer::echo(serve, Upgrader::default()).await;
            let mut ws = ws_client::connect(&server.url()).await.unwrap();
            let large = Message::from(vec![7_u8; 1 << 20]);
            for message in [Message::from("hello"), Message::from(""), large] {
                ws.send(message.clone()).await.unwrap();
                assert_eq!(ws.recv().await, Some(message), "{serve:?}");
            }
            assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
        }
    });
}

#[test]
fn messages_are_compressed_if_both_sides_want_it() {
    harness::run(async {
        for serve in ALL {
            let server = HyperServer::echo(serve, compressing()).await;
            let connector = Connector::new().deflate(Some(DeflateConfig::client()));
            let mut ws = connector.connect(&server.url()).await.unwrap();
            assert!(ws.deflate_params().is_some());
            let message = Message::from("hello ".repeat(1000));
            ws.send(message.clone()).await.unwrap();
            assert_eq!(ws.recv().await, Some(message));
            ws.close(1000.try_into().unwrap(), "").await;
            let mut ws = ws_client::connect(&server.url()).await.unwrap();
            assert!(ws.deflate_params().is_none());
            ws.close(1000.try_into().unwrap(), "").await;
        }
    });
}

#[test]
fn hyper_is_done_with_a_connection_when_it_opens() {
    harness::run(async {
        for serve in ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let served = async {
                let (stream, _) = listener.accept().await.unwrap();
                serve_connection(serve, stream, |mut request| {
                    let upgrade = Upgrader::default().begin(&mut request).unwrap();
                    let answer = upgrade.on_upgrade(echo).unwrap();
                    async { answer }
                })
                .await;
            };
            let opened = RawClient::open(listener.local_addr().unwrap(), "/");
            let (mut client, ()) = tokio::join!(opened, served);
            client.send(RawFrame::text("hello")).await;
            client.expect_text("hello").await;
        }
    });
}

#[test]
fn a_tcp_socket_is_taken_out_of_hyper() {
    harness::run(async {
        for (serve, expected) in [(Serve::Http1, true), (Serve::Auto, true), (Serve::Opaque, false)] {
            let (sender, mut taken) = mpsc::unbounded_channel();
            let server = HyperServer::sockets(serve, Upgrader::default(), move |ws| {
                let peer = ws.with_io(|io| (io.tcp().is_some(), io.peer_addr(), io.is_http2()));
                sender.send(peer.unwrap()).unwrap();
                async {}
            })
            .await;
            let client = RawClient::open(server.addr, "/").await;
            let peer = expected.then(|| client.local_addr());
            assert_eq!(taken.recv().await, Some((expected, peer, false)), "{serve:?}");
        }
    });
}

#[test]
fn frames_behind_the_request_are_received_at_every_split() {
    harness::run(async {
        for serve in ALL {
            let server = HyperServer::echo(serve, Upgrader::default()).await;
            let mut client = RawClient::connect(server.addr).await;
            let mut bytes = client.request("/").to_bytes();
            let head_len = bytes.len();
            bytes.extend(client.writer.encode(&RawFrame::text("early")));
            bytes.extend(client.writer.encode(&RawFrame::text("bird")));
            client.send_bytes(&bytes).await;
            assert_eq!(client.recv_head().await.status(), 101);
            client.expect_text("early").await;
            client.expect_text("bird").await;
            for split in (1..8).chain(head_len - 8..bytes.len()) {
                let mut client = RawClient::connect(server.addr).await;
                client.send_bytes(&bytes[..split]).await;
                tokio::task::yield_now().await;
                client.send_bytes(&bytes[split..]).await;
                assert_eq!(client.recv_head().await.status(), 101);
                client.expect_text("early").await;
                client.expect_text("bird").await;
            }
        }
    });
}

#[test]
fn the_servers_first_known_subprotocol_that_the_client_offers_is_chosen() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let (sender, mut chosen) = mpsc::unbounded_channel();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let upgrade = upgrader.begin(&mut request).unwrap().protocols(["v2", "v1"]);
            let upgrade = upgrade.header(header::SET_COOKIE, HeaderValue::from_static("a=1"));
            sender.send((upgrade.selected_protocol().map(str::to_owned), None)).unwrap();
            let sender = sender.clone();
            let answer = upgrade.on_upgrade(|ws| async move {
                sender.send((None, ws.subprotocol().map(str::to_owned))).unwrap();
            });
            async { answer.unwrap() }
        })
        .await;
        for (offered, expected) in [("v1, v2", Some("v2")), ("v1", Some("v1")), ("v3", None)] {
            let mut client = RawClient::connect(server.addr).await;
            let request = client.request("/").with("Sec-WebSocket-Protocol", offered);
            let head = client.upgrade_with(request.to_bytes()).await;
            assert_eq!((head.status(), head.header("Set-Cookie")), (101, Some("a=1")));
            assert_eq!(head.header("Sec-WebSocket-Protocol"), expected);
            assert_eq!(chosen.recv().await.unwrap().0.as_deref(), expected);
            assert_eq!(chosen.recv().await.unwrap().1.as_deref(), expected);
        }
    });
}

#[test]
fn the_settings_of_one_connection_apply_to_it_alone() {
    harness::run(async {
        let upgrader = compressing();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let is_small = request.uri().path() == "/small";
            let mut upgrade = upgrader.begin(&mut request).unwrap();
            if is_small {
                upgrade = upgrade.configure(|config| config.limits.max_message_size = 4);
            }
            let answer = upgrade.on_upgrade(echo).unwrap();
            async { answer }
        })
        .await;
        let mut small = RawClient::open(server.addr, "/small").await;
        small.send(RawFrame::text("12345")).await;
        small.expect_close(1009).await;
        let mut other = RawClient::open(server.addr, "/").await;
        other.send(RawFrame::text("12345")).await;
        other.expect_text("12345").await;
    });
}

#[test]
fn a_connection_answers_pings_while_its_function_waits_for_something_else() {
    harness::run(async {
        let (go, wait) = oneshot::channel::<()>();
        let wait = Once::new(wait);
        let server = HyperServer::sockets(Serve::Http1, Upgrader::default(), move |mut ws| {
            let wait = wait.take().unwrap();
            async move {
                wait.await.unwrap();
                ws.send("done").await.unwrap();
            }
        })
        .await;
        let mut client = RawClient::open(server.addr, "/").await;
        client.send(RawFrame::ping("p")).await;
        client.expect_pong(b"p").await;
        go.send(()).unwrap();
        client.expect_text("done").await;
        client.expect_close(1000).await;
    });
}

#[test]
fn the_websocket_of_a_request_in_two_steps_is_served_by_any_task() {
    harness::run(async {
        for serve in ALL {
            let upgrader = Upgrader::default();
            let server = HyperServer::start(serve, move |mut request| {
                let accepted = upgrader.begin(&mut request).unwrap().accept().unwrap();
                let socket = accepted.socket;
                tokio::spawn(async move { echo(socket.await.unwrap()).await });
                async { accepted.response }
            })
            .await;
            let mut client = RawClient::open(server.addr, "/").await;
            client.send_together(&[RawFrame::text("a"), RawFrame::ping("p"), RawFrame::text("b")]).await;
            let mut frames =
                [client.recv_frame().await, client.recv_frame().await, client.recv_frame().await]
                    .map(|frame| String::from_utf8(frame.payload).unwrap());
            frames.sort_unstable();
            assert_eq!(frames, ["a", "b", "p"]);
            client.send(RawFrame::close(1000, "")).await;
            client.expect_close(1000).await;
            client.expect_eof().await;
        }
    });
}
