//! After a failed write the connection sends nothing more, and messages that the peer sent before are still delivered.

use std::{
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_sink::Sink;
use tokio::time::Instant;
use ws_proto::{
    CloseInfo, ConnectionState, Message,
    error::{ConnectionError, SendError},
};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, open, serve};

const BROKEN: ConnectionError = ConnectionError::Transport(ErrorKind::BrokenPipe);

/// The peer sends two messages and a Close and closes its socket; writes fail.
fn peer_leaves(peer: &Peer) {
    peer.fail_writes(ErrorKind::BrokenPipe);
    peer.send_all([Frame::text("one"), Frame::text("two"), Frame::close(4001, "done")]);
    peer.end();
}

async fn drain(ws: &mut WebSocket<TestTransport>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = ws.recv().await {
        messages.push(message);
    }
    messages
}

/// The end reports the peer's Close and the failed write.
#[track_caller]
fn assert_both_reported(info: &CloseInfo) {
    assert_eq!((info.code(), info.reason()), (4001, "done"));
    assert_eq!((&info.sent, info.error, info.is_clean()), (&None, Some(BROKEN), false));
}

#[tokio::test(start_paused = true)]
async fn a_message_and_a_close_before_a_failed_write_are_delivered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer_leaves(&peer);
        ws.send("not delivered").await.unwrap();
        assert!(!ws.is_open());
        assert!(matches!(ws.send("refused").await, Err(SendError::Closed(_))));
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        assert_both_reported(&ws.close_info().unwrap());
        assert!(peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_behind_a_reply_that_fails_are_still_delivered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer_leaves(&peer);
        assert_eq!(ws.recv().await, Some(Message::text("one")));
        ws.send("a reply").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("two")]);
        assert_both_reported(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_still_receives_after_a_failed_write_of_a_sender() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let owner = Task::new();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.sender().send("not delivered").await.unwrap();
        assert!(owner.was_woken(), "the owner is woken");
        peer_leaves(&peer);
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        assert_both_reported(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_still_yields_messages_after_a_failed_write_of_the_sink() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer_leaves(&peer);
        Pin::new(&mut ws).start_send("not delivered".into()).unwrap();
        poll_fn(|cx| Pin::new(&mut ws).poll_flush(cx)).await.unwrap();
        poll_fn(|cx| Pin::new(&mut ws).poll_close(cx)).await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        assert_both_reported(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_are_still_delivered_after_a_failed_flush() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.require_flush();
        peer.fail_flushes(ErrorKind::BrokenPipe);
        peer.send_all([Frame::text("one"), Frame::text("two"), Frame::close(4001, "done")]);
        peer.end();
        ws.send("not delivered").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        assert_both_reported(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_after_a_failed_write_ends_the_connection_at_once() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        peer.send(Frame::text("one"));
        peer.fail_reads(ErrorKind::ConnectionReset);
        let started = Instant::now();
        ws.send("not delivered").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one")]);
        let info = ws.close_info().unwrap();
        assert_eq!((info.code(), info.error), (1006, Some(BROKEN)));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_gets_the_close_timeout_after_a_failed_write() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.send("not delivered").await.unwrap();
        let started = Instant::now();
        assert_eq!(ws.state(), ConnectionState::Closing);
        assert_eq!(ws.recv().await, None);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        let info = ws.close_info().unwrap();
        assert_eq!((info.code(), info.error), (1006, Some(BROKEN)));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_after_a_failed_write() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.send("not delivered").await.unwrap();
        peer.repair_writes();
        peer.send_all([Frame::ping("are you there?"), Frame::text("one"), Frame::close(4001, "done")]);
        peer.end();
        assert_eq!(drain(&mut ws).await, [Message::text("one")]);
        assert_both_reported(&ws.close_info().unwrap());
        assert_eq!(peer.received(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn under_a_server_messages_from_before_a_failed_write_are_delivered() {
    for receives_first in [true, false] {
        let got = Arc::new(Mutex::new(Vec::new()));
        let (server, peer) = serve(config(), {
            let got = Arc::clone(&got);
            async move |mut ws| {
                let first = if receives_first { ws.recv().await } else { None };
                ws.send("not delivered").await.unwrap();
                // The server's task sees the failed write first.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let rest = drain(&mut ws).await;
                got.lock().unwrap().extend(first.into_iter().chain(rest));
            }
        });
        peer_leaves(&peer);
        assert_both_reported(&server.await);
        assert_eq!(*got.lock().unwrap(), [Message::text("one"), Message::text("two")]);
    }
}
