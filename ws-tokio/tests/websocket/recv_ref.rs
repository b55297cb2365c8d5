//! `recv_ref`: the messages that `recv` returns, lent.

use ws_proto::{CloseCode, Message, Role};
use ws_tokio::{Event, WebSocket};

use crate::support::{Frame, Peer, ROLES, TestTransport, cancelled_after, open};

fn frames() -> Vec<Frame> {
    let [first, last] = Frame::text("fragmented").in_two(4);
    let all = vec![
        Frame::text("a"),
        Frame::ping("1"),
        first,
        Frame::pong("2"),
        last,
        Frame::binary(vec![7; 5000]),
        Frame::text(""),
        Frame::binary(vec![8; 300_000]),
        Frame::text("z"),
    ];
    all.into_iter().chain((0..3000).map(|number| Frame::text(format!("message {number}")))).collect()
}

fn messages() -> Vec<Message> {
    let first = [
        Message::text("a"),
        Message::text("fragmented"),
        Message::binary(vec![7; 5000]),
        Message::text(""),
        Message::binary(vec![8; 300_000]),
        Message::text("z"),
    ];
    first.into_iter().chain((0..3000).map(|number| Message::text(format!("message {number}")))).collect()
}

/// The peer has sent everything and then a Close.
fn with_everything(role: Role) -> (WebSocket<TestTransport>, Peer) {
    let (ws, peer) = open(role);
    peer.send_all(frames());
    peer.send_all([Frame::close(1000, "bye")]);
    peer.end();
    (ws, peer)
}

/// Receives with `recv_ref` until the end.
async fn rest(ws: &mut WebSocket<TestTransport>) -> Vec<Message> {
    let mut rest = Vec::new();
    while let Some(message) = ws.recv_ref().await {
        rest.push(message.into_message());
    }
    rest
}

#[tokio::test(start_paused = true)]
async fn it_lends_what_recv_returns() {
    for role in ROLES {
        let (mut ws, peer) = with_everything(role);
        assert!(ws.recv_ref().await.is_some_and(|message| message.as_text() == Some("a")));
        assert_eq!(rest(&mut ws).await, messages()[1..]);
        assert!(ws.recv_ref().await.is_none(), "the end is permanent");
        let info = ws.close_info().unwrap();
        assert!(info.is_clean() && info.code() == 1000);
        assert!(peer.received().contains(&Frame::pong("1")));
    }
}

#[tokio::test(start_paused = true)]
async fn all_ways_to_receive_can_be_used_in_turn() {
    for role in ROLES {
        let (mut ws, _peer) = with_everything(role);
        let mut received = Vec::new();
        for turn in 0.. {
            let next = match turn % 3 {
                0 => ws.recv_ref().await.map(|message| message.into_message()),
                1 => ws.recv().await,
                _ => loop {
                    match ws.recv_event().await {
                        Some(Event::Message(message)) => break Some(message),
                        Some(_) => {}
                        None => break None,
                    }
                },
            };
            let Some(next) = next else { break };
            received.push(next);
        }
        assert_eq!(received, messages());
    }
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_loses_nothing() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        assert!(cancelled_after(2, async { ws.recv_ref().await.is_some() }).await.is_none());
        peer.send_all([Frame::text("a"), Frame::text("b")]);
        // Polled once and ready: the message is taken.
        assert_eq!(ws.recv_ref().await.unwrap().as_text(), Some("a"));
        drop(ws.recv_ref());
        assert_eq!(ws.recv_ref().await.unwrap().as_text(), Some("b"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_came_with_the_messages_waits_for_the_reply_to_the_last_one() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(["1", "2", "3"].map(Frame::text));
        peer.send_all([Frame::close(1000, "")]);
        let mut replies = Vec::new();
        while let Some(message) = ws.recv_ref().await {
            let reply = message.into_message();
            ws.send(reply.clone()).await.unwrap();
            replies.push(Frame::text(reply.as_text().unwrap()));
        }
        replies.push(Frame::close(1000, ""));
        assert_eq!(peer.received(), replies);
    }
}

#[tokio::test(start_paused = true)]
async fn close_and_abort_drop_what_was_not_lent_yet() {
    for role in ROLES {
        for aborts in [false, true] {
            let (mut ws, peer) = open(role);
            peer.send_all(["1", "2", "3"].map(Frame::text));
            assert!(ws.recv_ref().await.is_some());
            assert!(ws.recv_ref().await.is_some());
            if aborts {
                ws.abort();
            } else {
                peer.send_all([Frame::close(1000, "")]);
                ws.close(CloseCode::NORMAL, "").await;
            }
            assert!(ws.recv_ref().await.is_none());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn into_parts_keeps_what_was_not_lent_yet() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(["1", "2", "3", "4"].map(Frame::text));
        assert_eq!(ws.recv_ref().await.unwrap().as_text(), Some("1"));
        assert_eq!(ws.recv_ref().await.unwrap().as_text(), Some("2"));
        let parts = ws.into_parts().unwrap();
        let mut ws = WebSocket::new(parts.io, parts.connection);
        assert_eq!(ws.recv().await, Some(Message::text("3")));
        assert_eq!(ws.recv().await, Some(Message::text("4")));
    }
}

#[tokio::test(start_paused = true)]
async fn pings_behind_messages_that_are_not_lent_yet_are_answered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("1"), Frame::text("2"), Frame::text("3"), Frame::ping("now")]);
        assert!(ws.recv_ref().await.is_some());
        assert_eq!(peer.received(), [Frame::pong("now")]);
        let (_sender, mut receiver) = ws.split();
        assert_eq!(receiver.recv_ref().await.unwrap().as_text(), Some("2"));
        assert_eq!(receiver.recv_ref().await.unwrap().as_text(), Some("3"));
    }
}
