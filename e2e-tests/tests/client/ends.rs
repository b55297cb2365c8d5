//! A server that disappears, in each state: the client sees one end, and neither hangs nor reports a protocol error.

use std::io::ErrorKind;

use e2e_tests::raw_peer::{RawFrame, RawServer, Side};
use ws_client::{
    ClientStream, CloseCode, Message, WebSocket,
    error::{ConnectionError, SendError},
};

use crate::support::{drain, open, open_with, run, soon, with_short_close};

/// The state of the server.
const BEFORE: [&str; 6] =
    ["nothing", "a message", "half a header", "half a frame", "half a message", "a ping"];

async fn prepare(server: &mut RawServer, state: &str) {
    let frame = RawFrame::text("complete").encode(Side::Server);
    match state {
        "a message" => server.send_bytes(&frame).await,
        "half a header" => server.send_bytes(&frame[..1]).await,
        "half a frame" => server.send_bytes(&frame[..5]).await,
        "half a message" => server.send(RawFrame::text("half").not_final()).await,
        "a ping" => server.send(RawFrame::ping("")).await,
        _ => {}
    }
}

/// The messages before the end, and the error that the client reports.
async fn end(ws: &mut WebSocket<ClientStream>) -> (Vec<Message>, Option<ConnectionError>) {
    let (messages, info) = drain(ws).await;
    assert_eq!((info.code(), info.is_clean()), (1006, false));
    (messages, info.error)
}

fn expected_messages(state: &str) -> Vec<Message> {
    if state == "a message" { vec![Message::text("complete")] } else { vec![] }
}

#[test]
fn a_server_that_ends_tcp_without_a_close_is_a_1006() {
    run(async {
        for state in BEFORE {
            let (mut ws, mut server) = open().await;
            prepare(&mut server, state).await;
            // If it were only dropped, an unread pong would turn the end into a reset.
            server.half_close().await;
            assert_eq!(end(&mut ws).await, (expected_messages(state), Some(ConnectionError::Eof)), "{state}");
            assert_eq!(ws.send("late").await, Err(SendError::Closed(Message::text("late"))));
        }
    });
}

#[test]
fn a_reset_is_a_1006_that_says_so() {
    run(async {
        for state in BEFORE {
            let (mut ws, mut server) = open().await;
            prepare(&mut server, state).await;
            server.into_connection().reset();
            let (_, error) = end(&mut ws).await;
            // The first write after a reset fails with a broken pipe.
            let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(
                kinds.iter().any(|kind| error == Some(ConnectionError::Transport(*kind))),
                "{state}: {error:?}"
            );
        }
    });
}

#[test]
fn a_reset_while_a_large_message_is_being_sent_ends_the_send() {
    run(async {
        let (mut ws, mut server) = open().await;
        let client = tokio::spawn(async move {
            while ws.send(vec![7; 1 << 20]).await.is_ok() {}
            drain(&mut ws).await.1
        });
        server.reader.recv_bytes(100_000).await;
        server.into_connection().reset();
        let info = soon(client).await.unwrap();
        assert!(matches!(info.error, Some(ConnectionError::Transport(_))), "{info:?}");
    });
}

#[test]
fn a_server_that_ends_its_side_still_gets_what_was_sent() {
    run(async {
        let (mut ws, mut server) = open().await;
        server.send(RawFrame::text("request")).await;
        server.half_close().await;
        let client = tokio::spawn(async move {
            assert_eq!(ws.recv().await, Some(Message::text("request")));
            ws.feed(vec![7; 2 << 20]).await.unwrap();
            drain(&mut ws).await.1
        });
        server.expect_binary(&vec![7; 2 << 20]).await;
        server.expect_eof().await;
        assert_eq!(client.await.unwrap().error, Some(ConnectionError::Eof));
    });
}

#[test]
fn a_server_that_vanishes_instead_of_answering_our_close() {
    run(async {
        for reset in [false, true] {
            let (mut ws, mut server) = open().await;
            let client = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
            server.expect_close(1000).await;
            if reset {
                server.into_connection().reset();
            } else {
                drop(server);
            }
            let info = soon(client).await.unwrap();
            assert_eq!((info.code(), info.is_clean()), (1006, false));
            assert!(info.error.is_some() && info.sent.is_some());
        }
    });
}

#[test]
fn a_server_that_resets_behind_its_close_has_closed_cleanly() {
    run(async {
        let (mut ws, mut server) = open().await;
        let end = async {
            server.send(RawFrame::close(1001, "restart")).await;
            server.expect_close(1001).await;
            server.into_connection().reset();
        };
        let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
        assert_eq!((info.code(), info.is_clean(), info.error), (1001, true, None));
    });
}

#[test]
fn half_a_frame_and_then_silence_does_not_outlive_a_close() {
    run(async {
        let (mut ws, mut server) = open_with(with_short_close()).await;
        prepare(&mut server, "half a frame").await;
        assert!(!soon(ws.close(CloseCode::NORMAL, "")).await.is_clean());
    });
}

#[test]
fn messages_before_the_end_are_all_delivered_to_a_client_that_comes_late() {
    run(async {
        let (mut ws, mut server) = open().await;
        for number in 0..100 {
            server.send(RawFrame::text(number.to_string())).await;
        }
        drop(server);
        let (messages, error) = end(&mut ws).await;
        assert_eq!(messages, (0..100).map(|number| Message::text(number.to_string())).collect::<Vec<_>>());
        assert_eq!(error, Some(ConnectionError::Eof));
    });
}
