//! The extractor inside axum: each place where its upgrader comes from, rejections, subprotocols, graceful shutdown.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Extension, Router,
    extract::{FromRef, State},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use e2e_tests::{
    harness,
    raw_peer::{Head, RawClient, RawFrame, RequestHead},
};
use http::{HeaderValue, StatusCode};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use ws_hyper::{
    Config, DeflateConfig, Rejection, Upgrader, WebSocket,
    axum::{InState, WebSocketUpgrade, default_upgrader},
    error::UpgradeError,
};

use crate::support::echo;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) struct AxumServer {
    pub(crate) addr: SocketAddr,
    serving: JoinHandle<()>,
}

impl AxumServer {
    pub(crate) async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { addr, serving }
    }
}

impl Drop for AxumServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[derive(Clone)]
struct AppState {
    name: &'static str,
    upgrader: Upgrader,
}

impl FromRef<AppState> for Upgrader {
    fn from_ref(state: &AppState) -> Self {
        state.upgrader.clone()
    }
}

async fn plain(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(echo)
}

async fn in_state(ws: WebSocketUpgrade<InState>) -> Response {
    ws.on_upgrade(echo)
}

async fn greeting(State(state): State<AppState>, ws: WebSocketUpgrade<InState>) -> Response {
    ws.on_upgrade(move |mut ws: WebSocket| async move {
        let _ = ws.send(state.name).await;
    })
}

/// An upgrader that is told apart by its limit.
fn small() -> Upgrader {
    let mut config = Config::default();
    config.limits.max_message_size = 4;
    Upgrader::new(config.validate().unwrap())
}

async fn expect_echo(client: &mut RawClient, text: &str) {
    client.send(RawFrame::text(text)).await;
    client.expect_text(text).await;
}

async fn expect_small(addr: SocketAddr) {
    let mut client = RawClient::open(addr, "/ws").await;
    expect_echo(&mut client, "1234").await;
    client.send(RawFrame::text("12345")).await;
    client.expect_close(1009).await;
}

async fn answered(addr: SocketAddr, change: impl FnOnce(RequestHead) -> RequestHead) -> Head {
    let mut client = RawClient::connect(addr).await;
    let request = change(client.request("/ws"));
    client.upgrade_with(request.to_bytes()).await
}

#[test]
fn without_an_upgrader_the_default_one_of_the_process_is_used() {
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(plain))).await;
        let mut client = RawClient::open(server.addr, "/ws").await;
        expect_echo(&mut client, "hello").await;
        assert_eq!(default_upgrader().connections(), 1);
    });
}

#[test]
fn an_extension_has_the_upgrader_whatever_the_state_is() {
    harness::run(async {
        let upgrader = small();
        let app = Router::new().route("/ws", any(plain)).layer(Extension(upgrader.clone())).with_state(7_u8);
        let server = AxumServer::start(app).await;
        expect_small(server.addr).await;
        assert_eq!(default_upgrader().connections(), 0);
        upgrader.shutdown(HOUR).await;
    });
}

#[test]
fn the_state_is_an_upgrader_or_has_one() {
    harness::run(async {
        let app = Router::new().route("/ws", any(in_state)).with_state(small());
        let server = AxumServer::start(app).await;
        expect_small(server.addr).await;
        let app = Router::new().route("/ws", any(in_state)).route("/greeting", get(greeting));
        let app = app.with_state(AppState { name: "hello", upgrader: small() });
        let server = AxumServer::start(app).await;
        expect_small(server.addr).await;
        let mut client = RawClient::open(server.addr, "/greeting").await;
        client.expect_text("hello").await;
        client.expect_close(1000).await;
    });
}

#[test]
fn the_extractor_works_in_nested_routers() {
    harness::run(async {
        let inner = Router::new().route("/ws", any(plain));
        let server = AxumServer::start(Router::new().nest("/a", Router::new().nest("/b", inner))).await;
        let mut client = RawClient::open(server.addr, "/a/b/ws").await;
        expect_echo(&mut client, "hello").await;
    });
}

#[test]
fn a_socket_is_taken_out_of_axum() {
    harness::run(async {
        let (sender, mut peer) = mpsc::unbounded_channel();
        let handler = |ws: WebSocketUpgrade| async move {
            ws.on_upgrade(move |ws| async move { sender.send(ws.with_io(|io| io.peer_addr())).unwrap() })
        };
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        let client = RawClient::open(server.addr, "/ws").await;
        assert_eq!(peer.recv().await, Some(Some(Some(client.local_addr()))));
    });
}

#[test]
fn invalid_requests_get_the_statuses_and_headers_of_rfc_6455() {
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(plain))).await;
        let head = answered(server.addr, |request| request.method("POST")).await;
        assert_eq!((head.status(), head.header("Allow")), (405, Some("GET")));
        let head = answered(server.addr, |request| request.without("Upgrade")).await;
        assert_eq!((head.status(), head.header("Upgrade")), (426, Some("websocket")));
        let head = answered(server.addr, |request| request.replacing("Sec-WebSocket-Version", "8")).await;
        assert_eq!((head.status(), head.header("Sec-WebSocket-Version")), (426, Some("13")));
        let head = answered(server.addr, |request| request.without("Sec-WebSocket-Key")).await;
        assert_eq!(head.status(), 400);
        let head = answered(server.addr, |request| request.with("Origin", "https://evil.example")).await;
        assert_eq!(head.status(), 403);
        let own = format!("http://{}", server.addr);
        assert_eq!(answered(server.addr, |request| request.with("Origin", &own)).await.status(), 101);
    });
}

