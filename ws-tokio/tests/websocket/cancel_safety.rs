//! Every future is dropped after every number of polls, on a transport that moves single bytes, wakes spuriously and
//! returns `Interrupted`. No message is lost, duplicated or cut.
//!
//! | future | test |
//! |---|---|
//! | `WebSocket::recv`, `poll_recv` | `a_dropped_recv_loses_nothing`, `a_dropped_second_recv_loses_nothing` |
//! | `Stream::poll_next` | `a_dropped_poll_of_the_stream_loses_nothing` |
//! | `WebSocket::send` | `a_dropped_send_has_sent_its_message_whole_once_it_was_polled`, `a_send_that_is_dropped_while_it_waits_for_room_sends_nothing_or_everything`, `a_send_that_is_dropped_before_there_was_room_sends_nothing` |
//! | `WebSocket::send_prepared` | `a_dropped_send_of_a_prepared_message_sends_nothing_or_everything` |
//! | `WebSocket::feed`, `flush` | `a_dropped_feed_and_a_dropped_flush_lose_nothing` |
//! | `WebSocket::ping` | `a_dropped_ping_is_sent_whole_once_it_was_polled` |
//! | `WebSocket::close`, `close_without_code` | `recv_completes_a_dropped_close` |
//! | `WebSocket::recv_event` | `a_dropped_recv_event_loses_nothing`, in `recv_event` |
//! | `WebSocket::ping_rtt`, `Sender::ping_rtt` | `a_dropped_ping_leaves_nothing_behind`, in `ping_rtt` |
//! | `Sink::poll_ready`, `poll_flush` | `dropped_polls_of_the_sink_lose_nothing` |
//! | `Sink::poll_close` | `recv_completes_a_dropped_close_of_the_sink` |
//! | `Sender::send` | `a_dropped_send_of_a_sender_sends_nothing_or_everything` |
//! | `Sender::closed` | `a_dropped_closed_loses_nothing` |
//! | `Sink` of `Sender` | `dropped_polls_of_the_sink_of_a_sender_lose_nothing` |
//! | `Receiver::recv`, `poll_recv`, `Stream` of `Receiver` | `a_dropped_recv_of_a_receiver_loses_nothing` |
//!
//! `failures_at_any_moment` lets the transport fail instead, and `repeated_cancellation` drops many futures in a row.
//! The futures that connect and serve are in `cancel_safety` of the end-to-end tests.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::time::timeout;
use ws_proto::{CloseCode, Message, PreparedMessage, Role};
use ws_tokio::WebSocket;

use crate::support::{
    Frame, Peer, ROLES, TestTransport, cancelled_after, config, opcode, open, open_with, text,
};

/// More than any of these futures needs.
const POLLS: usize = 200;

/// Calls `test` for both roles and every number of polls.
async fn at_every_poll(mut test: impl AsyncFnMut(Role, usize)) {
    for role in ROLES {
        for polls in 0..POLLS {
            test(role, polls).await;
        }
    }
}

/// The frames that the peer sends in the tests of `recv`, and their messages.
fn conversation() -> (Vec<Frame>, Vec<Message>) {
    let [first, last] = Frame::text("fragmented: grüße").in_two(14);
    let frames = vec![
        Frame::text("a"),
        Frame::ping("1"),
        first,
        Frame::ping("2"),
        last,
        Frame::binary(vec![7; 130]),
        Frame::text(""),
        Frame::close(1000, "bye"),
    ];
    let messages = vec![
        Message::text("a"),
        Message::text("fragmented: grüße"),
        Message::binary(vec![7; 130]),
        Message::text(""),
    ];
    (frames, messages)
}

fn open_with_single_bytes(role: Role) -> (WebSocket<TestTransport>, Peer) {
    let (ws, peer) = open(role);
    peer.move_single_bytes();
    (ws, peer)
}

