//! Upgrades that fail after the server has accepted them, and shutdowns.

use std::time::Duration;

use e2e_tests::{
    harness,
    raw_peer::RawClient,
    server::{Event, ObservedServer, Script},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use ws_server::Server;

use crate::support::{HyperServer, Once, Serve, send_request, text};

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

async fn start(timeout: Duration) -> ObservedServer {
    Script::new().start(Server::builder().handshake_timeout(timeout)).await
}

/// A front that has the server's answer, and waits before it sends it or another one. The channel tells that it waits.
async fn waiting(
    server: &ObservedServer,
    wait: oneshot::Receiver<()>,
    sends_it: bool,
) -> (HyperServer, mpsc::UnboundedReceiver<()>) {
    let (reserved, has_reserved) = mpsc::unbounded_channel();
    let (adopter, wait) = (server.adopter().clone(), Once::new(wait));
    let front = HyperServer::start(Serve::Http1, move |request| {
        let (adopter, wait, reserved) = (adopter.clone(), wait.take(), reserved.clone());
        async move {
            let answer = ws_hyper::adopt(&adopter, request).await;
            let _ = reserved.send(());
            if let Some(wait) = wait {
                let _ = wait.await;
            }
            if sends_it { answer } else { text("another response") }
        }
    })
    .await;
    (front, has_reserved)
}

#[test]
fn a_client_that_leaves_before_the_101_gives_its_place_up() {
    harness::run(async {
        let mut server = start(HOUR).await;
        let (_go, wait) = oneshot::channel();
        let (front, mut reserved) = waiting(&server, wait, true).await;
        let mut client = RawClient::connect(front.addr).await;
        send_request(&mut client).await;
        reserved.recv().await.unwrap();
        assert_eq!((server.handle().connections(), server.handle().handshakes()), (1, 1));
        client.into_connection().reset();
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn a_response_that_is_not_sent_gives_its_place_up() {
    harness::run(async {
        let mut server = start(HOUR).await;
        let (go, wait) = oneshot::channel();
        go.send(()).unwrap();
        let (front, _reserved) = waiting(&server, wait, false).await;
        let mut client = RawClient::connect(front.addr).await;
        let request = client.request("/").to_bytes();
        // hyper gives up the first upgrade at the second request.
        for _ in 0..2 {
            let head = client.upgrade_with(&request).await;
            assert_eq!(client.recv_body(&head).await, b"another response");
        }
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(1).await;
        // hyper completes the second upgrade when the connection ends. The server then sees that it has ended.
        drop(client);
        server.closed().await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn a_connection_that_is_served_without_upgrades_gives_its_place_up() {
    harness::run(async {
        let mut server = start(HOUR).await;
        let front = super::front(Serve::WithoutUpgrades, server.adopter()).await;
        let mut client = RawClient::connect(front.addr).await;
        send_request(&mut client).await;
        server.expect(Event::HandshakeFailed).await;
        server.stop().await;
    });
}

#[test]
fn an_upgrade_that_takes_longer_than_the_servers_deadline_closes_the_connection() {
    harness::run(async {
        let mut server = start(Duration::from_millis(20)).await;
        let (go, wait) = oneshot::channel();
        let (front, _reserved) = waiting(&server, wait, true).await;
        // By now the server has started all that it runs.
        server.expect_alive().await;
        server.closed().await;
        server.wait_for_connections(0).await;
        let tasks = Handle::current().metrics();
        let idle = tasks.num_alive_tasks();
        let mut client = RawClient::connect(front.addr).await;
        send_request(&mut client).await;
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(0).await;
        // The task that waited has ended. The one of hyper's connection still waits for the response.
        while tasks.num_alive_tasks() > idle + 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        go.send(()).unwrap();
        assert_eq!(client.recv_head().await.status(), 101);
        client.expect_end().await;
        server.stop().await;
    });
}

#[test]
fn a_service_that_is_dropped_while_the_application_decides_gives_the_request_up() {
    harness::run(async {
        let (asked, mut is_asked) = mpsc::unbounded_channel();
        let builder = Server::builder().handshake_timeout(HOUR).on_request_async(move |_request| {
            asked.send(()).unwrap();
            std::future::pending()
        });
        let server = Script::new().start(builder).await;
        let adopter = server.adopter().clone();
        let (dropped, was_dropped) = oneshot::channel::<()>();
        let dropped = Once::new(dropped);
        let front = HyperServer::start(Serve::Http1, move |request| {
            let (adopter, dropped) = (adopter.clone(), dropped.take());
            async move {
                let _dropped = dropped;
                ws_hyper::adopt(&adopter, request).await
            }
        })
        .await;
        let mut client = RawClient::connect(front.addr).await;
        send_request(&mut client).await;
        is_asked.recv().await.unwrap();
        client.into_connection().reset();
        assert!(was_dropped.await.is_err());
        // The request is not accepted, so nothing is reported.
        assert!(server.stop_within(Duration::ZERO).await.clean == 0);
    });
}

#[test]
fn a_place_that_was_reserved_before_a_shutdown_is_used_and_its_connection_gets_1001() {
    harness::run(async {
        let server = start(HOUR).await;
        let (go, wait) = oneshot::channel();
        let (front, mut reserved) = waiting(&server, wait, true).await;
        let mut client = RawClient::connect(front.addr).await;
        send_request(&mut client).await;
        reserved.recv().await.unwrap();
        server.handle().start(HOUR);
        go.send(()).unwrap();
        assert_eq!(client.recv_head().await.status(), 101);
        e2e_tests::server::answer_close(client, 1001).await;
        assert_eq!(server.stop().await.clean, 1);
    });
}
