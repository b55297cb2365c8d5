//! `Stream` and `Sink` with the combinators of futures-util, as programs for tokio-tungstenite use them.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};
use tokio::time::sleep;
use ws_proto::{
    Message,
    error::{ConnectionError, ControlError},
};
use ws_tokio::{Error, Sender, WebSocket};

use crate::support::{Frame, ROLES, TestTransport, config, open, serve};

async fn echo_by_forward(ws: WebSocket<TestTransport>) -> Result<(), Error> {
    let (write, read) = futures_util::StreamExt::split(ws);
    read.forward(write).await
}

fn messages() -> [Frame; 3] {
    [Frame::text("a"), Frame::binary(vec![7; 1000]), Frame::text("")]
}

#[tokio::test(start_paused = true)]
async fn forward_from_the_stream_to_the_sink_is_an_echo() {
    for role in ROLES {
        let (ws, peer) = open(role);
        let echo = tokio::spawn(echo_by_forward(ws));
        peer.send_all(messages());
        sleep(Duration::from_secs(1)).await;
        assert_eq!(peer.received(), messages());
        peer.send(Frame::close(4000, "enough"));
        peer.end();
        assert_eq!(echo.await.unwrap(), Ok(()));
        assert_eq!(peer.received(), [Frame::close(4000, "enough")]);
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_split_echoes_the_last_message_before_a_close_in_the_same_read() {
    for role in ROLES {
        let (ws, peer) = open(role);
        let all: Vec<_> = messages().into_iter().chain([Frame::close(4000, "enough")]).collect();
        peer.send_all(all.clone());
        peer.end();
        let (sender, receiver) = ws.split();
        assert_eq!(receiver.forward(sender).await, Ok(()));
        assert_eq!(peer.received(), all);
    }
}

#[tokio::test(start_paused = true)]
async fn forward_returns_the_error_that_ended_the_connection() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.end();
        assert_eq!(echo_by_forward(ws).await, Err(Error::Connection(ConnectionError::Eof)));
    }
}

/// One error type for receiving and sending.
async fn converse(ws: &mut WebSocket<TestTransport>) -> Result<Option<Message>, Error> {
    let sender = ws.sender();
    ws.ping(b"alive?").await?;
    ws.send("by the method").await?;
    futures_util::SinkExt::send(ws, "by the sink".into()).await?;
    sender.ping(b"and now?")?;
    sender.send("by the sender").await?;
    let message = ws.next().await.transpose()?;
    ws.ping(&[0; 126]).await?;
    Ok(message)
}

#[tokio::test(start_paused = true)]
async fn the_question_mark_works_on_each_way_to_receive_and_send() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("in"));
        assert_eq!(converse(&mut ws).await, Err(Error::Control(ControlError::TooLong { len: 126 })));
        assert_eq!(peer.received().len(), 5);
        peer.end();
        assert_eq!(converse(&mut ws).await, Err(Error::Connection(ConnectionError::Eof)));
        assert_eq!(converse(&mut ws).await, Err(Error::Closed));
    }
}

/// The connection of the chat example of tokio-tungstenite. `others` stands for the receiver of a channel.
async fn chat(ws: WebSocket<TestTransport>, others: Vec<Message>, heard: impl Fn(Message)) {
    let (outgoing, incoming) = ws.split();
    let broadcast_incoming = incoming.try_for_each(|message| {
        heard(message);
        future::ok(())
    });
    let others = stream::iter(others).chain(stream::pending());
    let receive_from_others = others.map(Ok).forward(outgoing);
    let (broadcast_incoming, receive_from_others) =
        (std::pin::pin!(broadcast_incoming), std::pin::pin!(receive_from_others));
    future::select(broadcast_incoming, receive_from_others).await;
}

#[tokio::test(start_paused = true)]
async fn the_halves_of_our_own_split_are_a_sink_and_a_stream() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.send_all([Frame::text("1"), Frame::text("2"), Frame::close(1000, "")]);
        peer.end();
        let heard = std::sync::Mutex::new(Vec::new());
        let others = vec![Message::text("a"), Message::text("b")];
        chat(ws, others, |message| heard.lock().unwrap().push(message)).await;
        assert_eq!(heard.into_inner().unwrap(), [Message::text("1"), Message::text("2")]);
        let received = peer.received();
        assert_eq!(received.last(), Some(&Frame::close(1000, "")), "{received:?}");
    }
}

async fn forward_to(sender: Sender) -> Result<(), Error> {
    stream::iter((0..20).map(|number| Ok(Message::text(number.to_string())))).forward(sender).await
}

#[tokio::test(start_paused = true)]
async fn forward_to_a_sender_sends_everything_and_then_closes() {
    let mut config = config();
    config.write_queue_messages = 2;
    let expected: Vec<_> =
        (0..20).map(|number| Frame::text(number.to_string())).chain([Frame::close(1000, "")]).collect();
    for role in ROLES {
        let (ws, peer) = crate::support::open_with(role, config.clone());
        peer.move_single_bytes();
        peer.answer_close();
        let (sender, mut receiver) = ws.split();
        let (forwarded, last) = tokio::join!(forward_to(sender), receiver.recv());
        assert_eq!((forwarded, last), (Ok(()), None));
        assert_eq!(peer.received(), expected);
        assert!(receiver.close_info().unwrap().is_clean());
    }
    let (server, peer) = serve(config, async |ws| {
        let (sender, mut receiver) = ws.split();
        tokio::join!(async { forward_to(sender).await.unwrap() }, receiver.recv());
    });
    peer.move_single_bytes();
    peer.answer_close();
    assert!(server.await.is_clean());
    assert_eq!(peer.received(), expected);
}