#[test]
fn a_handler_that_takes_an_option_also_answers_plain_requests() {
    async fn handler(ws: Result<WebSocketUpgrade, ws_hyper::error::BeginError>) -> Response {
        match ws {
            Ok(ws) => ws.on_upgrade(echo),
            Err(_) => "a page".into_response(),
        }
    }
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        assert_eq!(answered(server.addr, |request| request.without("Upgrade")).await.status(), 200);
        assert_eq!(answered(server.addr, |request| request).await.status(), 101);
    });
}

#[test]
fn the_methods_are_those_of_axums_own_extractor() {
    async fn handler(mut ws: WebSocketUpgrade) -> Response {
        let requested: Vec<_> = ws.requested_protocols().cloned().collect();
        if requested.contains(&HeaderValue::from_static("special")) {
            ws.set_selected_protocol(HeaderValue::from_static("special"));
        } else {
            ws = ws.protocols(["v2", "v1"]);
        }
        let selected = ws.selected_protocol().cloned();
        ws.max_message_size(8)
            .max_frame_size(4)
            .max_write_buffer_size(1024)
            .on_failed_upgrade(|error| panic!("{error}"))
            .on_upgrade(move |mut ws| async move {
                assert_eq!(ws.subprotocol(), selected.as_ref().map(|name| name.to_str().unwrap()));
                while let Some(message) = ws.recv().await {
                    ws.send(message).await.unwrap();
                }
            })
    }
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        for (offered, expected) in [("v1, v2", Some("v2")), ("v2, special", Some("special")), ("v3", None)] {
            let mut client = RawClient::connect(server.addr).await;
            let request = client.request("/ws").with("Sec-WebSocket-Protocol", offered);
            let head = client.upgrade_with(request.to_bytes()).await;
            assert_eq!((head.status(), head.header("Sec-WebSocket-Protocol")), (101, expected));
            expect_echo(&mut client, "1234").await;
            client.send_together(&[RawFrame::text("123").not_final(), RawFrame::continuation("45")]).await;
            client.expect_text("12345").await;
            client.send(RawFrame::text("12345")).await;
            client.expect_close(1009).await;
        }
    });
}

#[test]
fn an_answer_that_breaks_the_handshake_becomes_500() {
    async fn handler(mut ws: WebSocketUpgrade) -> Response {
        ws.set_selected_protocol(HeaderValue::from_static("unknown"));
        ws.on_upgrade(echo)
    }
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        assert_eq!(answered(server.addr, |request| request).await.status(), 500);
    });
}

#[test]
fn a_handler_may_refuse_or_answer_in_two_steps() {
    async fn handler(ws: WebSocketUpgrade) -> Response {
        if ws.requested_protocols().next().is_none() {
            return ws.reject(Rejection::new(StatusCode::UNAUTHORIZED).with_text("which protocol?"));
        }
        match ws.protocols(["v1"]).accept() {
            Ok(accepted) => {
                tokio::spawn(async move { echo(accepted.socket.await.unwrap()).await });
                accepted.response
            }
            Err(error) => error.into_response(),
        }
    }
    harness::run(async {
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        assert_eq!(answered(server.addr, |request| request).await.status(), 401);
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").with("Sec-WebSocket-Protocol", "v1");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 101);
        expect_echo(&mut client, "hello").await;
    });
}

#[test]
fn a_failed_upgrade_is_reported() {
    harness::run(async {
        let (sender, mut failed) = mpsc::unbounded_channel();
        let handler = |ws: WebSocketUpgrade| async move {
            let ws = ws.on_failed_upgrade(move |error| {
                let _ = sender.send(error);
            });
            drop(ws.on_upgrade(echo));
            "another response"
        };
        let server = AxumServer::start(Router::new().route("/ws", any(handler))).await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").to_bytes();
        // hyper gives up the first upgrade at the second request.
        for _ in 0..2 {
            let head = client.upgrade_with(&request).await;
            assert_eq!(client.recv_body(&head).await, b"another response");
        }
        assert!(matches!(failed.recv().await, Some(UpgradeError::Hyper(_))));
    });
}

#[test]
fn messages_are_compressed() {
    harness::run(async {
        let mut config = Config::default();
        config.deflate = Some(DeflateConfig::server());
        let upgrader = Upgrader::new(config.validate().unwrap());
        let app = Router::new().route("/ws", any(plain)).layer(Extension(upgrader));
        let server = AxumServer::start(app).await;
        let connector = ws_client::Connector::new().deflate(Some(DeflateConfig::client()));
        let mut ws = connector.connect(&format!("ws://{}/ws", server.addr)).await.unwrap();
        assert!(ws.deflate_params().is_some());
        let message = ws_client::Message::from("hello ".repeat(1000));
        ws.send(message.clone()).await.unwrap();
        assert_eq!(ws.recv().await, Some(message));
    });
}

#[test]
fn a_graceful_shutdown_waits_for_the_websockets() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let app = Router::new().route("/ws", any(in_state)).with_state(upgrader.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async move {
                stopped.await.unwrap();
                assert_eq!(upgrader.shutdown(HOUR).await.clean, 1);
            };
            axum::serve(listener, app).with_graceful_shutdown(stopped).await.unwrap();
        });
        let mut client = RawClient::open(addr, "/ws").await;
        expect_echo(&mut client, "hello").await;
        stop.send(()).unwrap();
        client.expect_close(1001).await;
        assert!(!serving.is_finished());
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
        drop(client);
        serving.await.unwrap();
    });
}
