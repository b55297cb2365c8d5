//! Requests that the application decides asynchronously.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use e2e_tests::{
    harness::{Options, run, run_with},
    pauses::{Pauses, within},
    server::ServerRunner,
};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::sync::Notify;
use ws_client::{Connector, error::ConnectError};
use ws_server::{Rejection, Server, ServerBuilder};

/// Decides each request asynchronously.
fn deciding(gate: &Arc<Notify>) -> ServerBuilder {
    let gate = Arc::clone(gate);
    Server::builder().on_request_async(move |mut request| {
        let gate = Arc::clone(&gate);
        async move {
            match request.path() {
                "/wait" => gate.notified().await,
                "/panic" => panic!("in the hook"),
                "/no" => return Err(Rejection::new(StatusCode::PAYMENT_REQUIRED).with_text("pay first")),
                _ => tokio::task::yield_now().await,
            }
            let user = HeaderValue::from_static("alice");
            request.add_response_header(HeaderName::from_static("x-user"), user);
            request.select_subprotocol(&["chat"]);
            Ok(request)
        }
    })
}

async fn start(builder: ServerBuilder) -> ServerRunner {
    ServerRunner::serve(builder, |mut ws| async move { while ws.recv().await.is_some() {} }).await
}

#[test]
fn an_async_decision_accepts_with_headers_and_subprotocol() {
    run(async {
        let server = start(deciding(&Arc::default())).await;
        let url = format!("ws://{}/", server.addr());
        let connected = Connector::new().subprotocol("chat").open(&url).await.unwrap();
        assert_eq!(connected.response.headers()["x-user"], "alice");
        assert_eq!(connected.ws.subprotocol(), Some("chat"));
        drop(connected);
        server.stop().await;
    });
}

#[test]
fn an_async_decision_rejects() {
    run_with(Options { allow_panics: true, ..Options::default() }, async {
        let server = start(deciding(&Arc::default())).await;
        for (path, status, body) in [("no", 402, "pay first"), ("panic", 500, "")] {
            let url = format!("ws://{}/{path}", server.addr());
            match ws_client::connect(&url).await {
                Err(ConnectError::Refused(refusal)) => {
                    assert_eq!(refusal.status().as_u16(), status);
                    assert_eq!(refusal.body(), body.as_bytes());
                }
                other => panic!("{other:?}"),
            }
        }
        server.stop().await;
    });
}

#[test]
fn other_handshakes_do_not_wait_for_a_decision() {
    run(async {
        let gate = Arc::<Notify>::default();
        let server = start(deciding(&gate)).await;
        let slow = tokio::spawn({
            let url = format!("ws://{}/wait", server.addr());
            async move { ws_client::connect(&url).await }
        });
        server.wait_for_handshakes(1).await;
        let quick = ws_client::connect(&format!("ws://{}/", server.addr())).await.unwrap();
        gate.notify_one();
        let slow = slow.await.unwrap().unwrap();
        drop((quick, slow));
        server.stop().await;
    });
}

#[test]
fn a_decision_that_takes_too_long_is_dropped() {
    run(within(Duration::from_millis(100), async |deadline| {
        let server = start(deciding(&Arc::default()).handshake_timeout(deadline)).await;
        let (start, pauses) = (Instant::now(), Pauses::begin());
        let in_time = match ws_client::connect(&format!("ws://{}/wait", server.addr())).await {
            Err(ConnectError::Refused(refusal)) => {
                assert_eq!(refusal.status().as_u16(), 408);
                assert!(start.elapsed() >= deadline, "{:?}", start.elapsed());
                true
            }
            // The server did not wait for the request any more.
            Err(ConnectError::Io(_)) => {
                pauses.assert_missed(deadline);
                false
            }
            other => panic!("{other:?}"),
        };
        server.wait_for_handshakes(0).await;
        server.stop().await;
        in_time
    }));
}
