//! Many tasks on one connection.

use std::{collections::HashMap, pin::Pin, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use ws_proto::{CloseCode, Config, Message, error::SendError};
use ws_tokio::Sender;

use crate::support::{Frame, Peer, ROLES, Task, config, open, open_with};

const SECOND: Duration = Duration::from_secs(1);

fn one_message_at_a_time() -> Config {
    let mut config = config();
    config.write_queue_messages = 1;
    config
}

/// Every message of every sender arrived once, and those of one sender in its order.
fn expect_all(peer: &Peer, senders: usize, messages: usize) {
    let mut next: HashMap<String, usize> = HashMap::new();
    for frame in peer.received() {
        let text = String::from_utf8(frame.payload).unwrap();
        let (sender, number) = text.split_once(' ').unwrap();
        let expected = next.entry(sender.to_owned()).or_default();
        assert_eq!(number.parse(), Ok(*expected), "of sender {sender}");
        *expected += 1;
    }
    assert_eq!(next.len(), senders);
    assert!(next.values().all(|count| *count == messages), "{next:?}");
}

async fn send_all(sender: Sender, number: usize, messages: usize) {
    for message in 0..messages {
        sender.send(format!("{number} {message}")).await.unwrap();
        if message % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_many_tasks_arrive_once_and_in_the_order_of_each_task() {
    for role in ROLES {
        for single_bytes in [false, true] {
            let (mut ws, peer) = open_with(role, one_message_at_a_time());
            if single_bytes {
                peer.move_single_bytes();
            }
            let mut tasks = JoinSet::new();
            for number in 0..20 {
                tasks.spawn(send_all(ws.sender(), number, 30));
            }
            // Meanwhile the owner waits for messages, the usual case.
            let owner = tokio::spawn(async move { ws.recv().await });
            timeout(60 * SECOND, tasks.join_all()).await.expect("no sender is stuck");
            tokio::task::yield_now().await;
            owner.abort();
            let _ = owner.await;
            expect_all(&peer, 20, 30);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn senders_on_several_threads_lose_nothing() {
    let (client, server) = tokio::io::duplex(300);
    let connection = |role| crate::support::connection(role, one_message_at_a_time());
    let mut client = ws_tokio::WebSocket::new(client, connection(ROLES[0]));
    let mut server = ws_tokio::WebSocket::new(server, connection(ROLES[1]));
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        tasks.spawn(send_all(client.sender(), number, 200));
    }
    let owner = tokio::spawn(async move { client.recv().await });
    let mut next = [0; 8];
    for _ in 0..8 * 200 {
        let message = timeout(10 * SECOND, server.recv()).await.expect("no sender is stuck").unwrap();
        let (sender, number) = message.as_text().unwrap().split_once(' ').unwrap();
        let expected = &mut next[sender.parse::<usize>().unwrap()];
        assert_eq!(number.parse(), Ok(*expected));
        *expected += 1;
    }
    tasks.join_all().await;
    server.close(CloseCode::NORMAL, "").await;
    assert_eq!(owner.await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_sender_works_while_the_owner_does_something_else() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message_at_a_time());
        peer.move_single_bytes();
        let sender = ws.sender();
        for number in 0..10 {
            sender.send(number.to_string()).await.unwrap();
        }
        // The last message may still wait for the transport; the next send writes it too.
        drop(timeout(SECOND, sender.send("end")).await);
        let expected: Vec<Frame> = (0..10).map(|number| Frame::text(number.to_string())).collect();
        assert_eq!(peer.received()[..10], expected);
        drop(ws);
    }
}

#[test]
fn a_sender_that_waits_is_woken_although_the_owner_is_not_polled() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let (first, second) = (ws.sender(), ws.sender());
        first.try_send("fills the queue").unwrap();
        let tasks = [Task::new(), Task::new()];
        let mut sends = [Box::pin(first.send("1")), Box::pin(second.send("2"))];
        for (task, send) in tasks.iter().zip(&mut sends) {
            assert!(task.poll(send).is_pending() && !task.was_woken());
        }
        peer.take_everything();
        for (task, send) in tasks.iter().zip(&mut sends) {
            assert!(task.was_woken());
            assert!(task.poll(send).is_ready());
        }
        assert_eq!(peer.received(), ["fills the queue", "1", "2"].map(Frame::text));
    }
}

#[test]
fn a_waiting_sender_that_is_dropped_lets_the_next_one_send() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        let tasks = [Task::new(), Task::new()];
        let mut dropped = Box::pin(sender.send("dropped"));
        let mut stays = Box::pin(sender.send("stays"));
        assert!(tasks[0].poll(&mut dropped).is_pending());
        assert!(tasks[1].poll(&mut stays).is_pending());
        peer.take_everything();
        assert!(tasks[0].was_woken());
        drop(dropped);
        assert!(tasks[1].was_woken());
        assert!(tasks[1].poll(&mut stays).is_ready());
        assert_eq!(peer.received(), ["fills the queue", "stays"].map(Frame::text));
    }
}

