//! The closing handshake, started by the server or by the client.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{
    Event, ObservedServer, Script, ServerRunner, answer_close, close_normally, echo_test, patient,
};
use std::time::{Duration, Instant};
use ws_server::{
    CloseCode, Message, Server, ServerBuilder,
    close::Initiator,
    error::{ConnectionError, SendError, TimedOut},
};

const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// More than the kernel buffers for a peer that does not read.
const LARGE: usize = 8 << 20;

fn with_short_close_timeout() -> ServerBuilder {
    Server::builder().close_timeout(CLOSE_TIMEOUT)
}

/// Echoes the first message, then closes.
async fn once(builder: ServerBuilder) -> ObservedServer {
    let script = Script::new().on_message(|conn, message| {
        conn.send(message).unwrap();
        conn.close(CloseCode::NORMAL, "enough");
    });
    script.start(builder).await
}

/// As [`once`], with an async function.
async fn once_async(builder: ServerBuilder) -> ServerRunner {
    let serve = |mut ws: ws_server::WebSocket<_>| async move {
        let message = ws.recv().await.unwrap();
        ws.send(message).await.unwrap();
        ws.close(CloseCode::NORMAL, "enough").await;
    };
    ServerRunner::serve(builder, serve).await
}

async fn expect_echo_and_close(client: &mut RawClient) {
    client.send(RawFrame::text("hello")).await;
    client.expect_text("hello").await;
    assert_eq!(client.expect_close(1000).await, "enough");
}

#[test]
fn the_server_closes_tcp_first() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        client.expect_close(1000).await;
        // This end is still open.
        client.expect_eof().await;
        client.half_close().await;
        server.wait_for_connections(0).await;
    });
}

#[test]
fn our_close_waits_for_the_peers() {
    harness::run(async {
        let mut server = once(Server::builder()).await;
        let mut client = server.open().await;
        expect_echo_and_close(&mut client).await;
        client.send(RawFrame::close(4000, "me too")).await;
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!((info.initiator, info.code(), info.reason()), (Initiator::Local, 4000, "me too"));
        server.stop().await;
    });
}

#[test]
fn our_close_from_an_async_function_waits_for_the_peers() {
    harness::run(async {
        let server = once_async(Server::builder()).await;
        let mut client = server.open().await;
        expect_echo_and_close(&mut client).await;
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_peer_that_never_answers_our_close_is_left_at_the_deadline() {
    harness::run(async {
        let mut server = once(with_short_close_timeout()).await;
        let mut client = server.open().await;
        let start = Instant::now();
        expect_echo_and_close(&mut client).await;
        client.expect_eof().await;
        assert!(start.elapsed() >= CLOSE_TIMEOUT / 2, "{:?}", start.elapsed());
        let info = server.closed().await;
        assert_eq!(info.error, Some(ConnectionError::TimedOut(TimedOut::Close)));
        assert_eq!((info.received, info.initiator), (None, Initiator::Local));
        server.stop().await;
    });
}

#[test]
fn a_peer_that_never_answers_an_async_close_is_left_at_the_deadline() {
    harness::run(async {
        let server = once_async(with_short_close_timeout()).await;
        let mut client = server.open().await;
        expect_echo_and_close(&mut client).await;
        client.expect_eof().await;
        server.stop().await;
    });
}

#[test]
fn a_peer_that_talks_on_is_left_at_the_deadline_too() {
    harness::run(async {
        let mut server = once(with_short_close_timeout()).await;
        let mut client = server.open().await;
        expect_echo_and_close(&mut client).await;
        // All data after our Close is discarded.
        while client.writer.try_send_bytes([0x82, 0x80, 0, 0, 0, 0]).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let (events, info) = server.rest_and_closed().await;
        assert_eq!(events, [Event::Opened, Event::Message(Message::text("hello"))]);
        assert_eq!(info.error, Some(ConnectionError::TimedOut(TimedOut::Close)));
        server.stop().await;
    });
}

#[test]
fn a_peer_that_keeps_tcp_open_after_the_closing_handshake_is_left_at_the_deadline() {
    harness::run(async {
        let mut server = Script::new().start(with_short_close_timeout()).await;
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        client.expect_close(1000).await;
        client.expect_eof().await;
        // The closing handshake was completed, so this is a clean end.
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        server.stop().await;
    });
}

#[test]
fn ping_and_close_in_on_open_arrive_in_order() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.ping(b"hello").unwrap();
            conn.close(CloseCode::NORMAL, "");
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(b"hello").await;
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

#[test]
fn a_second_close_from_the_peer_changes_nothing() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::close(1000, "first"), RawFrame::close(1001, "second")]).await;
        assert_eq!(client.expect_close(1000).await, "first");
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!((info.code(), info.reason()), (1000, "first"));
    });
}

