//! WebSockets over HTTP/2 (RFC 8441), against hyper's client.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Instant,
};

use axum::{Router, routing::any};
use bytes::Bytes;
use e2e_tests::harness;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http2, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use ws_client::Message;
use ws_hyper::{
    Config, Upgrader, WebSocket as ServerSocket, axum::WebSocketUpgrade, error::UpgradeError,
    protocol::ValidConfig,
};
use ws_proto::Connection;

use crate::support::{HyperServer, Once, Serve, echo};

/// Longer than any test.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

pub(crate) type ClientSocket = ws_client::WebSocket<TokioIo<Upgraded>>;

/// An HTTP/2 connection of a client.
pub(crate) struct Http2 {
    sender: http2::SendRequest<Empty<Bytes>>,
    connection: JoinHandle<()>,
    authority: String,
}

impl Http2 {
    /// Connects and waits until the server has offered extended CONNECT.
    pub(crate) async fn connect(addr: std::net::SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        let mut connection = Box::pin(connection);
        poll_fn(|cx| {
            assert!(connection.as_mut().poll(cx).is_pending(), "the server has left");
            if connection.is_extended_connect_protocol_enabled() {
                return Poll::Ready(());
            }
            // The settings arrive in another task of hyper, which does not wake this one.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { sender, connection, authority: addr.to_string() }
    }

    pub(crate) fn request(&self) -> http::request::Builder {
        Request::connect(format!("http://{}/ws", self.authority))
            .extension(Protocol::from_static("websocket"))
            .header("sec-websocket-version", "13")
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder) -> Response<Incoming> {
        self.sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
    }

    pub(crate) async fn open(&mut self) -> ClientSocket {
        let mut response = self.send(self.request()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(!response.headers().contains_key("sec-websocket-accept"));
        client_socket(hyper::upgrade::on(&mut response).await.unwrap())
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn client_socket(upgraded: Upgraded) -> ClientSocket {
    let masks = Box::new(ws_proto::mask::ChaChaMaskSource::from_seed([7; 32]));
    let connection = Connection::client(ValidConfig::default(), masks, Instant::now());
    ws_client::WebSocket::new(TokioIo::new(upgraded), connection)
}

pub(crate) async fn expect_echo(ws: &mut ClientSocket, message: impl Into<Message>) {
    let message = message.into();
    ws.send(message.clone()).await.unwrap();
    assert_eq!(ws.recv().await, Some(message));
}

#[test]
fn messages_are_echoed() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Auto, Upgrader::default()).await;
        let mut client = Http2::connect(server.addr).await;
        let mut ws = client.open().await;
        expect_echo(&mut ws, "hello").await;
        // More than the stream's window and hyper's buffers hold.
        expect_echo(&mut ws, vec![7_u8; 8 << 20]).await;
        assert!(ws.close(1000.try_into().unwrap(), "").await.is_clean());
    });
}

#[test]
fn a_hundred_connections_share_one_of_http_2() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Auto, upgrader.clone()).await;
        let mut client = Http2::connect(server.addr).await;
        let mut sockets = Vec::new();
        for _ in 0..100 {
            sockets.push(client.open().await);
        }
        for (number, ws) in sockets.iter_mut().enumerate() {
            expect_echo(ws, number.to_string()).await;
        }
        assert_eq!(upgrader.connections(), 100);
    });
}

#[test]
fn many_small_messages_arrive_in_order() {
    harness::run(async {
        let server =
            HyperServer::sockets(Serve::Auto, Upgrader::default(), |mut ws: ServerSocket| async move {
                for number in 0..10_000 {
                    ws.send(number.to_string()).await.unwrap();
                }
                let large = vec![1_u8; 200_000];
                ws.send(large).await.unwrap();
            })
            .await;
        let mut client = Http2::connect(server.addr).await;
        let mut ws = client.open().await;
        for number in 0..10_000 {
            assert_eq!(ws.recv().await, Some(Message::from(number.to_string())));
        }
        assert_eq!(ws.recv().await, Some(Message::from(vec![1_u8; 200_000])));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.close_info().unwrap().received.unwrap().code, Some(1000.try_into().unwrap()));
    });
}

