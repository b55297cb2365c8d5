//! While the peer takes bytes slowly, a message waits behind what was published before it, and not behind what comes
//! later.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use ws_proto::{Config, Message, PreparedMessage, error::SendError};
use ws_tokio::WebSocket;

use crate::support::{
    Frame, Peer, ROLES, Task, TestFeed, TestTransport, cancelled_after, config, open_with, serve, text,
};

const SECOND: Duration = Duration::from_secs(1);

fn four_messages() -> Config {
    let mut config = config();
    config.write_queue_messages = 4;
    config
}

/// A connection whose peer takes nothing, with one message that waits for it.
fn blocked(
    role: ws_proto::Role,
    config: Config,
) -> (WebSocket<TestTransport>, Peer, std::sync::Arc<TestFeed>) {
    let (ws, peer) = open_with(role, config);
    peer.take_only(0);
    let sender = ws.sender();
    let feed = TestFeed::attach(&sender);
    sender.try_send("first").unwrap();
    (ws, peer, feed)
}

fn texts(peer: &Peer) -> Vec<String> {
    peer.received().into_iter().map(|frame| String::from_utf8(frame.payload).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_is_refused_while_what_was_published_before_it_has_no_room() {
    for role in ROLES {
        let (mut ws, peer, feed) = blocked(role, four_messages());
        (0..5).for_each(|number| feed.publish(number.to_string()));
        let sender = ws.sender();
        assert_eq!(sender.try_send("no"), Err(SendError::Full(Message::from("no"))));
        assert_eq!(sender.try_send_prepared(&PreparedMessage::new("no")), Err(SendError::Full(())));
        assert_eq!(feed.waiting(), 2, "the write queue has room for three of them");
        let task = Task::new();
        let mut send = Box::pin(sender.send("last"));
        assert!(task.poll(&mut send).is_pending());
        let receiving = Task::new();
        let mut recv = Box::pin(ws.recv());
        assert!(receiving.poll(&mut recv).is_pending());
        peer.take_everything();
        // Whichever task moves the bytes, both are polled when they are woken.
        for _ in 0..10 {
            if task.was_woken() && task.poll(&mut send).is_ready() {
                break;
            }
            if receiving.was_woken() {
                assert!(receiving.poll(&mut recv).is_pending());
            }
        }
        assert_eq!(texts(&peer), ["first", "0", "1", "2", "3", "4", "last"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_owner_waits_for_room_behind_what_was_published() {
    for role in ROLES {
        for prepared in [false, true] {
            let (mut ws, peer, feed) = blocked(role, four_messages());
            (0..5).for_each(|number| feed.publish(number.to_string()));
            let message = PreparedMessage::new("last");
            let owner = tokio::spawn(async move {
                if prepared {
                    ws.send_prepared(&message).await
                } else {
                    ws.send("last").await.map_err(|error| error.map(drop))
                }
            });
            tokio::task::yield_now().await;
            peer.take_everything();
            timeout(SECOND, owner).await.unwrap().unwrap().unwrap();
            assert_eq!(texts(&peer), ["first", "0", "1", "2", "3", "4", "last"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_sink_accepts_goes_behind_what_was_published_and_before_what_comes_later() {
    for role in ROLES {
        let (mut ws, peer, feed) = blocked(role, four_messages());
        (0..5).for_each(|number| feed.publish(number.to_string()));
        futures_util::SinkExt::feed(&mut ws, Message::from("accepted")).await.unwrap();
        feed.publish("later");
        peer.take_everything();
        timeout(SECOND, futures_util::SinkExt::flush(&mut ws)).await.unwrap().unwrap();
        cancelled_after(3, ws.recv()).await;
        assert_eq!(texts(&peer), ["first", "0", "1", "2", "3", "4", "accepted", "later"]);
    }
}

#[tokio::test(start_paused = true)]
async fn publications_that_never_end_keep_no_message_from_its_turn() {
    for role in ROLES {
        for large in [false, true] {
            let (mut ws, peer, feed) = blocked(role, four_messages());
            let message = if large { text(0, 2 * 1024 * 1024) } else { text(0, 10) };
            let sender = ws.sender();
            feed.flood(2);
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..3 {
                let (sender, message) = (sender.clone(), message.clone());
                tasks.spawn(async move { sender.send(message).await });
            }
            let owner = tokio::spawn(async move {
                ws.send(message).await.unwrap();
                while ws.recv().await.is_some() {}
            });
            // The peer takes about one publication at a time.
            let (mut others, mut own) = (0, 0);
            for _ in 0..600 {
                peer.take_only(if large { 100_000 } else { 22 });
                tokio::task::yield_now().await;
                for frame in peer.received() {
                    if frame.payload.len() == 20 { others += 1 } else { own += 1 }
                }
                if own == 5 {
                    break;
                }
            }
            assert_eq!(own, 5, "{role:?}, large {large}: behind {others} publications");
            assert!(others > 3, "publications are not kept from theirs either: {others}");
            owner.abort();
            let _ = owner.await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_gives_up_its_place_does_not_hold_publications_up() {
    for role in ROLES {
        let (mut ws, peer, feed) = blocked(role, four_messages());
        let sender = ws.sender();
        (0..3).for_each(|_| sender.try_send("fill").unwrap());
        let (task, receiving) = (Task::new(), Task::new());
        let mut send = Box::pin(sender.send("given up"));
        assert!(task.poll(&mut send).is_pending());
        let mut recv = Box::pin(ws.recv());
        assert!(receiving.poll(&mut recv).is_pending());
        feed.publish("published");
        peer.take_everything();
        receiving.was_woken();
        // Room is promised to the sender. It is not polled.
        assert!(receiving.poll(&mut recv).is_pending());
        assert_eq!(texts(&peer), ["first", "fill", "fill", "fill"]);
        drop(send);
        assert!(receiving.was_woken());
        assert!(receiving.poll(&mut recv).is_pending());
        assert_eq!(peer.received(), [Frame::text("published")]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_peer_does_not_take_waits_in_the_feed() {
    for role in ROLES {
        let (mut ws, _peer, feed) = blocked(role, config());
        for number in 0..50 {
            feed.publish(text(number, 20));
            cancelled_after(1, ws.recv()).await;
        }
        assert_eq!(feed.waiting(), 50, "there the feed can drop what is out of date");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_discards_what_has_no_room_and_keeps_what_was_accepted() {
    for role in ROLES {
        let (mut ws, peer, feed) = blocked(role, four_messages());
        (0..5).for_each(|number| feed.publish(number.to_string()));
        cancelled_after(1, ws.close(ws_proto::CloseCode::NORMAL, "")).await;
        assert_eq!(feed.ended(), 1);
        peer.take_everything();
        cancelled_after(5, ws.recv()).await;
        let received = peer.received();
        assert_eq!(received.len(), 5, "{received:?}");
        let payloads: Vec<_> = received[..4].iter().map(|frame| frame.payload.as_slice()).collect();
        assert_eq!(payloads, [b"first".as_slice(), b"0", b"1", b"2"]);
        assert_eq!(received[4], Frame::close(1000, ""));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_refused_message_let_in_front_of_it_is_written_by_the_servers_task() {
    let (hand_over, mut sender) = mpsc::unbounded_channel();
    let (mut server, peer) = serve(four_messages(), async move |mut ws| {
        hand_over.send(ws.sender()).unwrap();
        while ws.recv().await.is_some() {}
    });
    let task = Task::new();
    assert!(task.poll(&mut server).is_pending());
    let sender = sender.recv().await.unwrap();
    let feed = TestFeed::attach(&sender);
    // A reactor that finds nothing due gives the connection no turn.
    (0..5).for_each(|number| feed.publish_quietly(number.to_string()));
    assert_eq!(sender.try_send("no"), Err(SendError::Full(Message::from("no"))));
    assert!(task.was_woken());
    assert!(task.poll(&mut server).is_pending());
    assert_eq!(texts(&peer), ["0", "1", "2", "3", "4"]);
}
