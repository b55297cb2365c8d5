//! A task that only sends also reads, and `Sender::send` returns once its message is handed to the transport.

use std::{io::ErrorKind, time::Duration};

use tokio::time::{advance, sleep};
use ws_proto::{
    Keepalive, Message,
    error::{ConnectionError, SendError, TimedOut},
};

use crate::support::{Frame, ROLES, Task, config, opcode, open, open_with, text};

/// Sends that may still succeed after the peer's Close has arrived.
const UNNOTICED: usize = 2;

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_answers_pings() {
    for role in ROLES {
        for by_sender in [false, true] {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            for number in 0..3 {
                peer.send(Frame::ping(number.to_string()));
                if by_sender {
                    sender.send("data").await.unwrap();
                } else {
                    ws.send("data").await.unwrap();
                }
                let frames = peer.received();
                assert!(frames.iter().any(|frame| frame.opcode == opcode::PONG), "{frames:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_sees_the_close_of_the_peer() {
    for role in ROLES {
        for by_sender in [false, true] {
            let (mut ws, peer) = open(role);
            let sender = ws.sender();
            ws.send("data").await.unwrap();
            peer.send(Frame::close(4000, ""));
            let mut sent = 0;
            loop {
                let result = if by_sender { sender.send("data").await } else { ws.send("data").await };
                match result {
                    Ok(()) => sent += 1,
                    Err(error) => break assert!(matches!(error, SendError::Closed(_))),
                }
                assert!(sent <= UNNOTICED);
            }
            assert_eq!(peer.received().last(), Some(&Frame::close(4000, "")));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_sees_a_reset() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("last words"));
        peer.fail_reads(ErrorKind::ConnectionReset);
        let mut sent = 0;
        while ws.send("data").await.is_ok() {
            sent += 1;
            assert!(sent <= UNNOTICED);
        }
        assert_eq!(ws.recv().await, Some(Message::text("last words")));
        assert_eq!(ws.recv().await, None);
        let reset = ConnectionError::Transport(ErrorKind::ConnectionReset);
        assert_eq!(ws.close_info().unwrap().error, Some(reset));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_only_sends_sees_the_keepalive_timeout() {
    for role in ROLES {
        let mut config = config();
        let (interval, timeout) = (Duration::from_secs(20), Duration::from_secs(10));
        config.keepalive = Some(Keepalive::new(interval, timeout));
        let (mut ws, _peer) = open_with(role, config);
        for _ in 0..60 {
            if ws.send("data").await.is_err() {
                break;
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!(!ws.is_open());
        while ws.recv().await.is_some() {}
        assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Keepalive.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrive_while_a_task_only_sends_are_held_up_to_the_limit() {
    for role in ROLES {
        let mut config = config();
        config.limits.max_held_bytes = 1000;
        let (mut ws, peer) = open_with(role, config);
        peer.read_slowly(200);
        let messages: Vec<String> = (0..200).map(|number| text(number, 40)).collect();
        peer.send_all(messages.iter().cloned().map(Frame::text));
        let all = peer.unread();
        for _ in 0..100 {
            ws.send("data").await.unwrap();
        }
        let read = all - peer.unread();
        assert!((1000..3000).contains(&read), "{read} bytes are read for an application that only sends");
        for message in messages {
            assert_eq!(ws.recv().await, Some(Message::from(message)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_right_after_a_recv_does_not_read() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        for _ in 0..3 {
            peer.send(Frame::text("question"));
            assert_eq!(ws.recv().await, Some(Message::text("question")));
            let before = peer.counts().polls;
            ws.send("answer").await.unwrap();
            assert_eq!(peer.counts().polls, before + 1, "a single write");
        }
    }
}

#[test]
fn a_message_that_a_sender_reads_wakes_the_owner() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (owner, other) = (Task::new(), Task::new());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.send(Frame::text("hello"));
        let sender = ws.sender();
        let mut send = Box::pin(sender.send("data"));
        assert!(other.poll(&mut send).is_ready());
        assert!(owner.was_woken());
        assert_eq!(ws.poll_recv(&mut owner.cx()), std::task::Poll::Ready(Some(Message::text("hello"))));
    }
}

#[tokio::test]
async fn a_senders_message_is_handed_over_before_send_returns() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.take_only(3);
        let (sender, task) = (ws.sender(), Task::new());
        let message = text(1, 1_000_000);
        let mut send = Box::pin(sender.send(message.clone()));
        assert!(task.poll(&mut send).is_pending());
        peer.take_only(500_000);
        assert!(task.was_woken() && task.poll(&mut send).is_pending());
        peer.take_everything();
        assert!(task.was_woken() && task.poll(&mut send).is_ready());
        assert_eq!(peer.received(), [Frame::text(message)]);
    }
}

#[tokio::test]
async fn a_sender_does_not_wait_for_what_others_sent_after_it() {
    for role in ROLES {
        let (ws, peer) = open(role);
        peer.take_only(0);
        let (sender, tasks) = (ws.sender(), [Task::new(), Task::new()]);
        let mut first = Box::pin(sender.send("first"));
        assert!(tasks[0].poll(&mut first).is_pending());
        let message = text(2, 100_000);
        let mut second = Box::pin(sender.send(message));
        assert!(tasks[1].poll(&mut second).is_pending());
        peer.take_only(1000);
        assert!(tasks[0].was_woken() && tasks[0].poll(&mut first).is_ready());
        assert!(tasks[1].poll(&mut second).is_pending());
    }
}

#[tokio::test]
async fn a_sender_that_waits_for_the_transport_may_be_dropped_and_its_message_goes_out() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (owner, other) = (Task::new(), Task::new());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.take_only(3);
        let sender = ws.sender();
        let mut send = Box::pin(sender.send("in two parts"));
        assert!(other.poll(&mut send).is_pending());
        owner.was_woken();
        drop(send);
        assert!(owner.was_woken(), "another task must continue the write");
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        peer.take_everything();
        assert!(owner.was_woken());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        assert_eq!(peer.received(), [Frame::text("in two parts")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_waits_for_the_transport_watches_the_deadlines() {
    for role in ROLES {
        let mut config = config();
        config.write_timeout = Some(Duration::from_secs(30));
        let (mut ws, peer) = open_with(role, config);
        peer.take_only(0);
        let sender = ws.sender();
        let send = tokio::spawn(async move { sender.send("never").await });
        sleep(Duration::from_secs(31)).await;
        send.await.unwrap().unwrap();
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Write.into()));
    }
}
