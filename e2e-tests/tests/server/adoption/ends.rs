//! Reservations and adopted connections when the server starts, shuts down or ends, and at its deadlines.

use super::{Front, expect_echo, for_each_api, status};
use e2e_tests::faults::dropped_after;
use e2e_tests::harness;
use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{RawClient, RawFrame, SAMPLE_KEY};
use e2e_tests::server::{Event, GRACE, Script, ServerRunner, answer_close, bind, counts, start_echo};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use ws_server::{
    Conn, Handler, Keepalive, MessageRef, Rejection, Request, Server,
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
        let other = server.open().await;
        let (mut client, arrived) = Front::bind().await.arrive().await;
        let (reservation, mut stream, received) = arrived.reserve(server.adopter()).await.unwrap();
        server.handle().start(GRACE);
        // By now the shutdown has reached the shard.
        answer_close(other, 1001).await;
        stream.write_all(&reservation.encode_response()).await.unwrap();
        reservation.adopt(stream, received).unwrap();
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        answer_close(client, 1001).await;
        assert_eq!(counts(server.stop().await), (2, 0, false));
    });
}

#[test]
fn a_place_that_is_not_used_ends_with_the_grace_period() {
    harness::run(async {
        let mut server = Script::new().start(Server::builder()).await;
        let (_client, arrived) = Front::bind().await.arrive().await;
        let (mut reservation, stream, received) = arrived.reserve(server.adopter()).await.unwrap();
        server.handle().start(Duration::ZERO);
        server.expect(Event::HandshakeFailed).await;
        assert!(server.stop_within(Duration::ZERO).await.forced);
        reservation.expired().await;
        let late = reservation.adopt(stream, received);
        assert!(matches!(late, Err(AdoptError::Expired)), "{late:?}");
    });
}

#[test]
fn a_place_that_is_not_used_in_time_expires() {
    harness::run(within(Duration::from_millis(50), async |deadline| {
        let mut server = Script::new().start(Server::builder().handshake_timeout(deadline)).await;
        let (mut client, arrived) = Front::bind().await.arrive().await;
        let pauses = Pauses::begin();
        // Before there is a place, the deadline ends the request.
        let Ok((mut reservation, stream, received)) = arrived.reserve(server.adopter()).await else {
            pauses.assert_missed(deadline);
            server.stop().await;
            return false;
        };
        server.expect(Event::HandshakeFailed).await;
        server.wait_for_connections(0).await;
        reservation.expired().await;
        let late = reservation.adopt(stream, received);
        assert!(matches!(late, Err(AdoptError::Expired)), "{late:?}");
        client.expect_end().await;
        server.stop().await;
        true
    }));
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

/// A handler that is nothing.
struct Idle;

impl Handler for Idle {
    type Context = Arc<()>;

    fn accept(_request: &mut Request, _context: &Arc<()>) -> Result<Self, Rejection> {
        Ok(Self)
    }

    fn on_message(&mut self, _conn: &mut Conn<'_>, _message: MessageRef<'_>) {}
}

#[test]
fn an_adopter_that_outlives_its_server_keeps_nothing_of_the_application() {
    harness::run(async {
        let context = Arc::new(());
        let server = ServerRunner::serve_handler::<Idle>(Server::builder(), Arc::clone(&context)).await;
        let (front, adopter) = (Front::bind().await, server.adopter().clone());
        answer_close_of(front.open(&adopter).await, server).await;
        assert_eq!(Arc::strong_count(&context), 1);
        assert_eq!(status(front.arrive().await.1.adopt(&adopter).await), 503);
    });
}

async fn answer_close_of(client: RawClient, server: ServerRunner) {
    let answering = tokio::spawn(answer_close(client, 1001));
    server.stop().await;
    answering.await.unwrap();
}

/// The server's future is dropped while the application decides, and while a place is reserved.
#[test]
fn a_server_that_is_cut_off_ends_what_is_reserved() {
    harness::run(async {
        let builder = Server::builder().on_request_async(|request| async {
            if request.path() == "/slow" {
                std::future::pending::<()>().await;
            }
            Ok(request)
        });
        let server = bind(builder).await;
        let (adopter, on_shards) = (server.adopter(), harness::on_shards());
        let running = tokio::spawn(async move {
            match on_shards {
                true => drop(server.sharded(1).serve_handler::<Idle>(Arc::default()).await),
                false => drop(server.serve_handler::<Idle>(Arc::default()).await),
            }
        });
        let front = Front::bind().await;
        let (mut client, arrived) = front.arrive().await;
        let (reservation, stream, received) = arrived.reserve(&adopter).await.unwrap();
        let (_slow, mut arrived) = front.arrive().await;
        *arrived.request.uri_mut() = http::Uri::from_static("/slow");
        let asking = tokio::spawn({
            let adopter = adopter.clone();
            async move { arrived.adopt(&adopter).await }
        });
        tokio::task::yield_now().await;
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
        let refused = asking.await.unwrap();
        assert!(matches!(refused, Err(ReserveError::ShuttingDown)), "{refused:?}");
        // The server takes it or not, depending on what happened first. It is cut off in any case.
        let _ = reservation.adopt(stream, received);
        client.expect_end().await;
    });
}
