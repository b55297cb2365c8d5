//! A `Sender` as a `Sink`.

use std::{
    pin::Pin,
    task::{Poll, ready},
};

use futures_sink::Sink;
use ws_proto::{CloseCode, Message, Role, error::SendError};
use ws_tokio::{Error, Sender, WebSocket};

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, open_with};

/// A connection with room for one message, which is taken, and a transport that takes nothing.
fn full(role: Role) -> (WebSocket<TestTransport>, Peer, Sender) {
    let mut config = config();
    config.write_queue_messages = 1;
    let (ws, peer) = open_with(role, config);
    peer.take_only(0);
    let sender = ws.sender();
    sender.try_send("first").unwrap();
    (ws, peer, sender)
}

fn flush(sender: &mut Sender, task: &Task) -> Poll<Result<(), Error>> {
    Pin::new(sender).poll_flush(&mut task.cx())
}

fn put(sender: &mut Sender, text: &str) -> Result<(), Error> {
    Pin::new(sender).start_send(text.into())
}

/// Polls the owner until nothing more happens.
fn drive(ws: &mut WebSocket<TestTransport>) {
    for _ in 0..10 {
        let _ = ws.poll_recv(&mut Task::new().cx());
    }
}

#[tokio::test]
async fn one_message_is_accepted_beyond_the_limits_and_no_second_one() {
    for role in ROLES {
        let (mut ws, peer, mut sender) = full(role);
        let task = Task::new();
        assert!(Pin::new(&mut sender).poll_ready(&mut task.cx()).is_ready(), "it holds no message");
        put(&mut sender, "second").unwrap();
        assert!(Pin::new(&mut sender).poll_ready(&mut task.cx()).is_pending());
        assert_eq!(put(&mut sender, "third"), Err(Error::Full));
        peer.take_everything();
        drive(&mut ws);
        assert!(task.was_woken());
        assert_eq!(flush(&mut sender, &task), Poll::Ready(Ok(())));
        assert_eq!(peer.received(), ["first", "second"].map(Frame::text));
    }
}

#[tokio::test]
async fn a_message_that_was_polled_goes_before_later_sends_of_all_clones() {
    for role in ROLES {
        let (mut ws, peer, mut sink) = full(role);
        let (clone, [of_sink, of_send, of_clone]) = (sink.clone(), [(); 3].map(|()| Task::new()));
        put(&mut sink, "second").unwrap();
        assert!(flush(&mut sink, &of_sink).is_pending());
        let mut third = Box::pin(clone.send("third"));
        assert!(of_clone.poll(&mut third).is_pending());
        let again = sink.clone();
        let mut fourth = Box::pin(again.send("fourth"));
        assert!(of_send.poll(&mut fourth).is_pending());
        peer.take_everything();
        for _ in 0..10 {
            drive(&mut ws);
            let _ = flush(&mut sink, &of_sink).is_ready() && of_clone.poll(&mut third).is_ready();
            if of_send.poll(&mut fourth).is_ready() {
                break;
            }
        }
        assert_eq!(peer.received(), ["first", "second", "third", "fourth"].map(Frame::text), "{role:?}");
    }
}

#[tokio::test]
async fn a_sink_that_is_dropped_passes_its_place_on() {
    for role in ROLES {
        let (mut ws, peer, mut sink) = full(role);
        let (other, task) = (sink.clone(), Task::new());
        put(&mut sink, "never sent").unwrap();
        assert!(flush(&mut sink, &Task::new()).is_pending());
        let mut waiting = Box::pin(other.send("second"));
        assert!(task.poll(&mut waiting).is_pending());
        drop(sink);
        peer.take_everything();
        drive(&mut ws);
        assert!(task.was_woken() && task.poll(&mut waiting).is_ready());
        assert_eq!(peer.received(), ["first", "second"].map(Frame::text));
    }
}

#[tokio::test]
async fn a_dropped_sink_leaves_no_waker() {
    for role in ROLES {
        let (_ws, peer, mut sink) = full(role);
        let task = Task::new();
        put(&mut sink, "waits for room").unwrap();
        assert!(flush(&mut sink, &task).is_pending());
        drop(sink);
        peer.take_everything();
        assert_eq!(task.wakers(), 0);
    }
}

#[tokio::test]
async fn a_clone_is_a_sink_of_its_own() {
    for role in ROLES {
        let (_ws, _peer, mut sink) = full(role);
        put(&mut sink, "waits").unwrap();
        let mut clone = sink.clone();
        assert_eq!(flush(&mut clone, &Task::new()), Poll::Ready(Ok(())));
        put(&mut clone, "waits too").unwrap();
    }
}

#[tokio::test]
async fn closing_the_sink_closes_behind_its_messages() {
    for role in ROLES {
        let (mut ws, peer, mut sink) = full(role);
        let task = Task::new();
        put(&mut sink, "second").unwrap();
        let mut close = |task: &Task| {
            ready!(Pin::new(&mut sink).poll_close(&mut task.cx())).unwrap();
            Poll::Ready(())
        };
        assert!(close(&task).is_pending());
        peer.take_everything();
        drive(&mut ws);
        assert!(close(&task).is_ready());
        drive(&mut ws);
        assert_eq!(
            peer.received(),
            [Frame::text("first"), Frame::text("second"), Frame::close(1000, "")],
            "{role:?}"
        );
        assert!(close(&task).is_ready(), "a second time does nothing");
    }
}

#[tokio::test]
async fn once_the_connection_closes_the_sink_returns_errors() {
    for role in ROLES {
        let (_ws, _peer, mut sink) = full(role);
        let task = Task::new();
        put(&mut sink, "waits").unwrap();
        assert!(flush(&mut sink, &task).is_pending());
        sink.close(CloseCode::NORMAL, "");
        assert!(task.was_woken());
        assert_eq!(flush(&mut sink, &task), Poll::Ready(Err(Error::Closed)));
        assert_eq!(put(&mut sink, "late"), Err(Error::Closed));
        assert_eq!(flush(&mut sink, &task), Poll::Ready(Ok(())), "no message is left");
        let late = sink.try_send("late");
        assert_eq!(late.map_err(SendError::into_payload), Err(Message::text("late")));
    }
}
