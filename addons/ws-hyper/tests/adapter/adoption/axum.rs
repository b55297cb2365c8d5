//! Adoption out of axum, with the extractor.

use std::net::SocketAddr;

use axum::{
    Extension, Router,
    extract::{ConnectInfo, FromRef, State},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame, SAMPLE_KEY},
    server::{Api, Event, GRACE, Script, ServerRunner, answer_close, close_normally, start_sharded_echo},
};
use http::{HeaderValue, StatusCode, header};
use tokio::net::TcpListener;
use ws_hyper::{Adoptable, error::BeginError};
use ws_server::{Rejection, Server, adopt::Adopter};

use super::{echo_and_close, for_each_server};
use crate::axum::AxumServer;

async fn in_state(State(adopter): State<Adopter>, ws: Adoptable) -> Response {
    ws.adopt(&adopter).await
}

async fn in_extension(Extension(adopter): Extension<Adopter>, ws: Adoptable) -> Response {
    ws.adopt(&adopter).await
}

async fn status(addr: SocketAddr, target: &str) -> u16 {
    let mut client = RawClient::connect(addr).await;
    let request = client.request(target).to_bytes();
    client.upgrade_with(request).await.status()
}

#[test]
fn the_adopter_is_the_state_or_a_part_of_it_or_an_extension() {
    #[derive(Clone)]
    struct AppState {
        adopter: Adopter,
    }
    impl FromRef<AppState> for Adopter {
        fn from_ref(state: &AppState) -> Self {
            state.adopter.clone()
        }
    }
    for_each_server(
        |builder| builder,
        async |server| {
            let adopter = server.adopter();
            let apps = [
                Router::new().route("/ws", any(in_state)).with_state(adopter.clone()),
                Router::new().route("/ws", any(in_state)).with_state(AppState { adopter: adopter.clone() }),
                Router::new().route("/ws", any(in_extension)).layer(Extension(adopter.clone())),
            ];
            for app in apps {
                let front = AxumServer::start(app).await;
                let client = RawClient::open(front.addr, "/ws").await;
                assert_eq!(server.handle().connections(), 1);
                echo_and_close(client).await;
                server.wait_for_connections(0).await;
            }
        },
    );
}

#[test]
fn frames_behind_the_request_reach_the_server() {
    for_each_server(
        |builder| builder,
        async |server| {
            let app = Router::new().route("/ws", any(in_state)).with_state(server.adopter().clone());
            let front = AxumServer::start(app).await;
            let mut client = RawClient::connect(front.addr).await;
            let mut bytes = client.request("/ws").to_bytes();
            bytes.extend(client.writer.encode(&RawFrame::text("early")));
            client.send_bytes(&bytes).await;
            client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
            client.expect_text("early").await;
            close_normally(client).await;
        },
    );
}

#[test]
fn requests_are_refused_by_the_extractor_by_the_server_and_by_its_application() {
    for_each_server(
        |builder| {
            builder.max_connections(1).on_request(|request| match request.path() {
                "/ws" => Ok(()),
                _ => Err(Rejection::new(StatusCode::UNAUTHORIZED)),
            })
        },
        async |server| {
            let app = Router::new().route("/{path}", any(in_state)).with_state(server.adopter().clone());
            let front = AxumServer::start(app).await;
            for (expected, name) in
                [(426, "Upgrade"), (426, "Sec-WebSocket-Version"), (400, "Sec-WebSocket-Key")]
            {
                let mut client = RawClient::connect(front.addr).await;
                let request = client.request("/ws").without(name);
                assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), expected);
            }
            let mut client = RawClient::connect(front.addr).await;
            let request = client.request("/ws").with("Origin", "https://evil.example");
            assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 403);
            assert_eq!(status(front.addr, "/other").await, 401);
            server.wait_for_connections(0).await;
            let client = RawClient::open(front.addr, "/ws").await;
            assert_eq!(status(front.addr, "/ws").await, 503);
            echo_and_close(client).await;
        },
    );
}

#[test]
fn a_shutdown_of_the_server_sends_1001_and_axum_continues() {
    for_each_server(
        |builder| builder,
        async |server| {
            let app = Router::new().route("/ws", any(in_state)).route("/page", get(|| async { "a page" }));
            let front = AxumServer::start(app.with_state(server.adopter().clone())).await;
            let clients =
                [RawClient::open(front.addr, "/ws").await, RawClient::open(front.addr, "/ws").await];
            server.handle().start(GRACE);
            for client in clients {
                answer_close(client, 1001).await;
            }
            assert_eq!(status(front.addr, "/ws").await, 503);
            assert_eq!(status(front.addr, "/page").await, 200);
        },
    );
}