#[test]
fn closing_twice_sends_one_close() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.close(CloseCode::NORMAL, "first");
            conn.close(CloseCode::GOING_AWAY, "second");
        });
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        assert_eq!(client.expect_close(1000).await, "first");
        client.send(RawFrame::close(1000, "")).await;
        client.expect_eof().await;
        drop(client);
        assert!(server.closed().await.is_clean());
        server.stop().await;
    });
}

#[test]
fn closes_that_cross_are_a_clean_end() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| conn.close(CloseCode::NORMAL, "ours"));
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("close"), RawFrame::close(4001, "theirs")]).await;
        assert_eq!(client.expect_close(1000).await, "ours");
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!((info.initiator, info.code()), (Initiator::Local, 4001));
        server.stop().await;
    });
}

#[test]
fn a_peer_that_vanishes_is_an_unclean_end() {
    echo_test(async |server| {
        let client = server.open().await;
        server.expect(Event::Opened).await;
        drop(client);
        let info = server.expect_closed().await;
        assert_eq!((info.error, info.code()), (Some(ConnectionError::Eof), 1006));
        assert_eq!(info.initiator, Initiator::Remote);
    });
}

#[test]
fn a_reset_is_an_unclean_end() {
    echo_test(async |server| {
        let client = server.open().await;
        server.expect(Event::Opened).await;
        client.into_connection().reset();
        let info = server.expect_closed().await;
        assert!(matches!(info.error, Some(ConnectionError::Transport(_))), "{info:?}");
        assert_eq!(info.code(), 1006);
    });
}

#[test]
fn a_function_that_returns_closes_with_1000() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |ws| async move { drop(ws) }).await;
        let client = server.open().await;
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

#[test]
fn abort_ends_without_a_close() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| conn.abort());
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("now")).await;
        client.expect_eof().await;
        let info = server.closed().await;
        assert_eq!((info.sent, info.received, info.initiator), (None, None, Initiator::Local));
        server.stop().await;
    });
}

#[test]
fn what_was_sent_before_a_close_goes_out_first() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            for number in 0..100 {
                ws.send(format!("{number}")).await.unwrap();
            }
            ws.close(CloseCode::NORMAL, "").await;
        })
        .await;
        let mut client = server.open().await;
        for number in 0..100 {
            client.expect_text(&format!("{number}")).await;
        }
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

#[test]
fn on_close_is_the_last_callback_and_the_only_one() {
    harness::run(async {
        let server = Script::new().start(Server::builder()).await;
        close_normally(server.open().await).await;
        drop(server.open().await);
        server.wait_for_connections(0).await;
        let (_, events) = server.stop_and_drain().await;
        let closed = events.iter().filter(|event| matches!(event, Event::Closed(_))).count();
        assert_eq!((closed, events.len()), (2, 4), "{events:?}");
        assert!(matches!(events.last(), Some(Event::Closed(_))), "{events:?}");
    });
}

#[test]
fn a_ping_and_a_close_in_one_segment_get_a_pong_a_close_and_the_end() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::ping("ping"), RawFrame::close(1000, "bye")]).await;
        client.expect_pong(b"ping").await;
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        assert!(server.closed().await.is_clean());
    });
}

#[test]
fn nothing_follows_our_close() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.ping(b"ping").unwrap();
            conn.send_text("accepted before").unwrap();
            conn.close(CloseCode::NORMAL, "");
            assert!(matches!(conn.send_text("after"), Err(SendError::Closed(_))));
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(b"ping").await;
        client.expect_text("accepted before").await;
        client.expect_close(1000).await;
        // The server sends no data and no answers after its Close.
        client.send_together(&[RawFrame::text("a"), RawFrame::ping("b"), RawFrame::close(1000, "")]).await;
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn text_behind_a_close_is_not_delivered() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client
            .send_together(&[RawFrame::close(1000, ""), RawFrame::text("behind"), RawFrame::ping("")])
            .await;
        client.expect_close(1000).await;
        client.expect_eof().await;
        drop(client);
        let (events, info) = server.rest_and_closed().await;
        assert_eq!(events, [Event::Opened]);
        assert!(info.is_clean());
    });
}

#[test]
fn closes_that_cross_during_a_large_send_leave_a_complete_frame_and_our_close() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            conn.send_binary(vec![9; LARGE]).unwrap();
            conn.close(CloseCode::new(4000).unwrap(), "ours");
        });
        let mut server = script.start(patient(Server::builder())).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        server.wait_for(&Event::Message(Message::text("go"))).await;
        client.send(RawFrame::close(4001, "theirs")).await;
        client.expect_binary(&vec![9; LARGE]).await;
        assert_eq!(client.expect_close(4000).await, "ours");
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!(info.code(), 4001);
        server.stop().await;
    });
}
