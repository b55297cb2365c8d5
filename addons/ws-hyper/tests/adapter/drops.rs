//! What happens if a request, a response, or a future is dropped, or the client leaves, at each stage.

use std::time::Duration;

use e2e_tests::{harness, raw_peer::RawClient};
use tokio::sync::{mpsc, oneshot};
use ws_hyper::{Upgrader, error::UpgradeError};

use crate::support::{ALL, HyperServer, Once, Serve, echo, send_request, text};

const HOUR: Duration = Duration::from_secs(3600);

/// A server that accepts a request and passes on why the upgrade failed. `wait` delays the response.
async fn failing(
    upgrader: Upgrader,
    serve: Serve,
    wait: oneshot::Receiver<()>,
    sends_it: bool,
) -> (HyperServer, mpsc::UnboundedReceiver<UpgradeError>, mpsc::UnboundedReceiver<()>) {
    let (failed, has_failed) = mpsc::unbounded_channel();
    let (begun, has_begun) = mpsc::unbounded_channel();
    let wait = Once::new(wait);
    let server = HyperServer::start(serve, move |mut request| {
        let failed = failed.clone();
        let upgrade = upgrader.begin(&mut request).unwrap();
        let upgrade = upgrade.on_failed_upgrade(move |error| {
            let _ = failed.send(error);
        });
        let answer = upgrade.on_upgrade(echo).unwrap();
        let _ = begun.send(());
        let wait = wait.take();
        async move {
            if let Some(wait) = wait {
                let _ = wait.await;
            }
            if sends_it { answer } else { text("another response") }
        }
    })
    .await;
    (server, has_failed, has_begun)
}

#[test]
fn a_response_that_is_not_sent_fails_the_upgrade() {
    harness::run(async {
        let (go, wait) = oneshot::channel();
        let (server, mut failed, _begun) = failing(Upgrader::default(), Serve::Http1, wait, false).await;
        go.send(()).unwrap();
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/").to_bytes();
        // hyper gives up the first upgrade at the second request.
        for _ in 0..2 {
            let head = client.upgrade_with(&request).await;
            assert_eq!(client.recv_body(&head).await, b"another response");
        }
        assert!(matches!(failed.recv().await, Some(UpgradeError::Hyper(_))));
    });
}

#[test]
fn a_client_that_leaves_before_the_101_fails_the_upgrade() {
    harness::run(async {
        let upgrader = Upgrader::default().upgrade_timeout(HOUR);
        let (_go, wait) = oneshot::channel();
        let (server, mut failed, mut begun) = failing(upgrader.clone(), Serve::Http1, wait, true).await;
        let mut client = RawClient::connect(server.addr).await;
        send_request(&mut client).await;
        begun.recv().await.unwrap();
        assert_eq!(upgrader.connections(), 1);
        client.into_connection().reset();
        assert!(matches!(failed.recv().await, Some(UpgradeError::Hyper(_))));
    });
}

#[test]
fn an_upgrade_that_takes_too_long_fails_and_closes_the_connection() {
    harness::run(async {
        let upgrader = Upgrader::default().upgrade_timeout(Duration::from_millis(20));
        let (go, wait) = oneshot::channel();
        let (server, mut failed, _begun) = failing(upgrader.clone(), Serve::Http1, wait, true).await;
        let mut client = RawClient::connect(server.addr).await;
        send_request(&mut client).await;
        assert!(matches!(failed.recv().await, Some(UpgradeError::TimedOut)));
        go.send(()).unwrap();
        assert_eq!(client.recv_head().await.status(), 101);
        client.expect_end().await;
        assert_eq!(upgrader.connections(), 0);
    });
}

#[test]
fn a_connection_that_is_served_without_upgrades_fails_the_upgrade() {
    harness::run(async {
        let (go, wait) = oneshot::channel();
        let (server, mut failed, _begun) =
            failing(Upgrader::default(), Serve::WithoutUpgrades, wait, true).await;
        go.send(()).unwrap();
        let mut client = RawClient::connect(server.addr).await;
        send_request(&mut client).await;
        assert!(matches!(failed.recv().await, Some(UpgradeError::Hyper(_))));
    });
}

#[test]
fn a_future_of_a_websocket_that_is_dropped_closes_the_connection() {
    harness::run(async {
        let upgrader = Upgrader::default();
        let shared = upgrader.clone();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let accepted = shared.begin(&mut request).unwrap().accept().unwrap();
            drop(accepted.socket);
            async { accepted.response }
        })
        .await;
        let mut client = RawClient::open(server.addr, "/").await;
        client.expect_end().await;
        assert_eq!(upgrader.connections(), 0);
    });
}

#[test]
fn a_callback_that_panics_harms_nothing() {
    let options = harness::Options { allow_panics: true, ..harness::Options::default() };
    harness::run_with(options, async {
        let upgrader = Upgrader::default().upgrade_timeout(Duration::from_millis(20));
        let shared = upgrader.clone();
        let server = HyperServer::start(Serve::Http1, move |mut request| {
            let upgrade = shared.begin(&mut request).unwrap();
            let upgrade = upgrade.on_failed_upgrade(|_| panic!("as the test wants"));
            drop(upgrade.on_upgrade::<(), _, _>(echo).unwrap());
            async { text("another response") }
        })
        .await;
        let mut client = RawClient::connect(server.addr).await;
        let request = client.request("/").to_bytes();
        assert_eq!(client.upgrade_with(request).await.status(), 200);
        upgrader.shutdown(HOUR).await;
    });
}

#[test]
fn an_open_connection_keeps_nothing_of_its_upgrade() {
    for serve in ALL {
        harness::run(async move {
            let (in_callback, callback_is_dropped) = oneshot::channel::<()>();
            let callback = Once::new(in_callback);
            let server = HyperServer::start(serve, move |mut request| {
                let callback = callback.take();
                let upgrade = Upgrader::default().begin(&mut request).unwrap();
                let upgrade = upgrade.on_failed_upgrade(move |_| drop(callback));
                let answer = upgrade.on_upgrade(echo).unwrap();
                async { answer }
            })
            .await;
            let _client = RawClient::open(server.addr, "/").await;
            assert!(callback_is_dropped.await.is_err());
        });
    }
}
