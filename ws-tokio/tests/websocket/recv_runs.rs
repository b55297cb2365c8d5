//! `recv` takes messages that arrive together from the connection together. All that holds for `recv` holds for them.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::timeout;
use ws_proto::{CloseCode, Message, error::TimedOut};
use ws_tokio::{Event, WebSocket};

use crate::support::{Frame, ROLES, Task, TestTransport, config, open, open_with, serve};

const SECOND: Duration = Duration::from_secs(1);

fn number(number: usize) -> Message {
    Message::text(number.to_string())
}

fn numbers(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Frame> {
    numbers.map(|number| Frame::text(number.to_string()))
}

/// Receives these messages.
async fn expect(ws: &mut WebSocket<TestTransport>, numbers: std::ops::Range<usize>) {
    for expected in numbers {
        assert_eq!(ws.recv().await, Some(number(expected)));
    }
}

/// Receives at once, or not at all.
fn recv_now(ws: &mut WebSocket<TestTransport>) -> Option<Message> {
    match ws.poll_recv(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(message) => message,
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn all_messages_come_in_order_whatever_is_between_them() {
    for role in ROLES {
        for extra in 0..12 {
            let (mut ws, peer) = open(role);
            let mut expected = Vec::new();
            for round in 0..40 {
                peer.send_all(numbers(0..(round * 7) % 23));
                expected.extend((0..(round * 7) % 23).map(number));
                match (round + extra) % 4 {
                    0 => peer.send(Frame::ping("p")),
                    1 => {
                        peer.send_all(Frame::text("in two parts").in_two(3));
                        expected.push(Message::text("in two parts"));
                    }
                    2 => {
                        peer.send(Frame::binary(vec![1; 3000 * extra]));
                        expected.push(Message::binary(vec![1; 3000 * extra]));
                    }
                    _ => {}
                }
            }
            peer.send_all([Frame::close(1000, "")]);
            peer.end();
            let mut received = Vec::new();
            while let Some(message) = ws.recv().await {
                received.push(message);
            }
            assert!(received == expected);
            assert!(ws.close_info().unwrap().is_clean());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_ways_to_receive_continue_where_the_others_stopped() {
    for role in ROLES {
        for seed in 0..50_usize {
            let (mut ws, peer) = open(role);
            peer.send_all(numbers(0..200));
            peer.end();
            let mut state = seed + 1;
            let mut received = 0;
            loop {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let next = match (state >> 33) % 8 {
                    0 => ws.recv_ref().await.map(|message| message.into_message()),
                    1 => match ws.recv_event().await {
                        Some(Event::Message(message)) => Some(message),
                        _ => None,
                    },
                    _ => ws.recv().await,
                };
                let Some(next) = next else { break };
                assert_eq!(next, number(received));
                received += 1;
            }
            assert_eq!(received, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_what_was_not_taken() {
    for role in ROLES {
        for taken in [1, 2, 5, 99] {
            let (mut ws, peer) = open(role);
            peer.send_all(numbers(0..100));
            expect(&mut ws, 0..taken).await;
            ws.sender().abort();
            assert_eq!(timeout(SECOND, ws.recv()).await, Ok(None));
            assert!(ws.close_info().is_some_and(|info| !info.is_clean()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_what_was_not_lent() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(numbers(0..100));
        expect(&mut ws, 0..3).await;
        assert!(ws.recv_ref().await.is_some());
        ws.sender().abort();
        assert!(ws.recv_ref().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_drops_what_was_not_taken() {
    let (mut server, peer) = serve(config(), |mut ws| async move {
        expect(&mut ws, 0..5).await;
        tokio::time::sleep(SECOND).await;
        assert_eq!(ws.recv().await, None);
    });
    peer.answer_close();
    peer.send_all(numbers(0..100));
    assert!(timeout(SECOND / 2, &mut server).await.is_err());
    server.half.close(CloseCode::GOING_AWAY, "");
    assert!(timeout(5 * SECOND, server).await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_close_by_a_sender_does_not_drop_them() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(numbers(0..100));
        expect(&mut ws, 0..5).await;
        ws.sender().close(CloseCode::NORMAL, "");
        expect(&mut ws, 5..100).await;
        peer.send_all([Frame::close(1000, "")]);
        assert_eq!(ws.recv().await, None);
        assert!(ws.close_info().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_behind_them_waits_for_the_last_one_and_no_longer() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(numbers(0..100));
        peer.send_all([Frame::close(1000, "")]);
        let (sender, task) = (ws.sender(), Task::new());
        let mut closed = pin!(sender.closed());
        for taken in 0..100 {
            assert_eq!(ws.recv().await, Some(number(taken)));
            ws.send("reply").await.unwrap();
            assert!(task.poll(&mut closed).is_pending());
        }
        assert_eq!(recv_now(&mut ws), None);
        assert!(task.poll(&mut closed).is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn control_frames_between_them_are_events() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        assert!(crate::support::cancelled_after(1, ws.recv_event()).await.is_none());
        peer.send_all(numbers(0..10));
        peer.send(Frame::ping("ping"));
        peer.send_all(numbers(10..20));
        expect(&mut ws, 0..10).await;
        assert_eq!(ws.recv_event().await, Some(Event::Ping("ping".into())));
        expect(&mut ws, 10..15).await;
        assert_eq!(ws.recv_event().await, Some(Event::Message(number(15))));
        expect(&mut ws, 16..20).await;
    }
}

#[tokio::test(start_paused = true)]
async fn pings_behind_them_are_answered_while_they_are_taken() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(numbers(0..100));
        peer.send(Frame::ping("first"));
        expect(&mut ws, 0..10).await;
        assert_eq!(peer.received(), [Frame::pong("first")]);
        peer.send(Frame::ping("second"));
        ws.flush().await;
        assert_eq!(peer.received(), [], "a message was taken since the latest read");
        ws.flush().await;
        assert_eq!(peer.received(), [Frame::pong("second")]);
        expect(&mut ws, 10..100).await;
    }
}

#[tokio::test(start_paused = true)]
async fn into_parts_and_split_keep_what_was_not_taken() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(numbers(0..100));
        expect(&mut ws, 0..10).await;
        let (_sender, mut receiver) = ws.split();
        assert_eq!(receiver.recv().await, Some(number(10)));
        let mut ws = receiver.unsplit();
        expect(&mut ws, 11..20).await;
        let parts = ws.into_parts().unwrap();
        let mut ws = WebSocket::new(parts.io, parts.connection);
        expect(&mut ws, 20..100).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_beyond_the_limit_of_held_messages_while_they_are_taken() {
    for role in ROLES {
        let mut small = config();
        small.limits.max_held_bytes = 400;
        let (mut ws, peer) = open_with(role, small);
        peer.read_slowly(300);
        peer.send_all(numbers(0..1000));
        let sent = peer.unread();
        for taken in 0..1000 {
            assert_eq!(ws.recv().await, Some(number(taken)));
            ws.flush().await;
            // What is taken has at most nine bytes each on the wire, and two reads may be held.
            assert!(sent - peer.unread() <= 9 * (taken + 1) + 2 * 300 + 400);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn time_during_which_nothing_was_read_does_not_count_as_idle() {
    for role in ROLES {
        let mut small = config();
        small.limits.max_held_bytes = 50;
        small.idle_timeout = Some(10 * SECOND);
        let (mut ws, peer) = open_with(role, small);
        peer.answer_close();
        peer.send_all(numbers(0..60));
        for taken in 0..60 {
            assert_eq!(ws.recv().await, Some(number(taken)));
            tokio::time::sleep(SECOND).await;
        }
        assert!(timeout(9 * SECOND, ws.recv()).await.is_err(), "the idle time begins now");
        assert_eq!(timeout(5 * SECOND, ws.recv()).await, Ok(None));
        assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Idle.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn statistics_count_what_was_received_and_not_what_was_taken() {
    for role in ROLES {
        let mut counting = config();
        counting.statistics = true;
        let (mut ws, peer) = open_with(role, counting);
        peer.send_all(numbers(0..100));
        expect(&mut ws, 0..1).await;
        assert_eq!(ws.stats().unwrap().received.messages, 100);
        expect(&mut ws, 1..100).await;
        assert_eq!(ws.stats().unwrap().received.messages, 100);
    }
}