#[test]
fn a_connection_that_is_not_read_does_not_stop_the_others() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Auto, Upgrader::default()).await;
        let mut client = Http2::connect(server.addr).await;
        let (mut silent, mut busy) = (client.open().await, client.open().await);
        silent.send("held").await.unwrap();
        for number in 0..100 {
            expect_echo(&mut busy, number.to_string()).await;
        }
        assert_eq!(silent.recv().await, Some(Message::from("held")));
    });
}

#[test]
fn with_small_stream_windows_a_paused_application_does_not_stop_the_others() {
    harness::run(async {
        let (go, wait) = oneshot::channel::<()>();
        let wait = Once::new(wait);
        // The first connection takes no messages until the test lets it.
        let server =
            HyperServer::sockets(Serve::SmallWindows, Upgrader::default(), move |mut ws: ServerSocket| {
                let wait = wait.take();
                async move {
                    if let Some(wait) = wait {
                        wait.await.unwrap();
                        while ws.recv().await.is_some() {}
                        return;
                    }
                    echo(ws).await;
                }
            })
            .await;
        let mut client = Http2::connect(server.addr).await;
        let (mut paused, mut busy) = (client.open().await, client.open().await);
        let flood = tokio::spawn(async move {
            for _ in 0..64 {
                paused.send(vec![0_u8; 64 << 10]).await.unwrap();
            }
            paused
        });
        for number in 0..1000 {
            expect_echo(&mut busy, number.to_string()).await;
        }
        assert!(!flood.is_finished(), "4 MiB fit neither the stream's window nor what is held");
        go.send(()).unwrap();
        let mut paused = flood.await.unwrap();
        assert!(paused.close(1000.try_into().unwrap(), "").await.is_clean());
    });
}

#[test]
fn subprotocols_and_compression_are_agreed_upon_over_http_2() {
    harness::run(async {
        let mut config = Config::default();
        config.deflate = Some(ws_hyper::DeflateConfig::server());
        let upgrader = Upgrader::new(config.validate().unwrap());
        let server = HyperServer::start(Serve::Auto, move |mut request| {
            let upgrade = upgrader.begin(&mut request).unwrap().protocols(["v2", "v1"]);
            assert!(upgrade.is_http2());
            let answer = upgrade.on_upgrade(echo).unwrap();
            async { answer }
        })
        .await;
        let mut client = Http2::connect(server.addr).await;
        let request = client.request().header("sec-websocket-protocol", "v1, v2");
        let response = client.send(request.header("sec-websocket-extensions", "permessage-deflate")).await;
        assert_eq!(response.headers()["sec-websocket-protocol"], "v2");
        assert!(response.headers()["sec-websocket-extensions"].to_str().unwrap().starts_with("permessage-"));
    });
}

#[test]
fn invalid_requests_get_their_statuses() {
    harness::run(async {
        let server = HyperServer::echo(Serve::Auto, Upgrader::default()).await;
        let mut client = Http2::connect(server.addr).await;
        let get = client.request().method(Method::GET);
        let mut get = get.body(Empty::new()).unwrap();
        get.extensions_mut().clear();
        let response = client.sender.send_request(get).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"CONNECT".parse().unwrap())
        );
        let request = client.request().extension(Protocol::from_static("connect-udp"));
        assert_eq!(client.send(request).await.status(), StatusCode::NOT_IMPLEMENTED);
        let request = client.request().header("sec-websocket-version", "8");
        let response = client.send(request).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()["sec-websocket-version"], "13");
        assert!(!response.headers().contains_key("upgrade"));
        let request = client.request().header("origin", "https://evil.example");
        let response = client.send(request).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "origin not allowed\n");
        let own = format!("http://{}", client.authority);
        let request = client.request().header("origin", own);
        assert_eq!(client.send(request).await.status(), StatusCode::OK);
    });
}

#[test]
fn a_shutdown_reaches_each_stream() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let server = HyperServer::echo(Serve::Auto, upgrader.clone()).await;
        let mut client = Http2::connect(server.addr).await;
        let (mut one, mut other) = (client.open().await, client.open().await);
        expect_echo(&mut one, "a").await;
        expect_echo(&mut other, "b").await;
        let (report, first, second) = tokio::join!(upgrader.shutdown(HOUR), one.recv(), other.recv());
        assert_eq!((report.clean, report.unclean, report.forced), (2, 0, false));
        assert_eq!((first, second), (None, None));
        let code = |ws: &ClientSocket| ws.close_info().unwrap().received.unwrap().code;
        assert_eq!(code(&one), Some(1001.try_into().unwrap()));
        assert_eq!(code(&other), code(&one));
        assert_eq!(client.send(client.request()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    });
}