#[test]
fn dropped_sends_leave_no_wakers_behind() {
    for role in ROLES {
        let (ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        let kept = Task::new();
        let mut waits = Box::pin(sender.send("waits"));
        let mut alive = 0;
        for _ in 0..1000 {
            assert!(kept.poll(&mut waits).is_pending());
            let task = Task::new();
            assert!(task.poll(&mut Box::pin(sender.send("dropped"))).is_pending());
            alive += task.wakers();
        }
        assert_eq!(alive, 0);
        peer.take_everything();
        assert!(kept.was_woken() && kept.poll(&mut waits).is_ready());
    }
}

#[tokio::test]
async fn a_sender_that_waits_for_room_is_woken_when_the_connection_ends() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        let (waiting, owner) = (Task::new(), Task::new());
        let mut send = Box::pin(sender.send("never"));
        assert!(waiting.poll(&mut send).is_pending());
        peer.send(Frame::close(1000, ""));
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        assert!(waiting.was_woken());
        let refused = Err(SendError::Closed(Message::text("never")));
        assert_eq!(waiting.poll(&mut send), std::task::Poll::Ready(refused));
    }
}

#[tokio::test]
async fn a_sender_that_waits_for_room_is_woken_by_our_own_close() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        let (waiting, owner) = (Task::new(), Task::new());
        let mut send = Box::pin(sender.send("never"));
        assert!(waiting.poll(&mut send).is_pending() && !waiting.was_woken());
        let mut close = Box::pin(ws.close(CloseCode::NORMAL, ""));
        assert!(owner.poll(&mut close).is_pending());
        assert!(waiting.was_woken());
        assert!(matches!(waiting.poll(&mut send), std::task::Poll::Ready(Err(SendError::Closed(_)))));
    }
}

#[test]
fn the_owner_that_waits_in_recv_is_woken_when_a_sender_finds_the_transport_broken() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let owner = Task::new();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        assert!(!owner.was_woken());
        peer.fail_writes(std::io::ErrorKind::BrokenPipe);
        ws.sender().try_send("not delivered").unwrap();
        assert!(owner.was_woken());
        // What the peer sent before is read until the end.
        peer.end();
        assert!(ws.poll_recv(&mut owner.cx()).is_ready());
    }
}

#[test]
fn the_owner_that_waits_in_recv_writes_what_a_sender_could_not() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let owner = Task::new();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.take_only(3);
        ws.sender().try_send("in two parts").unwrap();
        owner.was_woken();
        peer.take_everything();
        assert!(owner.was_woken());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        assert_eq!(peer.received(), [Frame::text("in two parts")]);
    }
}

#[test]
fn the_owner_that_waits_in_recv_is_woken_by_a_message_after_another_task_used_the_connection() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, one_message_at_a_time());
        let (owner, other) = (Task::new(), Task::new());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        {
            let mut send = Box::pin(sender.send("waits"));
            assert!(other.poll(&mut send).is_pending());
        }
        owner.was_woken();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.send(Frame::text("hello"));
        assert!(owner.was_woken());
        assert_eq!(ws.poll_recv(&mut owner.cx()), std::task::Poll::Ready(Some(Message::text("hello"))));
    }
}

