//! A turn of a server's task whose application waits in `recv` has written what was sent by then, and its end has
//! nothing to do. Whatever else happens in the turn is done at its end.

use std::{
    pin::pin,
    task::{Context, Poll},
};

use tokio::time::Instant;
use ws_proto::{Message, Role};
use ws_tokio::{
    WebSocket,
    internal::{ServerHalf, TurnEnd},
};

use crate::support::{Frame, Peer, Task, TestTransport, config, connection};

const GOES_ON: TurnEnd = TurnEnd { has_ended: false, due: None, is_quiet: true, is_pressed: false };

fn served() -> (ServerHalf<TestTransport>, WebSocket<TestTransport>, Peer) {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    (half, ws, peer)
}

/// One turn of the server's task, whose timer is armed.
fn turn(half: &ServerHalf<TestTransport>, task: &Task, application: impl FnOnce(&mut Context<'_>)) {
    let now = Instant::now().into_std();
    half.begin_turn(&task.cx(), now);
    application(&mut task.cx());
    assert_eq!(half.end_turn_with_timer(&mut task.cx(), now, true), GOES_ON);
}

fn send(ws: &mut WebSocket<TestTransport>, cx: &mut Context<'_>, text: &str) {
    assert!(matches!(pin!(ws.send(text)).poll(cx), Poll::Ready(Ok(()))));
}

#[tokio::test]
async fn a_reply_is_written_once_the_application_waits_for_the_next_message() {
    let (half, mut ws, peer) = served();
    let task = Task::new();
    for number in 0..3 {
        peer.send(Frame::text("request"));
        turn(&half, &task, |cx| {
            assert_eq!(ws.poll_recv(cx), Poll::Ready(Some(Message::text("request"))));
            send(&mut ws, cx, "reply");
            assert_eq!(peer.received(), []);
            assert!(ws.poll_recv(cx).is_pending());
            assert_eq!(peer.received(), [Frame::text("reply")]);
        });
        assert_eq!(peer.counts().writes, number + 1);
    }
}

#[tokio::test]
async fn what_is_sent_after_the_application_has_waited_goes_out_at_the_end_of_the_turn() {
    let (half, mut ws, peer) = served();
    let task = Task::new();
    for _ in 0..3 {
        turn(&half, &task, |cx| {
            assert!(ws.poll_recv(cx).is_pending());
            send(&mut ws, cx, "from the application");
            ws.sender().try_send(Message::text("from a sender")).unwrap();
        });
        assert_eq!(peer.received(), [Frame::text("from the application"), Frame::text("from a sender")]);
        assert!(!task.was_woken(), "no further turn is needed");
    }
}

#[tokio::test]
async fn what_is_sent_between_two_turns_wakes_the_task_once() {
    let (half, mut ws, peer) = served();
    let task = Task::new();
    for _ in 0..3 {
        turn(&half, &task, |cx| assert!(ws.poll_recv(cx).is_pending()));
        ws.sender().try_send(Message::text("first")).unwrap();
        assert!(task.was_woken());
        ws.sender().try_send(Message::text("second")).unwrap();
        assert!(!task.was_woken());
        turn(&half, &task, |cx| assert!(ws.poll_recv(cx).is_pending()));
        assert_eq!(peer.received(), [Frame::text("first"), Frame::text("second")]);
    }
}

/// As with `FuturesUnordered`, whose futures have wakers of their own.
#[tokio::test]
async fn an_application_that_polls_with_a_waker_of_its_own_and_the_servers_task_are_both_woken() {
    let (half, mut ws, peer) = served();
    let (task, inner) = (Task::new(), Task::new());
    for _ in 0..3 {
        turn(&half, &task, |_| assert!(ws.poll_recv(&mut inner.cx()).is_pending()));
        peer.send(Frame::text("hello"));
        assert!(task.was_woken() && inner.was_woken());
        turn(&half, &task, |_| {
            assert_eq!(ws.poll_recv(&mut inner.cx()), Poll::Ready(Some(Message::text("hello"))));
        });
    }
}

#[tokio::test]
async fn the_task_is_woken_by_the_waker_of_its_latest_turn() {
    let (half, mut ws, peer) = served();
    for _ in 0..3 {
        let task = Task::new();
        turn(&half, &task, |cx| assert!(ws.poll_recv(cx).is_pending()));
        peer.send(Frame::text("hello"));
        assert!(task.was_woken());
        turn(&half, &task, |cx| assert!(ws.poll_recv(cx).is_ready()));
    }
}

#[tokio::test]
async fn turns_of_two_connections_on_one_thread_may_be_nested() {
    let (outer, mut outer_ws, outer_peer) = served();
    let (inner, mut inner_ws, inner_peer) = served();
    let (task, inner_task) = (Task::new(), Task::new());
    turn(&outer, &task, |cx| {
        send(&mut outer_ws, cx, "before");
        turn(&inner, &inner_task, |cx| {
            send(&mut inner_ws, cx, "within");
            assert!(inner_ws.poll_recv(cx).is_pending());
        });
        send(&mut outer_ws, cx, "after");
        assert!(outer_ws.poll_recv(cx).is_pending());
    });
    assert_eq!(inner_peer.received(), [Frame::text("within")]);
    assert_eq!(outer_peer.received(), [Frame::text("before"), Frame::text("after")]);
}
