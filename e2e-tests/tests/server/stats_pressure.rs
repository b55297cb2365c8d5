//! What a server counts of peers that do not read: refused messages, blocked writes, bytes that wait, and publications
//! that were dropped.

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Script, ServerRunner, close_normally};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::SeqCst},
};
use ws_server::{
    Message, Server, WebSocket,
    error::SendError,
    stats::ServerStats,
    topics::{SlowPolicy, SubscribeOptions, Topics},
};

const MESSAGE: usize = 100_000;
/// A frame of that length from a server.
const FRAME: u64 = 10 + MESSAGE as u64;

fn message() -> Message {
    Message::from(vec![b'x'; MESSAGE])
}

/// Checks the counters of a server whose only connection has accepted `accepted` messages and refused one, and whose
/// peer does not read.
async fn expect_pressure(server: &ServerRunner, accepted: &AtomicU64) {
    let matches = |stats: &ServerStats| {
        let (accepted, written) = (accepted.load(SeqCst), stats.sent.wire_bytes);
        // What is not encoded yet has no header.
        let least = (accepted * MESSAGE as u64).saturating_sub(written);
        let queued = least..=(accepted * FRAME).saturating_sub(written);
        stats.pressure.blocked_writes > 0 && queued.contains(&stats.pressure.queued_bytes)
    };
    let stats = server.wait_for_stats(matches).await;
    let accepted = accepted.load(SeqCst);
    assert_eq!(stats.pressure.refused_sends, 1);
    assert_eq!((stats.sent.messages, stats.sent.payload_bytes), (accepted, accepted * MESSAGE as u64));
}

/// A slow client makes the server send until its queue is full, and vanishes.
async fn rises_and_falls(server: &ServerRunner, accepted: &AtomicU64) {
    let mut client = server.open_slow().await;
    client.send(RawFrame::text("go")).await;
    expect_pressure(server, accepted).await;
    client.into_connection().reset();
    server.wait_for_connections(0).await;
    assert_eq!(server.stats().pressure.queued_bytes, 0);
}

#[test]
fn a_handler_that_sends_until_its_queue_is_full() {
    harness::run(async {
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let script = Script::new().on_message(move |conn, _| {
            while conn.send_message(message()).is_ok() {
                counter.fetch_add(1, SeqCst);
            }
        });
        let server = script.start(Server::builder().write_queue_bytes(8 << 20)).await;
        rises_and_falls(&server, &accepted).await;
        server.stop().await;
    });
}

#[test]
fn a_sender_of_a_function_that_sends_until_the_queue_is_full() {
    harness::run(async {
        let accepted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&accepted);
        let serve = move |mut ws: WebSocket<_>| {
            let counter = Arc::clone(&counter);
            async move {
                let _ = ws.recv().await;
                let sender = ws.sender();
                while sender.try_send(message()).is_ok() {
                    counter.fetch_add(1, SeqCst);
                }
                let _ = ws.recv().await;
            }
        };
        let server = ServerRunner::serve(Server::builder().write_queue_bytes(8 << 20), serve).await;
        rises_and_falls(&server, &accepted).await;
        server.stop().await;
    });
}

#[test]
fn a_sender_of_a_handler_counts_what_its_mailbox_refuses() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            let sender = conn.sender();
            let mut accepted = 0_u64;
            loop {
                match sender.try_send(message()) {
                    Ok(()) => accepted += 1,
                    Err(SendError::Full(_)) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            conn.send_text(accepted.to_string()).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        let accepted: u64 = String::from_utf8(client.recv_frame().await.payload).unwrap().parse().unwrap();
        for _ in 0..accepted {
            assert_eq!(client.recv_frame().await.payload.len(), MESSAGE);
        }
        let stats = server.wait_for_stats(|stats| stats.sent.messages == accepted + 1).await;
        assert_eq!(stats.pressure.refused_sends, 1);
        drop(client);
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn publications_that_a_slow_member_does_not_get_are_counted() {
    harness::run(async {
        let members = Arc::new(Mutex::new(Vec::new()));
        let joined = Arc::clone(&members);
        let script = Script::new().on_message(move |conn, _| {
            let member = conn.member().unwrap();
            let options = SubscribeOptions::new().slow(SlowPolicy::drop_newest().max_messages(1));
            member.subscribe_with("prices", options).unwrap();
            joined.lock().unwrap().push((conn.topics().clone(), member));
            conn.send_text("ready").unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open_slow().await;
        client.send(RawFrame::text("go")).await;
        client.expect_text("ready").await;
        let (topics, member) = members.lock().unwrap().pop().unwrap();
        // The peer does not read, so from some moment on publications are dropped.
        for _ in 0..200 {
            // While the shard is behind, there may be no room.
            let _ = topics.publish("prices", message());
            tokio::task::yield_now().await;
        }
        let missed = member.missed();
        assert!(missed > 0);
        assert_eq!(server.stats().pressure.dropped_publications, missed);
        client.into_connection().reset();
        server.wait_for_connections(0).await;
        assert!(server.stats().pressure.dropped_publications >= missed);
        server.stop().await;
    });
}

#[test]
fn publications_are_messages_sent() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            conn.subscribe("news").unwrap();
            conn.send_text("ready").unwrap();
        });
        let topics = Topics::new();
        let server = script.start(Server::builder().topics(topics.clone())).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        client.expect_text("ready").await;
        for _ in 0..3 {
            topics.publish("news", "hello").unwrap();
            client.expect_text("hello").await;
        }
        let stats = server.wait_for_stats(|stats| stats.sent.messages >= 4).await;
        assert_eq!((stats.sent.messages, stats.sent.payload_bytes), (4, 20));
        assert_eq!(stats.sent.wire_bytes, 28);
        close_normally(client).await;
        server.stop().await;
    });
}