#[test]
fn a_message_that_arrives_while_a_sender_polls_still_wakes_the_owner() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, one_message_at_a_time());
        let (owner, other) = (Task::new(), Task::new());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        owner.was_woken();
        peer.send(Frame::text("hello"));
        // The sender, which also reads, is polled first.
        let mut send = Box::pin(sender.send("waits"));
        assert!(other.poll(&mut send).is_pending());
        assert!(owner.was_woken());
        assert_eq!(ws.poll_recv(&mut owner.cx()), std::task::Poll::Ready(Some(Message::text("hello"))));
    }
}

/// `count` sends that wait for room, each with a task of its own.
fn waiting_sends(sender: &Sender, count: usize) -> Vec<(Task, Send<'_>)> {
    let send = |number: usize| {
        let (task, mut send): (_, Send<'_>) = (Task::new(), Box::pin(sender.send(number.to_string())));
        assert!(task.poll(&mut send).is_pending());
        (task, send)
    };
    (0..count).map(send).collect()
}

type Send<'a> = Pin<Box<dyn Future<Output = Result<(), SendError<Message>>> + 'a>>;

#[test]
fn senders_that_wait_cost_a_constant_number_of_polls_each_and_are_served_in_order() {
    const COUNT: usize = 2000;
    for role in ROLES {
        for messages in [1, 100] {
            let mut config = config();
            config.write_queue_messages = messages;
            let (ws, peer) = open_with(role, config);
            peer.take_only(0);
            let sender = ws.sender();
            while sender.try_send("fills the queue").is_ok() {}
            let mut waiting = waiting_sends(&sender, COUNT);
            peer.take_everything();
            let mut polls = 0;
            while !waiting.is_empty() {
                let before = polls;
                waiting.retain_mut(|(task, send)| {
                    let woken = task.was_woken();
                    polls += usize::from(woken);
                    !woken || task.poll(send).is_pending()
                });
                assert!(polls > before, "{} wait for ever", waiting.len());
            }
            assert!(polls <= 3 * COUNT, "{polls} polls");
            let expected: Vec<Frame> = (0..COUNT).map(|number| Frame::text(number.to_string())).collect();
            assert!(peer.received()[messages..] == expected, "in order");
        }
    }
}

#[test]
fn a_sender_dropped_before_or_after_it_was_woken_passes_its_room_on() {
    for role in ROLES {
        for dropped in 0..4 {
            for is_woken in [false, true] {
                let (ws, peer) = open_with(role, one_message_at_a_time());
                peer.take_only(0);
                let sender = ws.sender();
                sender.try_send("fills the queue").unwrap();
                let mut waiting = waiting_sends(&sender, 4);
                if is_woken {
                    peer.take_everything();
                }
                drop(waiting.remove(dropped));
                peer.take_everything();
                while let Some(at) = waiting.iter().position(|(task, _)| task.was_woken()) {
                    let (task, send) = &mut waiting[at];
                    if task.poll(send).is_ready() {
                        drop(waiting.remove(at));
                    }
                }
                assert!(waiting.is_empty(), "{} wait for ever", waiting.len());
                assert_eq!(peer.received().len(), 4);
            }
        }
    }
}

#[test]
fn neither_the_owner_nor_a_sender_is_starved_by_the_other() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, one_message_at_a_time());
        peer.take_only(0);
        let sender = ws.sender();
        sender.try_send("fills the queue").unwrap();
        let mut waiting = waiting_sends(&sender, 10);
        let (owner, mut sent) = (Task::new(), 0);
        // The owner always has another message; the senders wait.
        for round in 0..1000 {
            peer.take_only(0);
            let mut feed = Box::pin(ws.feed("owner"));
            let mut polled = owner.poll(&mut feed);
            peer.take_everything();
            if polled.is_pending() && owner.was_woken() {
                polled = owner.poll(&mut feed);
            }
            sent += usize::from(polled.is_ready());
            drop(feed);
            if let Some(at) = waiting.iter().position(|(task, _)| task.was_woken()) {
                let (task, send) = &mut waiting[at];
                if task.poll(send).is_ready() {
                    drop(waiting.remove(at));
                }
            }
            assert!(round < 900 || waiting.is_empty(), "{} wait for ever", waiting.len());
        }
        assert!(sent >= 100, "{sent}");
    }
}