#[test]
fn a_stream_that_is_reset_ends_its_connection() {
    harness::run(async {
        let (sender, mut ended) = mpsc::unbounded_channel();
        let server = HyperServer::sockets(Serve::Auto, Upgrader::default(), move |mut ws: ServerSocket| {
            let sender = sender.clone();
            async move {
                while ws.recv().await.is_some() {}
                let _ = sender.send(ws.close_info().unwrap().is_clean());
            }
        })
        .await;
        let mut client = Http2::connect(server.addr).await;
        // Dropping the stream resets it.
        drop(client.open().await);
        assert_eq!(ended.recv().await, Some(false));
    });
}

#[test]
fn another_response_than_200_fails_the_upgrade() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let (failed, mut has_failed) = mpsc::unbounded_channel();
        let server = HyperServer::start(Serve::Auto, move |mut request| {
            let failed = failed.clone();
            let upgrade = upgrader.begin(&mut request).unwrap();
            let upgrade = upgrade.on_failed_upgrade(move |error| failed.send(error).unwrap());
            drop(upgrade.on_upgrade::<(), _, _>(echo).unwrap());
            let mut answer = crate::support::text("");
            *answer.status_mut() = StatusCode::NOT_FOUND;
            async { answer }
        })
        .await;
        let mut client = Http2::connect(server.addr).await;
        assert_eq!(client.send(client.request()).await.status(), StatusCode::NOT_FOUND);
        assert!(matches!(has_failed.recv().await, Some(UpgradeError::Hyper(_))));
    });
}

#[test]
fn a_route_of_axum_for_any_method_serves_both_versions() {
    async fn handler(ws: WebSocketUpgrade) -> axum::response::Response {
        let is_http2 = ws.is_http2();
        ws.on_upgrade(move |mut ws| async move {
            let _ = ws.send(if is_http2 { "HTTP/2" } else { "HTTP/1.1" }).await;
        })
    }
    harness::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().route("/ws", any(handler));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut client = Http2::connect(addr).await;
        let mut ws = client.open().await;
        assert_eq!(ws.recv().await, Some(Message::from("HTTP/2")));
        let mut ws = ws_client::connect(&format!("ws://{addr}/ws")).await.unwrap();
        assert_eq!(ws.recv().await, Some(Message::from("HTTP/1.1")));
        serving.abort();
    });
}

#[test]
fn a_route_of_axum_for_get_refuses_http_2_with_405() {
    async fn handler(ws: WebSocketUpgrade) -> axum::response::Response {
        ws.on_upgrade(echo)
    }
    harness::run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = Router::new().route("/ws", axum::routing::get(handler));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut client = Http2::connect(addr).await;
        assert_eq!(client.send(client.request()).await.status(), StatusCode::METHOD_NOT_ALLOWED);
        serving.abort();
    });
}

#[test]
fn a_paused_client_holds_back_the_server() {
    harness::run(async {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let server = HyperServer::sockets(Serve::Auto, Upgrader::default(), move |mut ws: ServerSocket| {
            let sender = sender.clone();
            async move {
                while ws.send(vec![0_u8; 64 << 10]).await.is_ok() {
                    let _ = sender.send(());
                }
            }
        })
        .await;
        let mut client = Http2::connect(server.addr).await;
        let ws = client.open().await;
        // The windows of the client are 2 and 5 MiB, the write queue is 1 MiB, and the rest is in hyper and the
        // kernel. Without backpressure the server would never stop.
        let mut messages = 0;
        loop {
            let mut next = pin!(sent.recv());
            let mut quiet = 0;
            // The server is blocked once many turns of the runtime bring nothing.
            let more = poll_fn(|cx| {
                if let Poll::Ready(more) = next.as_mut().poll(cx) {
                    return Poll::Ready(more.is_some());
                }
                quiet += 1;
                if quiet > 20_000 {
                    return Poll::Ready(false);
                }
                cx.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
            if !more {
                break;
            }
            messages += 1;
            assert!(messages < 1024, "64 MiB are accepted for a client that reads nothing");
        }
        assert!(messages > 0);
        drop(ws);
        let _ = Pin::new(&mut client);
    });
}
