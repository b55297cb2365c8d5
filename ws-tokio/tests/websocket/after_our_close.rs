//! Messages between our Close and the peer's are delivered, unless the application closes with `WebSocket::close`.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_sink::Sink;
use tokio::time::Instant;
use ws_proto::{CloseCode, Config, Message, error::TimedOut};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, open, open_with, serve, text};

const ANSWERS: usize = 100;

fn answers() -> Vec<String> {
    (0..ANSWERS).map(|number| text(number, 20)).collect()
}

/// The peer sends all its answers, then its Close.
fn send_answers_and_close(peer: &Peer) {
    peer.send_all(answers().into_iter().map(Frame::text));
    peer.send(Frame::close(1000, ""));
    peer.end();
}

async fn assert_all_answers(ws: &mut WebSocket<TestTransport>) {
    for answer in answers() {
        assert_eq!(ws.recv().await, Some(Message::from(answer)));
    }
    assert_eq!(ws.recv().await, None);
}

async fn close_sink(ws: &mut WebSocket<TestTransport>) {
    poll_fn(|cx| Pin::new(&mut *ws).poll_close(cx)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn messages_after_a_close_of_a_sender_are_delivered_until_the_close_of_the_peer() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.sender().close(CloseCode::NORMAL, "enough");
        send_answers_and_close(&peer);
        assert_all_answers(&mut ws).await;
        assert!(ws.close_info().unwrap().is_clean());
        assert_eq!(peer.received(), [Frame::close(1000, "enough")]);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_after_a_close_of_the_sink_are_delivered_until_the_close_of_the_peer() {
    for role in ROLES {
        for before in [true, false] {
            let (mut ws, peer) = open(role);
            if before {
                send_answers_and_close(&peer);
                close_sink(&mut ws).await;
            } else {
                let task = Task::new();
                assert!(Pin::new(&mut ws).poll_close(&mut task.cx()).is_pending());
                send_answers_and_close(&peer);
                assert!(task.was_woken());
                close_sink(&mut ws).await;
            }
            assert_all_answers(&mut ws).await;
            assert!(ws.close_info().unwrap().is_clean());
            assert_eq!(peer.received(), [Frame::close(1000, "")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn held_messages_are_delivered_after_a_close_of_a_sender() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("first"));
        send_answers_and_close(&peer);
        assert_eq!(ws.recv().await, Some(Message::text("first")));
        ws.sender().close(CloseCode::NORMAL, "");
        assert_all_answers(&mut ws).await;
        assert!(ws.close_info().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_websocket_after_one_of_a_sender_drops_later_messages() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.sender().close(CloseCode::NORMAL, "");
        send_answers_and_close(&peer);
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
async fn a_close_of_the_sink_holds_up_to_the_limit_and_ends_at_the_deadline() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, holding(500));
        peer.read_slowly(100);
        send_answers_and_close(&peer);
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
async fn under_a_server_messages_after_a_close_of_the_sink_are_delivered() {
    for late in [true, false] {
        let (server, peer) = serve(config(), async move |mut ws| {
            if late {
                // Meanwhile the server's task reads until the end.
                ws.sender().close(CloseCode::NORMAL, "");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            close_sink(&mut ws).await;
            assert_all_answers(&mut ws).await;
        });
        send_answers_and_close(&peer);
        assert!(server.await.is_clean());
        assert_eq!(peer.received(), [Frame::close(1000, "")]);
    }
}

#[tokio::test(start_paused = true)]
async fn under_a_server_a_close_of_the_sink_ends_at_the_deadline() {
    let (server, peer) = serve(holding(500), async move |mut ws| {
        close_sink(&mut ws).await;
        while ws.recv().await.is_some() {}
    });
    peer.read_slowly(100);
    peer.send_all(answers().into_iter().map(Frame::text));
    assert_eq!(server.await.error, Some(TimedOut::Close.into()));
}
