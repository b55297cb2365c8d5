//! `Sender::closed` returns once nothing more can be sent.

use std::{io::ErrorKind, pin::pin, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use ws_proto::{CloseCode, Config, Role};
use ws_tokio::{Sender, WebSocket};

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, open, open_with, serve};

const SECOND: Duration = Duration::from_secs(1);

type End = fn(Option<WebSocket<TestTransport>>, &Peer, &Sender) -> Option<WebSocket<TestTransport>>;

/// Everything that ends a connection, or makes it refuse messages.
const ENDS: [(&str, End); 9] = [
    ("the peer closes", |ws, peer, _| {
        peer.send(Frame::close(1000, ""));
        ws
    }),
    ("the peer violates the protocol", |ws, peer, _| {
        peer.send_bytes(&[0xFF; 20]);
        ws
    }),
    ("the stream ends", |ws, peer, _| {
        peer.end();
        ws
    }),
    ("a read fails", |ws, peer, _| {
        peer.fail_reads(ErrorKind::ConnectionReset);
        ws
    }),
    ("a sender closes", |ws, _, sender| {
        sender.close(CloseCode::NORMAL, "");
        ws
    }),
    ("a sender aborts", |ws, _, sender| {
        sender.abort();
        ws
    }),
    ("the owner aborts", |mut ws, _, _| {
        ws.as_mut().unwrap().abort();
        ws
    }),
    ("the owner is dropped", |_, _, _| None),
    ("into_parts", |ws, _, _| {
        drop(ws.unwrap().into_parts());
        None
    }),
];

/// `poll_owner` polls a future of the connection's owner.
fn expect_wake(end: &(&str, End), config: Config, role: Role, poll_owner: fn(&mut WebSocket<TestTransport>)) {
    let (mut ws, peer) = open_with(role, config);
    let (sender, task) = (ws.sender(), Task::new());
    poll_owner(&mut ws);
    let mut closed = pin!(sender.closed());
    assert!(task.poll(&mut closed).is_pending());
    poll_owner(&mut ws);
    assert!(!task.was_woken() && task.poll(&mut closed).is_pending());
    let mut ws = end.1(Some(ws), &peer, &sender);
    for _ in 0..5 {
        ws.iter_mut().for_each(poll_owner);
    }
    assert!(task.was_woken(), "{}, {role:?}", end.0);
    assert!(task.poll(&mut closed).is_ready(), "{}, {role:?}", end.0);
    assert!(!sender.is_open());
}

#[tokio::test(start_paused = true)]
async fn each_way_to_the_end_wakes_the_tasks_that_wait_for_it() {
    for end in &ENDS {
        for role in ROLES {
            expect_wake(end, config(), role, |ws| drop(ws.poll_recv(&mut Task::new().cx())));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_only_sends_and_waits_for_the_transport_sees_the_end_too() {
    // The end of the peer's stream waits for an owner that may still reply.
    for end in ENDS.iter().filter(|end| end.0 != "the stream ends") {
        for role in ROLES {
            expect_wake(end, config(), role, |ws| {
                let _ = Task::new().poll(&mut pin!(ws.send(vec![0; 100])));
                let _ = Task::new().poll(&mut pin!(ws.flush()));
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_messages_wait_for_the_owner_the_connection_is_open() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let sender = ws.sender();
        peer.send_all([Frame::text("1"), Frame::text("2"), Frame::close(1000, "")]);
        ws.recv().await.unwrap();
        // The Close is behind a message that the owner may want to answer.
        assert!(timeout(SECOND, sender.closed()).await.is_err());
        ws.recv().await.unwrap();
        assert!(ws.poll_recv(&mut Task::new().cx()).is_pending());
        timeout(SECOND, sender.closed()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_end_it_returns_at_once() {
    for role in ROLES {
        let (ws, _peer) = open(role);
        let sender = ws.sender();
        drop(ws);
        assert!(Task::new().poll(&mut pin!(sender.closed())).is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_closed_leaves_no_waker() {
    for role in ROLES {
        let (ws, _peer) = open(role);
        let (sender, task) = (ws.sender(), Task::new());
        for _ in 0..3 {
            assert!(task.poll(&mut Box::pin(sender.closed())).is_pending());
        }
        assert_eq!(task.wakers(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn any_number_of_tasks_may_wait_on_a_served_connection() {
    let ends: [fn(&Peer, &Sender); 4] = [
        |peer, _| peer.send(Frame::close(1000, "")),
        |peer, _| peer.end(),
        |_, sender| sender.close(CloseCode::NORMAL, ""),
        |_, sender| sender.abort(),
    ];
    // Whether the application waits in `recv` or elsewhere, and ends by itself or not.
    for receives in [true, false] {
        for end in ends {
            let (give, mut take) = tokio::sync::mpsc::unbounded_channel();
            let (server, peer) = serve(config(), async move |mut ws| {
                let sender = ws.sender();
                give.send(sender.clone()).unwrap();
                if receives {
                    while ws.recv().await.is_some() {}
                } else {
                    sender.closed().await;
                }
            });
            let server = tokio::spawn(server);
            let sender = take.recv().await.unwrap();
            let mut tasks = JoinSet::new();
            for _ in 0..10 {
                let sender = sender.clone();
                tasks.spawn(async move { sender.closed().await });
            }
            tokio::task::yield_now().await;
            peer.answer_close();
            end(&peer, &sender);
            // The end of the stream waits for the application until `close_timeout`.
            timeout(60 * SECOND, tasks.join_all()).await.expect("all are woken");
            peer.end();
            timeout(60 * SECOND, server).await.unwrap().unwrap();
        }
    }
}
