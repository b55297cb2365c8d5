//! What the peer sends between our Close and its own is delivered, unless the application says that it does not want it.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_sink::Sink;
use tokio::time::Instant;
use ws_proto::{CloseCode, Config, Message, TimedOut};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Script, Task, config, open, open_with, serve, text};

const ANSWERS: usize = 100;

fn answers() -> Vec<String> {
    (0..ANSWERS).map(|number| text(number, 20)).collect()
}

/// The peer sends all its answers, then its Close.
fn answers_and_closes(peer: &Peer) {
    peer.send_all(answers().into_iter().map(Frame::text));
    peer.send(Frame::close(1000, ""));
    peer.end();
}

async fn gets_all_answers(ws: &mut WebSocket<Script>) {
    for answer in answers() {
        assert_eq!(ws.recv().await, Some(Message::from(answer)));
    }
    assert_eq!(ws.recv().await, None);
}

async fn close_sink(ws: &mut WebSocket<Script>) {
    poll_fn(|cx| Pin::new(&mut *ws).poll_close(cx)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_a_senders_close_is_delivered_until_the_peers() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.sender().close(CloseCode::NORMAL, "enough");
        answers_and_closes(&peer);
        gets_all_answers(&mut ws).await;
        assert!(ws.close_info().unwrap().is_clean());
        assert_eq!(peer.received(), [Frame::close(1000, "enough")]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_after_the_sinks_close_is_delivered_until_the_peers() {
    for role in ROLES {
        for before in [true, false] {
            let (mut ws, peer) = open(role);
            if before {
                answers_and_closes(&peer);
                close_sink(&mut ws).await;
            } else {
                let task = Task::new();
                assert!(Pin::new(&mut ws).poll_close(&mut task.cx()).is_pending());
                answers_and_closes(&peer);
                assert!(task.was_woken());
                close_sink(&mut ws).await;
            }
            gets_all_answers(&mut ws).await;
            assert!(ws.close_info().unwrap().is_clean());
            assert_eq!(peer.received(), [Frame::close(1000, "")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_held_already_is_delivered_after_a_senders_close() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("first"));
        answers_and_closes(&peer);
        assert_eq!(ws.recv().await, Some(Message::text("first")));
        ws.sender().close(CloseCode::NORMAL, "");
        gets_all_answers(&mut ws).await;
        assert!(ws.close_info().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_websocket_drops_what_a_senders_close_would_deliver() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.sender().close(CloseCode::NORMAL, "");
        answers_and_closes(&peer);
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        assert_eq!(ws.recv().await, None);
    }
}

fn holding(bytes: usize) -> Config {
    let mut config = config();
    config.limits.max_held_bytes = bytes;
    config
}

#[tokio::test(start_paused = true)]
async fn what_the_sinks_close_holds_is_bounded_and_so_is_its_time() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, holding(500));
        peer.read_slowly(100);
        answers_and_closes(&peer);
        let started = Instant::now();
        close_sink(&mut ws).await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        let mut held = 0;
        while ws.recv().await.is_some() {
            held += 1;
        }
        assert!((10..40).contains(&held), "{held} messages of 20 bytes");
        assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Close.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_application_gets_what_comes_after_the_sinks_close() {
    for late in [true, false] {
        let (server, peer) = serve(config(), async move |mut ws| {
            if late {
                // The server's task reads meanwhile, and finds the end.
                ws.sender().close(CloseCode::NORMAL, "");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            close_sink(&mut ws).await;
            gets_all_answers(&mut ws).await;
        });
        answers_and_closes(&peer);
        assert!(server.await.is_clean());
        assert_eq!(peer.received(), [Frame::close(1000, "")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_application_that_waits_in_the_sinks_close_learns_of_the_deadline() {
    let (server, peer) = serve(holding(500), async move |mut ws| {
        close_sink(&mut ws).await;
        while ws.recv().await.is_some() {}
    });
    peer.read_slowly(100);
    peer.send_all(answers().into_iter().map(Frame::text));
    assert_eq!(server.await.error, Some(TimedOut::Close.into()));
}
