//! The extractor under the middleware of tower-http, and under middleware that replaces responses.

use std::time::Duration;

use axum::{
    Extension, Router,
    http::StatusCode,
    middleware::map_response,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tower_http::{compression::CompressionLayer, timeout::TimeoutLayer, trace::TraceLayer};
use ws_hyper::{HyperStream, Upgrader, WebSocket, axum::WebSocketUpgrade, error::UpgradeError};

use crate::{
    axum::AxumServer,
    http2_client::{Http2, client_socket, expect_echo},
    support::echo,
};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

async fn plain(ws: WebSocketUpgrade) -> Response {
    ws.on_upgrade(echo)
}

/// The layers that servers usually have.
fn layered(app: Router, timeout: Duration) -> Router {
    app.layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, timeout))
        .layer(TraceLayer::new_for_http())
}

#[test]
fn compression_trace_and_timeout_leave_the_upgrade_as_it_is() {
    harness::run(async {
        let app = Router::new().route("/ws", any(plain)).route("/", get(|| async { "a page ".repeat(100) }));
        let server = AxumServer::start(layered(app, HOUR)).await;

        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").with("Accept-Encoding", "gzip");
        let head = client.upgrade_with(request.to_bytes()).await;
        assert_eq!(head.status(), 101);
        for name in [CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
            assert_eq!(head.header(name.as_str()), None);
        }
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;

        let mut client = Http2::connect(server.addr).await;
        let mut response = client.send(client.request().header(ACCEPT_ENCODING, "gzip")).await;
        assert_eq!(response.status(), StatusCode::OK);
        for name in [CONTENT_LENGTH, CONTENT_ENCODING] {
            assert_eq!(response.headers().get(name), None);
        }
        let mut ws = client_socket(hyper::upgrade::on(&mut response).await.unwrap());
        expect_echo(&mut ws, "hello").await;

        // The layers are there: a page is compressed.
        let page = client.get("/").header(ACCEPT_ENCODING, "gzip");
        let response = client.send(page).await;
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        response.into_body().collect().await.unwrap();
    });
}

#[test]
fn a_websocket_outlives_the_timeout_of_its_request() {
    const TIMEOUT: Duration = Duration::from_millis(500);
    async fn later(ws: WebSocketUpgrade) -> Response {
        ws.on_upgrade(|mut ws: WebSocket<HyperStream>| async move {
            tokio::time::sleep(2 * TIMEOUT).await;
            let _ = ws.send("still there").await;
        })
    }
    harness::run(async {
        let server = AxumServer::start(layered(Router::new().route("/ws", any(later)), TIMEOUT)).await;
        let mut one = RawClient::open(server.addr, "/ws").await;
        let mut client = Http2::connect(server.addr).await;
        let mut other = client.open().await;
        one.expect_text("still there").await;
        assert_eq!(other.recv().await, Some("still there".into()));
    });
}

#[test]
fn a_handler_that_takes_too_long_is_answered_by_the_timeout() {
    async fn never(ws: WebSocketUpgrade) -> Response {
        let _ws = ws;
        std::future::pending().await
    }
    harness::run(async {
        let upgrader = Upgrader::default();
        let app = Router::new().route("/ws", any(never)).layer(Extension(upgrader.clone()));
        let server = AxumServer::start(layered(app, Duration::from_millis(20))).await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").to_bytes();
        assert_eq!(client.upgrade_with(request).await.status(), 503);
        let mut client = Http2::connect(server.addr).await;
        assert_eq!(client.send(client.request()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(upgrader.connections(), 0);
    });
}

/// An application with a layer that forbids every request after its handler has run.
fn forbidden_afterwards() -> (Router, mpsc::UnboundedReceiver<Result<(), UpgradeError>>) {
    let (sender, upgraded) = mpsc::unbounded_channel();
    let handler = |ws: WebSocketUpgrade| async move {
        let failed = sender.clone();
        let ws = ws.on_failed_upgrade(move |error| failed.send(Err(error)).unwrap());
        ws.on_upgrade(move |ws| async move {
            let _ = sender.send(Ok(()));
            echo(ws).await;
        })
    };
    let forbid = |_answer: Response| async { StatusCode::FORBIDDEN.into_response() };
    (Router::new().route("/ws", any(handler)).layer(map_response(forbid)), upgraded)
}

/// This is what README.md and SECURITY.md warn about: hyper completes the upgrade when the HTTP/1.1 connection ends.
#[test]
fn over_http_1_1_a_layer_that_replaces_the_response_does_not_stop_the_upgrade() {
    harness::run(async {
        let (app, mut upgraded) = forbidden_afterwards();
        let server = AxumServer::start(app).await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").replacing("Connection", "Upgrade, close");
        let head = client.upgrade_with(request.to_bytes()).await;
        assert_eq!(head.status(), 403);
        client.recv_body(&head).await;
        assert!(matches!(upgraded.recv().await, Some(Ok(()))));
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;
    });
}

#[test]
fn over_http_2_a_layer_that_replaces_the_response_stops_the_upgrade() {
    harness::run(async {
        let (app, mut upgraded) = forbidden_afterwards();
        let server = AxumServer::start(app).await;
        let mut client = Http2::connect(server.addr).await;
        assert_eq!(client.send(client.request()).await.status(), StatusCode::FORBIDDEN);
        assert!(matches!(upgraded.recv().await, Some(Err(UpgradeError::Hyper(_)))));
    });
}

#[test]
fn a_layer_that_refuses_before_the_handler_stops_both_versions() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let refuse = |_request: axum::extract::Request, _next: axum::middleware::Next| async {
            StatusCode::FORBIDDEN.into_response()
        };
        let app = Router::new().route("/ws", any(plain)).layer(Extension(upgrader.clone()));
        let server = AxumServer::start(app.layer(axum::middleware::from_fn(refuse))).await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/ws").replacing("Connection", "Upgrade, close");
        let head = client.upgrade_with(request.to_bytes()).await;
        assert_eq!(head.status(), 403);
        client.recv_body(&head).await;
        client.expect_eof().await;
        let mut client = Http2::connect(server.addr).await;
        assert_eq!(client.send(client.request()).await.status(), StatusCode::FORBIDDEN);
        assert_eq!(upgrader.connections(), 0);
    });
}
