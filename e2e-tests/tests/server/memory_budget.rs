//! The memory budget of all connections of a server.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Api, Event, ObservedServer, Script, ServerRunner, close_normally, start_echo};
use std::time::Duration;
use ws_server::{
    Server, ServerBuilder,
    error::{ConnectionError, SendError},
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const BUDGET: usize = 8 * MIB;

fn narrow() -> ServerBuilder {
    Server::builder().max_message_size(MIB).memory_budget(Some(BUDGET))
}

async fn settles(server: &ServerRunner, what: &str, holds: impl Fn(usize) -> bool) {
    let look = async {
        while !holds(server.handle().memory_used()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let seen = tokio::time::timeout(e2e_tests::raw_peer::DEADLINE, look).await;
    assert!(seen.is_ok(), "{what}: {} bytes are used", server.handle().memory_used());
}

async fn begins_a_message(server: &ObservedServer) -> RawClient {
    let mut client = server.open().await;
    client.send(RawFrame::binary(vec![0; 800 * KIB]).not_final()).await;
    client
}

#[test]
fn a_connection_that_would_exceed_it_gets_1013_and_others_are_served() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, narrow()).await;
            let mut small = server.open().await;
            let mut holders = Vec::new();
            for _ in 0..4 {
                holders.push(begins_a_message(&server).await);
                let expected = holders.len() * 800 * KIB;
                settles(&server, "begun messages", |held| held >= expected).await;
            }
            let mut greedy = Vec::new();
            for _ in 0..6 {
                greedy.push(begins_a_message(&server).await);
            }
            let mut refused = 0;
            for client in &mut greedy {
                // The server sends its Close, or waits for the rest of the message.
                client.send(RawFrame::ping("?")).await;
                let frame = client.recv_frame().await;
                refused += usize::from(matches!(frame.close_code(), Some((1013, _))));
            }
            assert!(refused >= 1, "{refused} of 6");
            assert!(server.handle().memory_used() <= BUDGET);
            small.send(RawFrame::text("still served")).await;
            small.expect_text("still served").await;
            drop((greedy, holders));
            settles(&server, "all have gone", |held| held == 0).await;
            let mut large = server.open().await;
            large.send(RawFrame::binary(vec![7; MIB])).await;
            large.expect_binary(&vec![7; MIB]).await;
            close_normally(large).await;
            close_normally(small).await;
            let (_, events) = server.stop_and_drain().await;
            let told = events.iter().filter(|event| match event {
                Event::Closed(info) => info.error == Some(ConnectionError::MemoryBudget),
                _ => false,
            });
            assert_eq!(told.count(), refused, "the application sees each of these ends");
        }
    });
}

#[test]
fn an_application_that_only_receives_is_charged_for_nothing_once_it_has_received() {
    harness::run(async {
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let builder = narrow().keepalive(None);
        let server = ServerRunner::serve(builder, move |mut ws| {
            let sender = sender.clone();
            async move {
                while let Some(message) = ws.recv().await {
                    sender.send(message.len()).unwrap();
                }
            }
        })
        .await;
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = server.open().await;
            client.send(RawFrame::binary(vec![0; 900 * KIB])).await;
            assert_eq!(received.recv().await, Some(900 * KIB));
            clients.push(client);
        }
        settles(&server, "received messages", |held| held == 0).await;
        drop(clients);
        server.stop().await;
    });
}

#[test]
fn answers_that_a_peer_does_not_read_count() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, narrow()).await;
            let (reader, mut writer) = server.open_slow().await.into_connection().split();
            // More than the kernel buffers.
            let sending = tokio::spawn(async move {
                let frame = writer.encode(&RawFrame::binary(vec![7; MIB]));
                loop {
                    writer.send_bytes(&frame).await;
                }
            });
            settles(&server, "what waits", |held| held >= 200 * KIB).await;
            sending.abort();
            drop((reader, sending.await));
            settles(&server, "all have gone", |held| held == 0).await;
            server.stop().await;
        }
    });
}

#[test]
fn what_slow_readers_let_wait_counts_wherever_it_waits() {
    harness::run(async {
        let (sender, mut senders) = tokio::sync::mpsc::unbounded_channel();
        let script = Script::new().on_open(move |conn| sender.send(conn.sender()).unwrap());
        // Its own limits would let a connection queue 64 MiB twice.
        let server = script.start(narrow().write_queue_messages(1000).write_queue_bytes(64 * MIB)).await;
        let mut accepted = 0;
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(server.open_slow().await);
            let outlet = senders.recv().await.unwrap();
            loop {
                match outlet.try_send(vec![0_u8; 256 * KIB]) {
                    Ok(()) => accepted += 1,
                    Err(SendError::Full(_)) => break,
                    Err(error) => panic!("{error}"),
                }
                tokio::task::yield_now().await;
            }
        }
        let (held, sent) = (server.handle().memory_used(), accepted * 256 * KIB);
        // One more each for the mailbox and the queue, which accept a message of any size when they are empty.
        assert!(held <= BUDGET + 8 * 256 * KIB, "{held} of {sent}");
        assert!(accepted >= 10, "{accepted}");
        drop(clients);
        settles(&server, "all have gone", |held| held == 0).await;
        server.stop().await;
    });
}
