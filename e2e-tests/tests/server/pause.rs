//! Handlers that pause: no message is lost, control frames are still handled, memory stays bounded.

use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{Event, ObservedServer, Script, close_normally};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use ws_server::{CloseCode, Message, Server};

const MIB: usize = 1024 * 1024;

/// A handler that pauses in `on_open` and resumes at a ping.
fn resumed_by_ping() -> Script {
    Script::new().on_open(|conn| conn.pause()).on_ping(|conn, _| conn.resume()).on_message(|conn, message| {
        conn.send(message).unwrap();
    })
}

async fn expect_texts(client: &mut RawClient, texts: &[&str]) {
    for text in texts {
        client.expect_text(text).await;
    }
}

async fn texts_of(server: &mut ObservedServer, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        if let Event::Message(message) = server.next().await {
            texts.push(message.as_text().unwrap().to_owned());
        }
    }
    texts
}

#[test]
fn messages_wait_until_the_handler_resumes() {
    harness::run(async {
        let mut server = resumed_by_ping().start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&["a", "b", "c", "d"].map(RawFrame::text)).await;
        client.send(RawFrame::pong("held")).await;
        server.expect(Event::Opened).await;
        // All four messages arrived before the ping, and none was delivered.
        server.expect(Event::Pong(Bytes::from("held"))).await;
        client.send(RawFrame::ping("")).await;
        server.expect(Event::Ping(Bytes::new())).await;
        expect_texts(&mut client, &["a", "b", "c", "d"]).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn one_message_at_a_time_with_the_reply_written_in_between() {
    harness::run(async {
        let busy = AtomicBool::new(false);
        let script = Script::new()
            .on_message(move |conn, message| {
                assert!(
                    !busy.swap(true, SeqCst) || conn.queued().messages == 0,
                    "a message while the last one was answered"
                );
                conn.pause();
                conn.send_message(message.into_message()).unwrap();
            })
            .on_write_complete(|conn, _| conn.resume());
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&["a", "b", "c", "d"].map(RawFrame::text)).await;
        expect_texts(&mut client, &["a", "b", "c", "d"]).await;
        let (mut events, mut messages) = (Vec::new(), 0);
        while events.len() < 9 {
            events.push(server.next().await);
        }
        for pair in events[1..].chunks(2) {
            messages += usize::from(matches!(pair, [Event::Message(_), Event::WriteComplete(_)]));
        }
        assert_eq!(messages, 4, "{events:?}");
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn held_messages_are_answered_before_the_close_behind_them() {
    harness::run(async {
        let mut server = resumed_by_ping().start(Server::builder()).await;
        let mut client = server.open().await;
        client
            .send_together(&[RawFrame::text("hello"), RawFrame::ping(""), RawFrame::close(1000, "bye")])
            .await;
        // This handler answers pings itself.
        client.expect_text("hello").await;
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        let (events, info) = server.rest_and_closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!(events.last(), Some(&Event::Message(Message::text("hello"))));
        server.stop().await;
    });
}

#[test]
fn a_close_is_seen_while_nothing_is_held() {
    harness::run(async {
        let mut server = Script::new().on_open(|conn| conn.pause()).start(Server::builder()).await;
        close_normally(server.open().await).await;
        assert!(server.closed().await.is_clean());
        server.stop().await;
    });
}

#[test]
fn a_handler_that_never_resumes_holds_a_close_up_to_the_deadline() {
    harness::run(async {
        let builder = Server::builder().close_timeout(Duration::from_millis(100));
        let mut server = Script::new().on_open(|conn| conn.pause()).start(builder).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("never read"), RawFrame::close(1000, "")]).await;
        // The close timeout has also passed by then, so the connection may end with or without an answer.
        let _ = client.try_recv_frame().await;
        server.closed().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn pings_are_answered_while_paused() {
    harness::run(async {
        let server = Script::new().on_open(|conn| conn.pause()).start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("held"), RawFrame::ping("alive?")]).await;
        client.expect_pong(b"alive?").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn pausing_and_resuming_in_a_callback_does_not_nest_callbacks() {
    harness::run(async {
        let inside = AtomicUsize::new(0);
        let script = Script::new().on_message(move |conn, message| {
            assert_eq!(inside.fetch_add(1, SeqCst), 0, "on_message inside on_message");
            conn.pause();
            conn.resume();
            if message.as_text() == Some("done") {
                conn.close(CloseCode::NORMAL, "");
            }
            inside.fetch_sub(1, SeqCst);
        });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&["one", "two", "done"].map(RawFrame::text)).await;
        client.expect_close(1000).await;
        assert_eq!(texts_of(&mut server, 3).await, ["one", "two", "done"]);
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn more_than_is_held_waits_in_the_kernel_and_arrives_in_order() {
    harness::run(async {
        let builder = Server::builder().protocol(|config| config.limits.max_held_bytes = 256);
        let mut server = resumed_by_ping().start(builder).await;
        let mut client = server.open().await;
        let text = |number: usize| format!("{number:020}");
        // The ping is in the first segment. The bytes after it exceed both the limit and one read.
        client.send(RawFrame::ping("")).await;
        server.wait_for(&Event::Ping(Bytes::new())).await;
        let frames: Vec<RawFrame> = (0..10_000).map(|number| RawFrame::text(text(number))).collect();
        client.send_together(&frames).await;
        for number in 0..10_000 {
            client.expect_text(&text(number)).await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[test]
fn a_paused_connection_holds_little_however_much_is_sent() {
    harness::run(async {
        let script = Script::new().on_open(|conn| conn.pause());
        let mut server = script.start(Server::builder()).await;
        let client = server.open().await;
        let frame = |number| client.writer.encode(&RawFrame::binary(vec![number; MIB]));
        let frames: Vec<u8> = (0..24_u8).flat_map(frame).collect();
        let before = resident();
        let (mut reader, mut writer) = client.into_connection().split();
        // The send never completes, and is aborted at the end.
        let send = tokio::spawn(async move { writer.try_send_bytes(frames).await.is_ok() });
        // A server that reads all of it would have done so by now, or would answer.
        let answer = tokio::time::timeout(Duration::from_millis(500), reader.try_recv_frame()).await;
        assert!(answer.is_err(), "{answer:?}");
        let held = resident().saturating_sub(before);
        assert!(held < 4 * MIB, "{} KiB", held / 1024);
        server.expect(Event::Opened).await;
        assert!(server.stop_within(Duration::ZERO).await.forced);
        send.await.unwrap();
    });
}

#[test]
fn a_handler_that_paused_while_the_peer_did_not_read_stays_paused() {
    harness::run(async {
        let script = Script::new()
            .on_message(|conn, message| {
                if message.as_text() == Some("huge") {
                    conn.send_binary(&vec![0; 16 * MIB][..]).unwrap();
                }
            })
            .on_pong(|conn, payload| match &payload[..] {
                b"pause" => conn.pause(),
                b"resume" => conn.resume(),
                _ => {}
            });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("huge")).await;
        client.send(RawFrame::pong("pause")).await;
        server.wait_for(&Event::Pong(Bytes::from("pause"))).await;
        client.send(RawFrame::text("held")).await;
        client.expect_binary(&vec![0; 16 * MIB]).await;
        for mark in ["one", "two"] {
            client.send(RawFrame::pong(mark)).await;
            server.expect(Event::Pong(Bytes::from(mark))).await;
        }
        client.send(RawFrame::pong("resume")).await;
        server.expect(Event::Pong(Bytes::from("resume"))).await;
        server.expect(Event::Message(Message::text("held"))).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn resuming_while_the_peer_does_not_read_delivers_nothing_yet() {
    harness::run(async {
        let script = Script::new()
            .on_message(|conn, message| {
                if message.as_text() == Some("huge") {
                    conn.send_binary(vec![0; 16 * MIB]).unwrap();
                }
            })
            .on_pong(|conn, _| {
                conn.pause();
                conn.resume();
            });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("huge")).await;
        client.send(RawFrame::pong("1")).await;
        server.wait_for(&Event::Pong(Bytes::from("1"))).await;
        client.send_together(&[RawFrame::text("held"), RawFrame::pong("2")]).await;
        server.expect(Event::Pong(Bytes::from("2"))).await;
        client.send(RawFrame::pong("3")).await;
        server.expect(Event::Pong(Bytes::from("3"))).await;
        client.expect_binary(&vec![0; 16 * MIB]).await;
        server.wait_for(&Event::Message(Message::text("held"))).await;
        close_normally(client).await;
        server.stop().await;
    });
}
