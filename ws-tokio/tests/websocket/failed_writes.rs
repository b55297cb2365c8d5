//! After a failed write the connection sends no more, and what the peer sent before it left is still delivered.

use std::{
    future::poll_fn,
    io::ErrorKind,
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_sink::Sink;
use tokio::time::Instant;
use ws_proto::{CloseInfo, ConnectionError, ConnectionState, Message, SendError};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Script, Task, config, open, serve};

const BROKEN: ConnectionError = ConnectionError::Transport(ErrorKind::BrokenPipe);

/// The peer sends two messages and a Close, closes its socket, and what is written to it fails.
fn leaves(peer: &Peer) {
    peer.fail_writes(ErrorKind::BrokenPipe);
    peer.send_all([Frame::text("one"), Frame::text("two"), Frame::close(4001, "done")]);
    peer.end();
}

async fn drain(ws: &mut WebSocket<Script>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(message) = ws.recv().await {
        messages.push(message);
    }
    messages
}

/// The peer's Close is told, and that ours could not be sent.
#[track_caller]
fn tells_both(info: &CloseInfo) {
    assert_eq!((info.code(), info.reason()), (4001, "done"));
    assert_eq!((&info.sent, info.error, info.is_clean()), (&None, Some(BROKEN), false));
}

#[tokio::test(start_paused = true)]
async fn a_message_and_a_close_before_a_failed_write_are_delivered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        leaves(&peer);
        ws.send("nobody reads this").await.unwrap();
        assert!(!ws.is_open());
        assert!(matches!(ws.send("nor this").await, Err(SendError::InvalidState(_))));
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        tells_both(&ws.close_info().unwrap());
        assert!(peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_fails_takes_nothing_from_the_messages_behind() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        leaves(&peer);
        assert_eq!(ws.recv().await, Some(Message::text("one")));
        ws.send("a reply").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("two")]);
        tells_both(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_senders_failed_write_takes_nothing_from_the_owner() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let owner = Task::new();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.sender().send("nobody reads this").await.unwrap();
        assert!(owner.was_woken(), "the owner learns of it");
        leaves(&peer);
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        tells_both(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_sinks_failed_write_takes_nothing_from_the_stream() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        leaves(&peer);
        Pin::new(&mut ws).start_send("nobody reads this".into()).unwrap();
        poll_fn(|cx| Pin::new(&mut ws).poll_flush(cx)).await.unwrap();
        poll_fn(|cx| Pin::new(&mut ws).poll_close(cx)).await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        tells_both(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_flush_takes_nothing_either() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.require_flush();
        peer.fail_flushes(ErrorKind::BrokenPipe);
        peer.send_all([Frame::text("one"), Frame::text("two"), Frame::close(4001, "done")]);
        peer.end();
        ws.send("nobody reads this").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one"), Message::text("two")]);
        tells_both(&ws.close_info().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_ends_what_a_failed_write_has_begun() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        peer.send(Frame::text("one"));
        peer.fail_reads(ErrorKind::ConnectionReset);
        let started = Instant::now();
        ws.send("nobody reads this").await.unwrap();
        assert_eq!(drain(&mut ws).await, [Message::text("one")]);
        let info = ws.close_info().unwrap();
        assert_eq!((info.code(), info.error), (1006, Some(BROKEN)));
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_after_a_failed_write_has_the_close_timeout() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.send("nobody reads this").await.unwrap();
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
        ws.send("nobody reads this").await.unwrap();
        peer.heal_writes();
        peer.send_all([Frame::ping("are you there?"), Frame::text("one"), Frame::close(4001, "done")]);
        peer.end();
        assert_eq!(drain(&mut ws).await, [Message::text("one")]);
        tells_both(&ws.close_info().unwrap());
        assert_eq!(peer.received(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_application_gets_what_came_before_a_failed_write() {
    for receives_first in [true, false] {
        let got = Arc::new(Mutex::new(Vec::new()));
        let (server, peer) = serve(config(), {
            let got = Arc::clone(&got);
            async move |mut ws| {
                let first = if receives_first { ws.recv().await } else { None };
                ws.send("nobody reads this").await.unwrap();
                // The server's task meets the failed write first.
                tokio::time::sleep(Duration::from_secs(1)).await;
                let rest = drain(&mut ws).await;
                got.lock().unwrap().extend(first.into_iter().chain(rest));
            }
        });
        leaves(&peer);
        tells_both(&server.await);
        assert_eq!(*got.lock().unwrap(), [Message::text("one"), Message::text("two")]);
    }
}
