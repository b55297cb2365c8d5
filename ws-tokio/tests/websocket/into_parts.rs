//! `into_parts` and `with_received`.

use std::pin::Pin;

use bytes::Buf;
use futures_sink::Sink as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ws_proto::{CloseCode, Event, Message, ReceiveBuffer, error::SendError};
use ws_tokio::{Parts, WebSocket};

use crate::support::{
    Frame, Peer, ROLES, TestTransport, cancelled_after, config, connection, open, open_with,
};

/// The messages that the state machine still holds.
fn remaining(parts: &mut Parts<TestTransport>) -> Vec<Message> {
    let mut rx = ReceiveBuffer::default();
    let mut messages = Vec::new();
    while let Some(event) = parts.connection.poll_event(&mut rx, &mut parts.transmit) {
        if let Event::Message(message) = event {
            messages.push(message.into_message());
        }
    }
    messages
}

#[tokio::test]
async fn into_parts_returns_messages_that_were_received_but_not_taken() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(["1", "2", "3"].map(Frame::text));
        assert_eq!(ws.recv().await, Some(Message::text("1")));
        let mut parts = ws.into_parts().unwrap();
        assert_eq!(remaining(&mut parts), ["2", "3"].map(Message::text));
        assert!(!peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn into_parts_returns_what_was_sent_but_not_written() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.take_only(3);
        cancelled_after(3, ws.send("in two parts")).await;
        let Parts { mut io, mut transmit, .. } = ws.into_parts().unwrap();
        assert!(!transmit.is_empty());
        peer.take_everything();
        while !transmit.is_empty() {
            let n = io.write(transmit.chunk()).await.unwrap();
            transmit.advance(n);
        }
        assert_eq!(peer.received(), [Frame::text("in two parts")]);
    }
}

#[tokio::test(start_paused = true)]
async fn into_parts_returns_what_the_sink_has_accepted_beyond_the_limits() {
    for role in ROLES {
        let mut config = config();
        config.write_queue_messages = 1;
        let (mut ws, peer) = open_with(role, config);
        Pin::new(&mut ws).start_send("in the queue".into()).unwrap();
        Pin::new(&mut ws).start_send("beyond the limits".into()).unwrap();
        let Parts { mut io, mut connection, mut transmit, .. } = ws.into_parts().unwrap();
        connection.pump(&mut transmit);
        while !transmit.is_empty() {
            let n = io.write(transmit.chunk()).await.unwrap();
            transmit.advance(n);
            connection.pump(&mut transmit);
        }
        assert_eq!(peer.received(), ["in the queue", "beyond the limits"].map(Frame::text));
    }
}

#[tokio::test]
async fn into_parts_returns_unparsed_bytes_that_came_with_the_handshake() {
    for role in ROLES {
        let (transport, peer) = TestTransport::new(role);
        let early = Frame::text("early").encode(role == ws_proto::Role::Server);
        let ws = WebSocket::new(transport, connection(role, config())).with_received(&early);
        peer.send_bytes(b"later");
        let mut parts = ws.into_parts().unwrap();
        assert_eq!(parts.received, early);
        let mut later = [0; 5];
        parts.io.read_exact(&mut later).await.unwrap();
        assert_eq!(&later, b"later");
    }
}

#[tokio::test]
async fn frames_that_came_with_the_handshake_are_received_first() {
    for role in ROLES {
        let (transport, peer) = TestTransport::new(role);
        let masked = role == ws_proto::Role::Server;
        let early = [Frame::text("1").encode(masked), Frame::text("2").encode(masked)].concat();
        // Cut in the middle of a frame.
        let (with_handshake, rest) = early.split_at(early.len() - 1);
        let mut ws = WebSocket::new(transport, connection(role, config())).with_received(with_handshake);
        peer.send_bytes(rest);
        peer.send(Frame::text("3"));
        for text in ["1", "2", "3"] {
            assert_eq!(ws.recv().await, Some(Message::text(text)));
        }
    }
}

fn assert_other_handles_refuse(ws: WebSocket<TestTransport>, peer: &Peer) {
    let sender = ws.sender();
    let parts = ws.into_parts().unwrap();
    assert_eq!(sender.try_send("late"), Err(SendError::Closed(Message::text("late"))));
    assert!(!sender.is_open() && !peer.is_disconnected());
    drop(parts);
    assert!(peer.is_disconnected());
}

#[tokio::test]
async fn other_handles_cannot_send_after_into_parts() {
    for role in ROLES {
        let (ws, peer) = open(role);
        assert_other_handles_refuse(ws, &peer);
    }
}

#[tokio::test]
async fn into_parts_returns_none_once_the_connection_is_over() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.answer_close();
        ws.close(CloseCode::NORMAL, "").await;
        assert!(ws.with_io(|_| ()).is_none());
        assert!(ws.into_parts().is_none());
    }
}

#[tokio::test]
async fn the_transport_and_the_subprotocol_are_accessible() {
    let (ws, _peer) = open(ROLES[0]);
    assert_eq!((ws.subprotocol(), ws.with_io(|_| 7)), (None, Some(7)));
    let ws = ws.with_subprotocol(Some("chat".to_owned()));
    assert_eq!(ws.subprotocol(), Some("chat"));
    assert!(format!("{ws:?}").contains("Open"));
    assert!(format!("{:?}", ws.sender()).contains("Open"));
}