#[test]
fn what_middleware_has_found_out_reaches_the_handler_and_its_headers_reach_the_client() {
    #[derive(Clone)]
    struct User(&'static str);

    harness::run(async {
        let script = Script::new().accept(|request| {
            let User(name) = request.extensions().get().cloned().expect("from the middleware");
            request.add_response_header(header::SET_COOKIE, HeaderValue::from_static(name));
            Ok(())
        });
        let server = script.start(Server::builder()).await;
        let app = Router::new().route("/ws", any(in_state)).layer(Extension(User("user=1")));
        let front = AxumServer::start(app.with_state(server.adopter().clone())).await;
        let mut client = RawClient::connect(front.addr).await;
        let request = client.request("/ws").to_bytes();
        let head = client.upgrade_with(request).await;
        assert_eq!((head.status(), head.header("Set-Cookie")), (101, Some("user=1")));
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn the_peers_address_comes_from_axums_connect_info() {
    async fn handler(
        State(adopter): State<Adopter>,
        ConnectInfo(peer): ConnectInfo<SocketAddr>,
        ws: Adoptable,
    ) -> Response {
        ws.peer_addr(peer).adopt(&adopter).await
    }
    harness::run(async {
        let builder = Server::builder().max_connections_per_address(1);
        let server = ServerRunner::serve_with_request(builder, |mut ws, request| async move {
            let _ = ws.send(request.peer_addr().unwrap().to_string()).await;
            while ws.recv().await.is_some() {}
        })
        .await;
        let app = Router::new().route("/ws", any(handler)).with_state(server.adopter().clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let mut client = RawClient::open(addr, "/ws").await;
        let own = client.local_addr().to_string();
        client.expect_text(&own).await;
        assert_eq!(status(addr, "/ws").await, 429);
        close_normally(client).await;
        serving.abort();
        server.stop().await;
    });
}

#[test]
fn a_handler_may_also_answer_plain_requests_and_later_extractors_see_the_request() {
    async fn handler(
        State(adopter): State<Adopter>,
        ws: Result<Adoptable, BeginError>,
        again: Result<Adoptable, BeginError>,
        headers: HeaderMap,
    ) -> Response {
        assert!(headers.contains_key("host"));
        assert!(again.is_err(), "an upgrade is taken once");
        match ws {
            Ok(ws) => ws.adopt(&adopter).await,
            Err(_) => "a page".into_response(),
        }
    }
    harness::run(async {
        let mut server = Script::new().start(Server::builder()).await;
        let app = Router::new().route("/ws", any(handler)).with_state(server.adopter().clone());
        let front = AxumServer::start(app).await;
        let mut client = RawClient::connect(front.addr).await;
        let request = client.request("/ws").without("Upgrade");
        assert_eq!(client.upgrade_with(request.to_bytes()).await.status(), 200);
        let client = RawClient::open(front.addr, "/ws").await;
        server.expect(Event::Opened).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn on_a_runtime_with_several_threads_no_byte_is_lost_between_axum_and_the_shards() {
    let options = harness::Options { worker_threads: 2, ..harness::Options::default() };
    harness::run_with(options, async {
        let server = start_sharded_echo(Api::Handler, Server::builder(), 2).await;
        let app = Router::new().route("/ws", any(in_state)).with_state(server.adopter().clone());
        let front = AxumServer::start(app).await;
        let addr = front.addr;
        let clients = (0..8).map(|_| {
            tokio::spawn(async move {
                for number in 0..25 {
                    let mut client = RawClient::connect(addr).await;
                    let request = client.request("/ws").to_bytes();
                    client.send_bytes(request).await;
                    // They arrive before, during and after the handover.
                    for part in 0..4 {
                        client.send(RawFrame::text(format!("{number} {part}"))).await;
                    }
                    client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
                    for part in 0..4 {
                        client.expect_text(&format!("{number} {part}")).await;
                    }
                    close_normally(client).await;
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        // The last ones may still be closing.
        assert_eq!(server.stop().await.unclean, 0);
    });
}
