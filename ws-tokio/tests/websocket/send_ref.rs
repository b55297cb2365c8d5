//! `Sender::send_ref`: what `send` does, for a message that is lent.

use std::pin::pin;

use ws_proto::{Config, Message, error::SendError};
use ws_tokio::WebSocket;

use crate::support::{Frame, ROLES, Task, TestTransport, config, open, open_with, serve, text};

async fn echo(ws: WebSocket<TestTransport>) {
    let (sender, mut receiver) = ws.split();
    while let Some(message) = receiver.recv_ref().await {
        if sender.send_ref(message).await.is_err() {
            return;
        }
    }
}

fn frames() -> Vec<Frame> {
    let small = (0..200).map(|number| Frame::text(format!("message {number}")));
    let others = [
        Frame::text(""),
        Frame::binary(vec![7; 70_000]),
        Frame::text("é".repeat(500)),
        Frame::binary(vec![8; 300_000]),
        Frame::binary(vec![9; 20_000]),
    ];
    small.clone().chain(others).chain(small).collect()
}

#[tokio::test(start_paused = true)]
async fn every_message_is_sent_as_it_was_received_and_in_order() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all(frames());
        peer.end();
        echo(ws).await;
        assert!(peer.received() == frames());
    }
    let (server, peer) = serve(config(), echo);
    peer.answer_close();
    peer.send_all(frames());
    peer.end();
    server.await;
    let received = peer.received();
    assert!(received[..frames().len()] == frames());
}

/// Room for one message.
fn one_message() -> Config {
    let mut config = config();
    config.write_queue_messages = 1;
    config
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_room_in_the_order_of_the_senders() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message());
        peer.take_only(0);
        peer.send_all(["lent", "rest"].map(Frame::text));
        let (sender, mut receiver) = ws.split();
        let message = receiver.recv_ref().await.unwrap();
        sender.try_send("first").unwrap();
        let task = Task::new();
        let (mut second, other) = (pin!(sender.send_ref(message)), sender.clone());
        assert!(task.poll(&mut second).is_pending());
        let mut third = pin!(other.send("third"));
        assert!(task.poll(&mut third).is_pending());
        peer.take_everything();
        while task.poll(&mut third).is_pending() {
            let _ = task.poll(&mut second);
        }
        assert_eq!(peer.received(), ["first", "lent", "third"].map(Frame::text));
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_while_it_waits_sends_nothing() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message());
        peer.take_only(0);
        peer.send_all(["lent", "next"].map(Frame::text));
        let (sender, mut receiver) = ws.split();
        let message = receiver.recv_ref().await.unwrap();
        sender.try_send("first").unwrap();
        assert!(crate::support::cancelled_after(2, sender.send_ref(message)).await.is_none());
        peer.take_everything();
        let next = receiver.recv_ref().await.unwrap();
        assert_eq!(next.as_text(), Some("next"));
        sender.send_ref(next).await.unwrap();
        assert_eq!(peer.received(), ["first", "next"].map(Frame::text));
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_server_it_returns_once_the_transport_has_the_message() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all([Frame::text(text(1, 100))]);
        let (sender, mut receiver) = ws.split();
        let message = receiver.recv_ref().await.unwrap();
        peer.take_only(10);
        let task = Task::new();
        let mut send = pin!(sender.send_ref(message));
        assert!(task.poll(&mut send).is_pending());
        peer.take_everything();
        assert_eq!(task.poll(&mut send), std::task::Poll::Ready(Ok(())));
        assert_eq!(peer.received(), [Frame::text(text(1, 100))]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_has_the_message() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all(["lent", "next"].map(Frame::text));
        let (sender, mut receiver) = ws.split();
        let message = receiver.recv_ref().await.unwrap();
        sender.clone().abort();
        assert_eq!(sender.send_ref(message).await, Err(SendError::Closed(Message::text("lent"))));
    }
}

#[tokio::test(start_paused = true)]
async fn text_that_is_not_valid_is_sent_as_binary() {
    let mut unchecked = config();
    unchecked.validate_utf8 = false;
    for role in ROLES {
        let (ws, peer) = open_with(role, unchecked.clone());
        let mut invalid = Frame::text("xy");
        invalid.payload = b"\xffy".to_vec();
        peer.send_all([invalid, Frame::text("z")]);
        peer.end();
        echo(ws).await;
        assert_eq!(peer.received(), [Frame::binary(b"\xffy".to_vec()), Frame::text("z")]);
    }
}
