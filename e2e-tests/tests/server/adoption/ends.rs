//! Reservations and adopted connections when the server starts, shuts down or ends, and at its deadlines.

use super::{Front, expect_echo, for_each_api, status};
use e2e_tests::faults::dropped_after;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, SAMPLE_KEY};
use e2e_tests::server::{Event, GRACE, Script, ServerRunner, answer_close, bind, counts, start_echo};
use std::time::Duration;
use ws_server::{
    Keepalive, Server,
    error::{AdoptError, ReserveError},
};

#[test]
fn a_shutdown_closes_adopted_connections_with_1001_and_counts_them() {
    for_each_api(async |api| {
        let server = start_echo(api, Server::builder()).await;
        let front = Front::bind().await;
        let adopter = server.adopter();
        let clients = [front.open(adopter).await, front.open(adopter).await, server.open().await];
        let clients = clients.map(|client| tokio::spawn(answer_close(client, 1001)));
        assert_eq!(counts(server.stop().await), (3, 0, false));
        for client in clients {
            client.await.unwrap();
        }
    });
}

#[test]
fn once_a_shutdown_has_begun_nothing_is_reserved() {
    for_each_api(async |api| {
        let server = start_echo(api, Server::builder()).await;
        let (front, adopter) = (Front::bind().await, server.adopter().clone());
        // It keeps the server from ending.
        let client = front.open(&adopter).await;
        server.handle().start(GRACE);
        let refused = front.arrive().await.1.adopt(&adopter).await;
        assert!(matches!(refused, Err(ReserveError::ShuttingDown)), "{refused:?}");
        assert_eq!(refused.unwrap_err().to_string(), "the server is shutting down or has ended");
        assert_eq!(status(front.arrive().await.1.adopt(&adopter).await), 503);
        answer_close(client, 1001).await;
        assert_eq!(counts(server.stop().await), (1, 0, false));
        let ended = front.arrive().await.1.adopt(&adopter).await;
        assert!(matches!(ended, Err(ReserveError::ShuttingDown)), "{ended:?}");
    });
}

#[test]
fn a_place_that_was_reserved_before_a_shutdown_is_used_and_its_connection_gets_1001() {
    for_each_api(async |api| {
        let server = start_echo(api, Server::builder()).await;
        let (client, arrived) = Front::bind().await.arrive().await;
        let (reservation, mut stream, received) = arrived.reserve(server.adopter()).await.unwrap();
        server.handle().start(GRACE);
        tokio::io::AsyncWriteExt::write_all(&mut stream, &reservation.encode_response()).await.unwrap();
        reservation.adopt(stream, received).unwrap();
        let mut client = client;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        answer_close(client, 1001).await;
        assert_eq!(counts(server.stop().await), (1, 0, false));
    });
}

#[test]
fn a_place_that_is_not_used_ends_with_the_grace_period() {
    harness::run(async {
        let mut server = Script::new().start(Server::builder()).await;
        let (_client, arrived) = Front::bind().await.arrive().await;
        let (reservation, stream, received) = arrived.reserve(server.adopter()).await.unwrap();
        server.handle().start(Duration::ZERO);
        server.expect(Event::HandshakeFailed).await;
        assert!(server.stop_within(Duration::ZERO).await.forced);
        let late = reservation.adopt(stream, received);
        assert!(matches!(late, Err(AdoptError::Expired)), "{late:?}");
    });
}

#[test]
fn a_place_that_is_not_used_in_time_expires() {
    harness::run(async {
        let mut server =
            Script::new().start(Server::builder().handshake_timeout(Duration::from_millis(50))).await;
        let (mut client, arrived) = Front::bind().await.arrive().await;
        let (reservation, stream, received) = arrived.reserve(server.adopter()).await.unwrap();
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(0).await;
        let late = reservation.adopt(stream, received);
        assert!(matches!(late, Err(AdoptError::Expired)), "{late:?}");
        client.expect_end().await;
        server.stop().await;
    });
}

#[test]
fn a_hook_that_does_not_decide_in_time_is_answered_with_408() {
    for_each_api(async |api| {
        let builder = Server::builder().handshake_timeout(Duration::from_millis(50));
        let server = start_echo(api, builder.on_request_async(|_| std::future::pending())).await;
        assert_eq!(status(Front::bind().await.arrive().await.1.adopt(server.adopter()).await), 408);
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn a_request_that_comes_before_the_server_runs_waits_for_it() {
    harness::run(async {
        let front = Front::bind().await;
        let server = bind(Server::builder()).await;
        let adopter = server.adopter();
        let (mut client, arrived) = front.arrive().await;
        assert!(
            dropped_after(1, adopter.reserve(front.arrive().await.1.request)).await.is_none(),
            "it waits"
        );
        let adopting = tokio::spawn(async move { arrived.adopt(&adopter).await });
        let on_shards = harness::on_shards();
        let server = ServerRunner::start(server, move |server| async move {
            let serve = |mut ws: ws_server::WebSocket<ws_server::ServerStream>, _request| async move {
                while let Some(message) = ws.recv().await {
                    let _ = ws.send(message).await;
                }
            };
            if on_shards { server.sharded(1).serve(serve).await } else { Ok(server.serve(serve).await) }
        });
        adopting.await.unwrap().unwrap();
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        expect_echo(&mut client, "hello").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_server_that_is_dropped_refuses_what_waits_for_it() {
    harness::run(async {
        let server = Server::builder().without_listener().unwrap();
        let adopter = server.adopter();
        let (_client, arrived) = Front::bind().await.arrive().await;
        let waiting = tokio::spawn(async move { arrived.adopt(&adopter).await });
        tokio::task::yield_now().await;
        drop(server);
        let refused = waiting.await.unwrap();
        assert!(matches!(refused, Err(ReserveError::ShuttingDown)), "{refused:?}");
    });
}

#[test]
fn keepalive_and_the_idle_timeout_apply_to_adopted_connections() {
    for_each_api(async |api| {
        let keepalive = Keepalive::new(Duration::from_millis(50), Duration::from_secs(60));
        let server = start_echo(api, Server::builder().keepalive(keepalive)).await;
        let mut client = Front::bind().await.open(server.adopter()).await;
        client.expect_ping(b"").await;
        client.send(RawFrame::pong("")).await;
        drop(client);
        server.stop().await;
        let server = start_echo(api, Server::builder().idle_timeout(Duration::from_millis(50))).await;
        answer_close(Front::bind().await.open(server.adopter()).await, 1001).await;
        server.stop().await;
    });
}
