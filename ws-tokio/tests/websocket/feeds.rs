//! The messages of a feed go out in their places among the connection's own, whatever is sent and however.

use std::{future::pending, time::Duration};

use tokio::{
    sync::mpsc,
    task::yield_now,
    time::{sleep, timeout},
};
use ws_proto::{CloseCode, Message, PreparedMessage, Role, error::SendError};
use ws_tokio::{
    Sender, WebSocket,
    internal::{Home, ServerHalf},
};

use crate::support::{
    Frame, Peer, ROLES, Task, TestFeed, TestTransport, cancelled_after, config, connection, opcode, open,
    open_with, serve, text,
};

const SECOND: Duration = Duration::from_secs(1);

/// The ways to send a message.
const WAYS: usize = 8;

async fn send(way: usize, ws: &mut WebSocket<TestTransport>, sender: &mut Sender, text: String) {
    match way {
        0 => ws.send(text).await.unwrap(),
        1 => ws.feed(text).await.unwrap(),
        2 => ws.send_prepared(&PreparedMessage::new(text.as_str())).await.unwrap(),
        3 => futures_util::SinkExt::send(ws, Message::from(text)).await.unwrap(),
        4 => sender.send(text).await.unwrap(),
        5 => sender.try_send(text).unwrap(),
        6 => sender.try_send_prepared(&PreparedMessage::new(text.as_str())).unwrap(),
        _ => futures_util::SinkExt::send(sender, Message::from(text)).await.unwrap(),
    }
}

/// Publishes and sends in turn, in each way.
async fn publish_and_send(ws: &mut WebSocket<TestTransport>, feed: &TestFeed, sender: &mut Sender) {
    for round in 0..3 {
        for way in 0..WAYS {
            (0..round).for_each(|number| feed.publish(format!("published {round} {way} {number}")));
            send(way, ws, sender, format!("sent {round} {way}")).await;
        }
    }
}

