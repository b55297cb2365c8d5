//! `WebSocket::split` into a `Sender` and a `Receiver`.

use std::pin::Pin;

use futures_core::{FusedStream as _, Stream};
use futures_sink::Sink;
use ws_proto::{CloseCode, Message, error::ConnectionError, error::SendError};
use ws_tokio::{Error, Receiver};

use crate::support::{Frame, ROLES, Task, TestTransport, config, open, open_with, serve};

#[tokio::test(start_paused = true)]
async fn the_halves_work_in_two_tasks() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all([Frame::text("1"), Frame::text("2"), Frame::close(1000, "bye")]);
        peer.end();
        let (sender, mut receiver) = ws.with_subprotocol(Some("chat".to_owned())).split();
        assert_eq!((receiver.subprotocol(), receiver.with_io(|_| 7)), (Some("chat"), Some(7)));
        let (to_send, mut messages) = tokio::sync::mpsc::unbounded_channel();
        let sending = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                let _: Result<(), SendError<Message>> = sender.send(message).await;
            }
            sender.is_open()
        });
        let mut received = Vec::new();
        while let Some(message) = receiver.recv().await {
            received.push(message.clone());
            to_send.send(message).unwrap();
        }
        drop(to_send);
        assert!(!sending.await.unwrap() && !receiver.is_open());
        assert_eq!(received, [Message::text("1"), Message::text("2")]);
        assert!(receiver.close_info().unwrap().is_clean());
    }
}

#[tokio::test]
async fn unsplit_returns_the_connection_and_the_sender_remains_usable() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all(["1", "2", "3"].map(Frame::text));
        let (sender, mut receiver) = ws.split();
        assert_eq!(receiver.recv().await, Some(Message::text("1")));
        let mut ws = receiver.unsplit();
        assert_eq!(ws.recv().await, Some(Message::text("2")));
        ws.send("a").await.unwrap();
        sender.send("b").await.unwrap();
        assert_eq!(peer.received(), ["a", "b"].map(Frame::text));
        let (_, mut receiver) = ws.split();
        assert_eq!(receiver.recv().await, Some(Message::text("3")));
        receiver.sender().send("c").await.unwrap();
        assert!(!peer.is_disconnected());
    }
}

#[tokio::test]
async fn dropping_the_receiver_is_dropping_the_websocket_and_dropping_the_senders_is_not() {
    for role in ROLES {
        let (ws, peer) = open(role);
        let (sender, receiver) = ws.split();
        drop(sender);
        assert!(receiver.is_open());
        let sender = receiver.sender();
        drop(receiver);
        assert!(peer.is_disconnected());
        assert_eq!(sender.send("late").await, Err(SendError::Closed(Message::text("late"))));
        assert_eq!(peer.received(), []);
    }
    let (server, peer) = serve(config(), async |ws| drop(ws.split().1));
    peer.answer_close();
    assert!(server.await.is_clean());
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
}

#[tokio::test]
async fn a_message_that_waits_in_the_sink_of_the_websocket_goes_with_the_sender() {
    let mut config = config();
    config.write_queue_messages = 1;
    for role in ROLES {
        let (mut ws, peer) = open_with(role, config.clone());
        peer.take_only(0);
        for text in ["first", "second"] {
            Pin::new(&mut ws).start_send(text.into()).unwrap();
        }
        let (mut sender, mut receiver) = ws.split();
        assert_eq!(Pin::new(&mut sender).start_send("third".into()), Err(Error::Full));
        let task = Task::new();
        assert!(Pin::new(&mut sender).poll_flush(&mut task.cx()).is_pending());
        peer.take_everything();
        assert!(receiver.poll_recv(&mut task.cx()).is_pending());
        std::future::poll_fn(|cx| Pin::new(&mut sender).poll_flush(cx)).await.unwrap();
        assert_eq!(peer.received(), ["first", "second"].map(Frame::text));
    }
}

#[tokio::test]
async fn the_receiver_yields_one_error_at_an_unclean_end() {
    async fn next(receiver: &mut Receiver<TestTransport>) -> Option<Result<Message, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *receiver).poll_next(cx)).await
    }
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send(Frame::text("last"));
        peer.end();
        let (_, mut receiver) = ws.split();
        assert_eq!(next(&mut receiver).await, Some(Ok(Message::text("last"))));
        assert!(!receiver.is_terminated());
        assert_eq!(next(&mut receiver).await, Some(Err(Error::Connection(ConnectionError::Eof))));
        assert!(receiver.is_terminated());
        assert_eq!(next(&mut receiver).await, None);
    }
}

#[tokio::test]
async fn the_debug_output_of_both_halves_shows_the_state() {
    let (ws, peer) = open(ROLES[0]);
    peer.answer_close();
    let (sender, mut receiver) = ws.split();
    assert!(format!("{sender:?} {receiver:?}").matches("Open").count() == 2);
    sender.close(CloseCode::NORMAL, "");
    assert_eq!(receiver.recv().await, None);
    assert!(format!("{sender:?} {receiver:?}").matches("Closed").count() == 2);
}