/// Receives the rest of a conversation whose first messages are `got`, and checks it.
async fn expect_rest(mut ws: WebSocket<TestTransport>, peer: &Peer, mut got: Vec<Message>, context: &str) {
    peer.end();
    while let Some(message) = ws.recv().await {
        got.push(message);
    }
    assert_eq!(got, conversation().1, "{context}");
    let answers = [Frame::pong("1"), Frame::pong("2"), Frame::close(1000, "bye")];
    assert_eq!(peer.received(), answers, "{context}");
    assert!(ws.close_info().unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_loses_nothing() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        peer.send_all(conversation().0);
        let got = cancelled_after(polls, ws.recv()).await;
        let got = got.map(|message| message.expect("the conversation begins with messages"));
        expect_rest(ws, &peer, got.into_iter().collect(), &format!("{role:?}, {polls} polls")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_second_recv_loses_nothing() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        peer.send_all(conversation().0);
        let mut got = vec![ws.recv().await.unwrap()];
        got.extend(cancelled_after(polls, ws.recv()).await.flatten());
        expect_rest(ws, &peer, got, &format!("{role:?}, {polls} polls")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_poll_of_the_stream_loses_nothing() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        peer.send_all(conversation().0);
        let next = poll_fn(|cx| Pin::new(&mut ws).poll_next(cx));
        let got = cancelled_after(polls, next).await.flatten();
        let got = got.map(|message| message.expect("no error before the end"));
        expect_rest(ws, &peer, got.into_iter().collect(), &format!("{role:?}, {polls} polls")).await;
    })
    .await;
}

/// What a peer got of three messages of which the second was sent by a future that was dropped.
fn expect_second_at_most_once(peer: &Peer, messages: &[String; 3], surely: Option<bool>, context: &str) {
    let frames = peer.received();
    assert!(peer.is_between_frames(), "{context}");
    let [first, second, third] = messages.each_ref().map(|message| Frame::text(message.as_str()));
    let whole = [first.clone(), second, third.clone()];
    let without = [first, third];
    match surely {
        Some(true) => assert_eq!(frames, whole, "{context}"),
        Some(false) => assert_eq!(frames, without, "{context}"),
        None => assert!(frames == whole || frames == without, "{context}: {frames:?}"),
    }
}

fn three_messages() -> [String; 3] {
    [text(1, 40), text(2, 50), text(3, 30)]
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_has_sent_its_message_whole_once_it_was_polled() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        let messages = three_messages();
        ws.send(messages[0].as_str()).await.unwrap();
        cancelled_after(polls, ws.send(messages[1].as_str())).await;
        ws.send(messages[2].as_str()).await.unwrap();
        let context = format!("{role:?}, {polls} polls");
        expect_second_at_most_once(&peer, &messages, Some(polls > 0), &context);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_while_it_waits_for_room_sends_nothing_or_everything() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1;
        let (mut ws, peer) = open_with(role, config);
        peer.move_single_bytes();
        let messages = three_messages();
        ws.feed(messages[0].as_str()).await.unwrap();
        let sent = cancelled_after(polls, ws.send(messages[1].as_str())).await;
        ws.send(messages[2].as_str()).await.unwrap();
        let surely = sent.map(|result| result.is_ok());
        expect_second_at_most_once(&peer, &messages, surely, &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_send_that_is_dropped_before_there_was_room_sends_nothing() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1;
        let (mut ws, peer) = open_with(role, config);
        peer.take_only(10);
        let messages = three_messages();
        ws.feed(messages[0].as_str()).await.unwrap();
        let sent = cancelled_after(polls, ws.send(messages[1].as_str())).await;
        assert!(sent.is_none(), "there was no room");
        peer.take_everything();
        ws.send(messages[2].as_str()).await.unwrap();
        expect_second_at_most_once(&peer, &messages, Some(false), &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_of_a_prepared_message_sends_nothing_or_everything() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1 + polls % 2;
        let (mut ws, peer) = open_with(role, config);
        peer.move_single_bytes();
        let messages = three_messages();
        ws.feed(messages[0].as_str()).await.unwrap();
        let prepared = PreparedMessage::new(messages[1].as_str());
        let sent = cancelled_after(polls, ws.send_prepared(&prepared)).await;
        ws.send(messages[2].as_str()).await.unwrap();
        let has_room = polls % 2 == 1;
        let surely = if has_room { Some(polls > 0) } else { sent.map(|result| result.is_ok()) };
        expect_second_at_most_once(&peer, &messages, surely, &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_feed_and_a_dropped_flush_lose_nothing() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        let messages = three_messages();
        ws.feed(messages[0].as_str()).await.unwrap();
        cancelled_after(polls, ws.flush()).await;
        cancelled_after(polls, ws.feed(messages[1].as_str())).await;
        cancelled_after(polls, ws.flush()).await;
        ws.feed(messages[2].as_str()).await.unwrap();
        ws.flush().await;
        let context = format!("{role:?}, {polls} polls");
        expect_second_at_most_once(&peer, &messages, Some(polls > 0), &context);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_send_of_a_sender_sends_nothing_or_everything() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1;
        let (mut ws, peer) = open_with(role, config);
        peer.move_single_bytes();
        let messages = three_messages();
        let sender = ws.sender();
        ws.feed(messages[0].as_str()).await.unwrap();
        cancelled_after(polls, sender.send(messages[1].as_str())).await;
        sender.send(messages[2].as_str()).await.unwrap();
        ws.flush().await;
        expect_second_at_most_once(&peer, &messages, None, &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropped_polls_of_the_sink_lose_nothing() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1;
        let (mut ws, peer) = open_with(role, config);
        peer.move_single_bytes();
        let messages = three_messages();
        for message in &messages {
            cancelled_after(polls, poll_fn(|cx| Pin::new(&mut ws).poll_ready(cx))).await;
            poll_fn(|cx| Pin::new(&mut ws).poll_ready(cx)).await.unwrap();
            Pin::new(&mut ws).start_send(message.as_str().into()).unwrap();
            cancelled_after(polls, poll_fn(|cx| Pin::new(&mut ws).poll_flush(cx))).await;
        }
        poll_fn(|cx| Pin::new(&mut ws).poll_flush(cx)).await.unwrap();
        expect_second_at_most_once(&peer, &messages, Some(true), &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_ping_is_sent_whole_once_it_was_polled() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        cancelled_after(polls, ws.ping(b"are you there?")).await;
        ws.send("yes").await.unwrap();
        let ping = (polls > 0).then(|| Frame::ping("are you there?"));
        let expected: Vec<Frame> = ping.into_iter().chain([Frame::text("yes")]).collect();
        assert_eq!(peer.received(), expected, "{role:?}, {polls} polls");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn recv_completes_a_dropped_close() {
    at_every_poll(async |role, polls| {
        for has_code in [true, false] {
            let (mut ws, peer) = open_with_single_bytes(role);
            peer.answer_close();
            ws.feed("last words").await.unwrap();
            let close = async |ws: &mut WebSocket<TestTransport>| match has_code {
                true => ws.close(CloseCode::new(4000).unwrap(), "enough").await,
                false => ws.close_without_code().await,
            };
            cancelled_after(polls, close(&mut ws)).await;
            if polls == 0 {
                close(&mut ws).await;
            }
            assert_eq!(ws.recv().await, None);
            let frame = if has_code { Frame::close(4000, "enough") } else { Frame::new(opcode::CLOSE, []) };
            let expected = [Frame::text("last words"), frame];
            assert_eq!(peer.received(), expected, "{role:?}, {polls} polls");
            assert!(ws.close_info().unwrap().is_clean(), "{role:?}, {polls} polls");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn recv_completes_a_dropped_close_of_the_sink() {
    at_every_poll(async |role, polls| {
        let (mut ws, peer) = open_with_single_bytes(role);
        peer.answer_close();
        Pin::new(&mut ws).start_send("last words".into()).unwrap();
        cancelled_after(polls, poll_fn(|cx| Pin::new(&mut ws).poll_close(cx))).await;
        if polls > 0 {
            assert_eq!(ws.recv().await, None);
        } else {
            poll_fn(|cx| Pin::new(&mut ws).poll_close(cx)).await.unwrap();
        }
        let expected = [Frame::text("last words"), Frame::close(1000, "")];
        assert_eq!(peer.received(), expected, "{role:?}, {polls} polls");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_of_a_receiver_loses_nothing() {
    at_every_poll(async |role, polls| {
        let (ws, peer) = open_with_single_bytes(role);
        peer.send_all(conversation().0);
        let (_, mut receiver) = ws.split();
        let mut got: Vec<_> = cancelled_after(polls, receiver.recv()).await.flatten().into_iter().collect();
        let next = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx));
        got.extend(cancelled_after(polls, next).await.flatten().map(Result::unwrap));
        expect_rest(receiver.unsplit(), &peer, got, &format!("{role:?}, {polls} polls")).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropped_polls_of_the_sink_of_a_sender_lose_nothing() {
    at_every_poll(async |role, polls| {
        let mut config = config();
        config.write_queue_messages = 1;
        let (ws, peer) = open_with(role, config);
        peer.move_single_bytes();
        let messages = three_messages();
        let mut sender = ws.sender();
        for message in &messages {
            cancelled_after(polls, poll_fn(|cx| Pin::new(&mut sender).poll_ready(cx))).await;
            poll_fn(|cx| Pin::new(&mut sender).poll_ready(cx)).await.unwrap();
            Pin::new(&mut sender).start_send(message.as_str().into()).unwrap();
            cancelled_after(polls, poll_fn(|cx| Pin::new(&mut sender).poll_flush(cx))).await;
        }
        poll_fn(|cx| Pin::new(&mut sender).poll_flush(cx)).await.unwrap();
        expect_second_at_most_once(&peer, &messages, Some(true), &format!("{role:?}, {polls} polls"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_closed_loses_nothing() {
    at_every_poll(async |role, polls| {
        let (ws, peer) = open_with_single_bytes(role);
        let sender = ws.sender();
        assert_eq!(cancelled_after(polls, sender.closed()).await, None);
        peer.send_all(conversation().0);
        let closed = timeout(Duration::from_secs(1), sender.closed());
        let context = format!("{role:?}, {polls} polls");
        let (ended, ()) = tokio::join!(closed, expect_rest(ws, &peer, Vec::new(), &context));
        assert_eq!(ended, Ok(()), "{context}");
    })
    .await;
}