fn expected() -> Vec<Frame> {
    let of_way = |round: usize, way: usize| {
        let published = (0..round).map(move |number| format!("published {round} {way} {number}"));
        published.chain([format!("sent {round} {way}")])
    };
    let all = (0..3).flat_map(move |round| (0..WAYS).flat_map(move |way| of_way(round, way)));
    all.map(Frame::text).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_and_what_is_sent_arrive_in_one_order() {
    for role in ROLES {
        for single_bytes in [false, true] {
            let (mut ws, peer) = open(role);
            if single_bytes {
                peer.move_single_bytes();
            }
            let mut sender = ws.sender();
            let feed = TestFeed::attach(&sender);
            publish_and_send(&mut ws, &feed, &mut sender).await;
            ws.flush().await;
            assert_eq!(peer.received(), expected(), "{role:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn under_a_servers_task_they_arrive_in_one_order_too() {
    let (server, peer) = serve(config(), async |mut ws| {
        let mut sender = ws.sender();
        let feed = TestFeed::attach(&sender);
        publish_and_send(&mut ws, &feed, &mut sender).await;
        pending().await
    });
    let server = tokio::spawn(server);
    sleep(SECOND).await;
    assert_eq!(peer.received(), expected());
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn several_publications_wake_the_owner_and_leave_in_one_write() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (feed, task) = (TestFeed::attach(&ws.sender()), Task::new());
        let mut recv = Box::pin(ws.recv());
        assert!(task.poll(&mut recv).is_pending());
        (0..10).for_each(|number| feed.publish(number.to_string()));
        assert!(task.was_woken());
        assert_eq!(peer.counts().writes, 0, "they wait for the owner's turn");
        assert!(task.poll(&mut recv).is_pending());
        assert_eq!(
            peer.received(),
            (0..10).map(|number| Frame::text(number.to_string())).collect::<Vec<_>>()
        );
        assert_eq!(peer.counts().writes, 1);
        assert!(!task.was_woken(), "nothing is left to do");
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_task_writes_publications_with_what_the_application_sends() {
    let (hand_over, mut sender) = mpsc::unbounded_channel();
    let (mut server, peer) = serve(config(), async move |mut ws| {
        hand_over.send(ws.sender()).unwrap();
        while let Some(message) = ws.recv().await {
            ws.send(message).await.unwrap();
        }
    });
    let task = Task::new();
    assert!(task.poll(&mut server).is_pending());
    let feed = TestFeed::attach(&sender.recv().await.unwrap());
    (0..3).for_each(|number| feed.publish(number.to_string()));
    assert!(task.was_woken());
    peer.send(Frame::text("echo"));
    assert!(task.poll(&mut server).is_pending());
    let received: Vec<_> = peer.received().into_iter().map(|frame| frame.payload).collect();
    assert_eq!(received, [b"0".to_vec(), b"1".to_vec(), b"2".to_vec(), b"echo".to_vec()]);
    assert_eq!(peer.counts().writes, 1);
}

#[tokio::test(start_paused = true)]
async fn a_poll_ends_although_publications_never_do() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (feed, task) = (TestFeed::attach(&ws.sender()), Task::new());
        feed.flood(100_000);
        {
            let mut recv = Box::pin(ws.recv());
            assert!(task.poll(&mut recv).is_pending());
            yield_now().await;
            assert!(task.was_woken(), "it continues in the next poll");
        }
        assert!((1..=8).contains(&peer.counts().writes), "{:?}", peer.counts());
        // What was queued goes out, and a flush does not wait for what comes then.
        timeout(SECOND, ws.send("sent")).await.unwrap().unwrap();
        assert_eq!(peer.received().iter().filter(|frame| frame.payload == b"sent").count(), 1);
    }
}

/// The ways to begin the closing handshake.
const CLOSES: usize = 4;

async fn close(way: usize, ws: &mut WebSocket<TestTransport>, sender: &Sender) {
    match way {
        0 => drop(cancelled_after(1, ws.close(CloseCode::NORMAL, "")).await),
        1 => sender.close(CloseCode::NORMAL, ""),
        2 => drop(cancelled_after(1, futures_util::SinkExt::close(ws)).await),
        _ => drop(cancelled_after(1, ws.close_without_code()).await),
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_behind_what_was_published_and_ends_the_feed() {
    for role in ROLES {
        for way in 0..CLOSES {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            let feed = TestFeed::attach(&sender);
            feed.publish("before");
            close(way, &mut ws, &sender).await;
            assert_eq!(feed.ended(), 1, "way {way}");
            feed.publish("behind");
            cancelled_after(3, ws.recv()).await;
            let received = peer.received();
            assert_eq!((received.len(), received[1].opcode), (2, opcode::CLOSE), "{received:?}");
            assert_eq!(received[0], Frame::text("before"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_drops_the_connection_leaves_no_publication_behind() {
    let (server, peer) = serve(config(), async |ws| TestFeed::attach(&ws.sender()).publish("before"));
    peer.answer_close();
    assert!(server.await.is_clean());
    let received = peer.received();
    assert_eq!((&received[0], received[1].opcode), (&Frame::text("before"), opcode::CLOSE));
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_once_however_the_connection_ends() {
    type End = fn(WebSocket<TestTransport>, &Peer);
    let ends: [End; 5] = [
        |ws, _| drop(ws),
        |mut ws, _| ws.abort(),
        |ws, _| drop(ws.into_parts()),
        |ws, _| ws.sender().abort(),
        |ws, _| ws.sender().close(CloseCode::NORMAL, ""),
    ];
    let by_peer: [fn(&Peer); 4] = [
        |peer| peer.send(Frame::close(1000, "")),
        |peer| peer.end(),
        |peer| peer.fail_reads(std::io::ErrorKind::ConnectionReset),
        |peer| peer.send_bytes(&[0xff; 10]),
    ];
    for role in ROLES {
        for end in ends {
            let (ws, peer) = open(role);
            let feed = TestFeed::attach(&ws.sender());
            feed.publish("waits");
            end(ws, &peer);
            assert_eq!(feed.ended(), 1);
        }
        for end in by_peer {
            let (mut ws, peer) = open(role);
            let feed = TestFeed::attach(&ws.sender());
            feed.publish("waits");
            end(&peer);
            cancelled_after(10, ws.recv()).await;
            assert_eq!(feed.ended(), 1);
            drop(ws);
            assert_eq!(feed.ended(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_once_however_a_server_ends_the_connection() {
    type End = fn(ServerHalf<TestTransport>);
    let ends: [End; 4] = [
        |half| half.close(CloseCode::GOING_AWAY, ""),
        |half| half.abort(),
        |half| half.fail(ws_proto::error::ConnectionError::Internal),
        |half| drop(half),
    ];
    for end in ends {
        let (transport, _peer) = TestTransport::new(Role::Server);
        let (half, ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
        let feed = TestFeed::attach(&ws.sender());
        end(half);
        drop(ws);
        assert_eq!(feed.ended(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_one_feed_and_none_once_it_is_closing() {
    let (mut ws, _peer) = open(Role::Server);
    let sender = ws.sender();
    let first = TestFeed::attach(&sender);
    assert_eq!((first.attached().home, first.attached().config.write_queue_messages), (None, 65_536));
    let again = sender.attach(&mut |_| panic!("there is one already")).unwrap();
    assert!(again.as_any().is::<TestFeed>());
    cancelled_after(1, ws.close(CloseCode::NORMAL, "")).await;
    assert!(sender.attach(&mut |_| panic!("it is closing")).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_feed_learns_where_its_connection_runs() {
    let (transport, _peer) = TestTransport::new(Role::Server);
    let (half, ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let home = Home { shard: 3, id: 7 };
    half.set_reactor(home, |io| io);
    half.begin_turn(&Task::new().cx(), tokio::time::Instant::now().into_std());
    assert_eq!(TestFeed::attach(&ws.sender()).attached().home, Some(home));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_too_slow_is_closed_by_the_feed_even_if_it_takes_nothing() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (sender, task) = (ws.sender(), Task::new());
        let feed = TestFeed::attach(&sender);
        peer.take_only(0);
        sender.try_send("waits").unwrap();
        let mut recv = Box::pin(ws.recv());
        assert!(task.poll(&mut recv).is_pending());
        feed.close_as_slow();
        assert!(task.was_woken() && task.poll(&mut recv).is_pending());
        assert_eq!(sender.try_send("late"), Err(SendError::Closed(Message::from("late"))));
        assert_eq!(feed.ended(), 1);
        peer.take_everything();
        assert!(task.poll(&mut recv).is_pending());
        let received = peer.received();
        assert_eq!(received, [Frame::text("waits"), Frame::close(1013, "slow")]);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_doubled_or_misplaced_by_futures_that_are_dropped_at_any_poll() {
    for role in ROLES {
        for polls in 1..30 {
            let mut small = config();
            small.write_queue_messages = 4;
            let (mut ws, peer) = open_with(role, small);
            peer.move_single_bytes();
            let feed = TestFeed::attach(&ws.sender());
            let (mut sent, mut expected) = (0, Vec::new());
            for number in 0..30 {
                feed.publish(text(number, 20));
                expected.push(text(number, 20));
                let message = format!("sent {sent}");
                // A refused message is not sent. It is sent again if it was not accepted.
                if let Some(Ok(())) = cancelled_after(polls, ws.feed(message.clone())).await {
                    sent += 1;
                    expected.push(message);
                }
                cancelled_after(polls, ws.recv()).await;
            }
            cancelled_after(10_000, ws.recv()).await;
            assert_eq!(feed.waiting(), 0);
            let received: Vec<_> =
                peer.received().into_iter().map(|frame| String::from_utf8(frame.payload).unwrap()).collect();
            assert_eq!(received, expected, "{role:?}, {polls} polls");
        }
    }
}
