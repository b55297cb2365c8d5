//! The messages of a read stay in the thread's receive buffer until they are taken. Connections of one thread whose
//! functions wait in between do not disturb each other.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    thread,
};

use tokio::task::yield_now;
use ws_proto::{CloseCode, Message, Role};
use ws_tokio::{WebSocket, internal::ServerHalf};

use crate::support::{Frame, Peer, ServerTask, Task, TestTransport, config, connection, open, serve, text};

const CONNECTIONS: usize = 4;
const MESSAGES: usize = 500;

fn nth(connection: usize, number: usize) -> String {
    text(1000 * connection + number, 1 + (7 * number + connection) % 200)
}

/// Checks each message, and sometimes waits with one that is lent or with others that are not taken yet.
async fn check(mut ws: WebSocket<TestTransport>, connection: usize, seen: Arc<AtomicUsize>) {
    loop {
        let number = seen.load(SeqCst);
        if (number / 5 + connection).is_multiple_of(3) {
            let Some(message) = ws.recv().await else { return };
            assert_eq!(message, nth(connection, number));
            drop(ws.send(message).await);
        } else {
            let Some(message) = ws.recv_ref().await else { return };
            if (number + connection).is_multiple_of(4) {
                yield_now().await;
            }
            assert_eq!(message.as_text(), Some(&*nth(connection, number)));
        }
        seen.store(number + 1, SeqCst);
        if (number + connection).is_multiple_of(7) {
            yield_now().await;
        }
    }
}

struct Served {
    task: ServerTask,
    peer: Peer,
    seen: Arc<AtomicUsize>,
    sent: usize,
    batch: usize,
}

impl Served {
    fn new(connection: usize) -> Self {
        let seen = Arc::<AtomicUsize>::default();
        let (task, peer) = serve(config(), |ws| check(ws, connection, Arc::clone(&seen)));
        Self { task, peer, seen, sent: 0, batch: 1 + connection }
    }

    fn send_batch(&mut self, connection: usize) {
        let end = (self.sent + self.batch).min(MESSAGES);
        self.peer.send_all((self.sent..end).map(|number| Frame::text(nth(connection, number))));
        self.sent = end;
        self.batch = 1 + (self.batch * 5 + 3) % 40;
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_several_connections_of_a_thread_stay_what_they_are() {
    let mut all: Vec<_> = (0..CONNECTIONS).map(Served::new).collect();
    while all.iter().any(|served| served.seen.load(SeqCst) < MESSAGES) {
        for (connection, served) in all.iter_mut().enumerate() {
            served.send_batch(connection);
            poll_fn(|cx| {
                let _ = pin!(&mut served.task).poll(cx);
                Poll::Ready(())
            })
            .await;
        }
        yield_now().await;
    }
}

/// A function's connection, without the function, that has received messages and taken the first one.
fn with_messages() -> (ServerHalf<TestTransport>, WebSocket<TestTransport>, Peer, Task) {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let task = Task::new();
    turn(&half, &task, |cx| assert!(ws.poll_recv(cx).is_pending()));
    peer.send_all(["a", "b", "c", "d"].map(Frame::text));
    turn(&half, &task, |cx| expect(&mut ws, cx, "a"));
    (half, ws, peer, task)
}

fn turn(half: &ServerHalf<TestTransport>, task: &Task, application: impl FnOnce(&mut Context<'_>)) {
    let now = tokio::time::Instant::now().into_std();
    half.begin_turn(&task.cx(), now);
    application(&mut task.cx());
    let _ = half.end_turn(&mut task.cx(), now);
}

fn expect(ws: &mut WebSocket<TestTransport>, cx: &mut Context<'_>, expected: &str) {
    assert_eq!(ws.poll_recv(cx), Poll::Ready(Some(Message::text(expected))));
}

#[tokio::test]
async fn a_connection_takes_its_messages_to_another_thread() {
    let (half, mut ws, peer, _) = with_messages();
    let moved = thread::spawn(move || {
        let task = Task::new();
        turn(&half, &task, |cx| {
            expect(&mut ws, cx, "b");
            expect(&mut ws, cx, "c");
        });
        peer.send_all(["e", "f"].map(Frame::text));
        turn(&half, &task, |cx| {
            ["d", "e", "f"].iter().for_each(|expected| expect(&mut ws, cx, expected));
            assert!(ws.poll_recv(cx).is_pending());
        });
    });
    moved.join().unwrap();
    // This thread lends again.
    let (half, mut ws, _peer, task) = with_messages();
    turn(&half, &task, |cx| expect(&mut ws, cx, "b"));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_outlives_the_turn_and_the_server() {
    let (half, mut ws, _peer, task) = with_messages();
    turn(&half, &task, |cx| expect(&mut ws, cx, "b"));
    assert_eq!(ws.recv().await.unwrap(), "c");
    let parts = ws.into_parts().unwrap();
    let mut ws = WebSocket::new(parts.io, parts.connection);
    assert_eq!(ws.recv().await.unwrap(), "d");
}

#[tokio::test(start_paused = true)]
async fn an_end_of_the_connection_drops_what_was_not_taken() {
    for aborts in [false, true] {
        let (half, mut ws, _peer, task) = with_messages();
        if aborts {
            ws.sender().abort();
        } else {
            half.close(CloseCode::GOING_AWAY, "");
        }
        turn(&half, &task, |cx| assert!(!matches!(ws.poll_recv(cx), Poll::Ready(Some(_)))));
        let (mut other, peer) = open(Role::Server);
        peer.send(Frame::text("other"));
        assert_eq!(other.recv().await.unwrap(), "other");
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_the_last_message_and_no_longer() {
    let (half, mut ws, peer, task) = with_messages();
    let sender = ws.sender();
    peer.send_all([Frame::close(1000, "")]);
    turn(&half, &task, |cx| expect(&mut ws, cx, "b"));
    turn(&half, &task, |_| {});
    assert!(sender.is_open());
    turn(&half, &task, |cx| {
        expect(&mut ws, cx, "c");
        expect(&mut ws, cx, "d");
    });
    turn(&half, &task, |_| {});
    assert!(!sender.is_open());
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
}
