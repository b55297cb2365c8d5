//! Deadlines, in virtual time.

use std::{
    future::{Future as _, poll_fn},
    mem::take,
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::coop::poll_proceed,
    time::{Instant, sleep, timeout},
};
use ws_proto::{
    CloseCode, Config, Keepalive, Message, Role,
    error::{ConnectionError, TimedOut},
};
use ws_tokio::WebSocket;

use crate::support::{Frame, ROLES, TestTransport, config, opcode, open_with};

const SECOND: Duration = Duration::from_secs(1);

fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = config();
    change(&mut config);
    config
}

fn with_keepalive() -> Config {
    with(|config| config.keepalive = Some(Keepalive::new(30 * SECOND, 10 * SECOND)))
}

/// Receives in a task until the end; returns how long that took, and the error.
fn receive(mut ws: WebSocket<TestTransport>) -> tokio::task::JoinHandle<(Duration, Option<ConnectionError>)> {
    let started = Instant::now();
    tokio::spawn(async move {
        while ws.recv().await.is_some() {}
        (started.elapsed(), ws.close_info().unwrap().error)
    })
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_a_pong_keeps_it() {
    for role in ROLES {
        let (ws, peer) = open_with(role, with_keepalive());
        let receiver = receive(ws);
        for _ in 0..3 {
            sleep(29 * SECOND).await;
            assert_eq!(peer.received(), [], "too early");
            sleep(2 * SECOND).await;
            assert_eq!(peer.received(), [Frame::ping("")]);
            // The pong restarts the interval.
            peer.send(Frame::pong(""));
        }
        assert!(!receiver.is_finished());
        receiver.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_set_with_no_budget_left_wakes_the_task() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, with_keepalive());
        let receiver = tokio::spawn(async move {
            let (mut received, mut is_first) = (pin!(ws.recv()), true);
            let polled = poll_fn(|cx| {
                while take(&mut is_first)
                    && let Poll::Ready(unit) = poll_proceed(cx)
                {
                    unit.made_progress();
                    is_first = true;
                }
                received.as_mut().poll(cx)
            });
            polled.await
        });
        sleep(31 * SECOND).await;
        assert_eq!(peer.received(), [Frame::ping("")]);
        receiver.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_no_pong_is_disconnected() {
    for role in ROLES {
        let (ws, peer) = open_with(role, with_keepalive());
        let (took, error) = receive(ws).await.unwrap();
        assert_eq!(error, Some(TimedOut::Keepalive.into()));
        // The interval, the timeout for the pong, and the close timeout.
        assert_eq!(took, (30 + 10 + 5) * SECOND);
        let frames = peer.received();
        assert_eq!(frames[0], Frame::ping(""));
        assert_eq!(
            (frames.len(), frames[1].opcode, &frames[1].payload[..2]),
            (2, opcode::CLOSE, &[3, 243][..])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn any_byte_from_the_peer_restarts_the_keepalive_interval() {
    for role in ROLES {
        let mut config = with_keepalive();
        config.message_timeout = None;
        let (ws, peer) = open_with(role, config);
        let receiver = receive(ws);
        let message = Frame::binary(vec![1; 20]).encode(role == Role::Server);
        for byte in message {
            sleep(29 * SECOND).await;
            peer.send_bytes(&[byte]);
        }
        assert_eq!(peer.received(), [], "no ping was needed");
        assert!(!receiver.is_finished());
        receiver.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_in_both_directions_ends_an_idle_connection_with_1001() {
    for role in ROLES {
        let (ws, peer) = open_with(role, with(|config| config.idle_timeout = Some(60 * SECOND)));
        let sender = ws.sender();
        let receiver = receive(ws);
        sleep(50 * SECOND).await;
        peer.send(Frame::text("in"));
        sleep(50 * SECOND).await;
        sender.send("out").await.unwrap();
        sleep(59 * SECOND).await;
        assert_eq!(peer.received(), [Frame::text("out")], "both directions count");
        peer.answer_close();
        let (took, error) = receiver.await.unwrap();
        assert_eq!((took, error), (160 * SECOND, Some(TimedOut::Idle.into())));
        assert_eq!(peer.received(), [Frame::close(1001, "")]);
    }
}

/// Runs `wait` while the peer takes nothing, and expects the write timeout.
async fn write_timeout(wait: impl AsyncFn(WebSocket<TestTransport>) -> WebSocket<TestTransport>) {
    for role in ROLES {
        let (ws, peer) = open_with(role, with(|config| config.write_timeout = Some(60 * SECOND)));
        peer.take_only(5);
        let started = Instant::now();
        let mut ws = timeout(600 * SECOND, wait(ws)).await.expect("the deadline ends it");
        assert_eq!(timeout(SECOND, ws.recv()).await, Ok(None));
        assert_eq!(started.elapsed(), 60 * SECOND);
        assert_eq!(ws.close_info().unwrap().error, Some(TimedOut::Write.into()));
        assert!(peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_ends_a_recv() {
    write_timeout(async |mut ws| {
        ws.feed("will not go out").await.unwrap();
        assert_eq!(ws.recv().await, None);
        ws
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_ends_a_send() {
    write_timeout(async |mut ws| {
        ws.send("will not go out").await.unwrap();
        ws
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_ends_a_send_that_waits_for_room() {
    write_timeout(async |mut ws| {
        while ws.feed("a".repeat(100_000)).await.is_ok() {}
        ws
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_ends_a_recv_while_a_sender_sends() {
    write_timeout(async |mut ws| {
        let sender = ws.sender();
        let receiver = tokio::spawn(async move {
            assert_eq!(ws.recv().await, None);
            ws
        });
        tokio::task::yield_now().await;
        sender.send("will not go out").await.unwrap();
        receiver.await.unwrap()
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_close_timeout_runs_for_a_close_of_a_sender_too() {
    for role in ROLES {
        let (ws, peer) = open_with(role, config());
        let sender = ws.sender();
        let receiver = receive(ws);
        sleep(100 * SECOND).await;
        sender.close(CloseCode::GOING_AWAY, "");
        assert_eq!(peer.received(), [Frame::close(1001, "")], "at once");
        let (took, error) = timeout(600 * SECOND, receiver).await.expect("the deadline ends it").unwrap();
        assert_eq!((took, error), (105 * SECOND, Some(TimedOut::Close.into())));
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_send_waits_the_peers_pings_and_pongs_are_read() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, with_keepalive());
        peer.take_only(0);
        let sending = tokio::spawn(async move {
            ws.send("slow").await.unwrap();
            ws
        });
        // The peer is alive: it sends pongs and pings.
        for _ in 0..20 {
            sleep(9 * SECOND).await;
            peer.send_all([Frame::pong(""), Frame::ping("and you?"), Frame::text("held")]);
        }
        sleep(SECOND).await;
        assert_eq!(peer.unread(), 0);
        peer.take_everything();
        let mut ws = sending.await.unwrap();
        for _ in 0..20 {
            assert_eq!(ws.recv().await, Some(Message::text("held")));
        }
        assert_eq!(peer.received(), [Frame::text("slow"), Frame::pong("and you?")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_sees_the_close_of_the_peer() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, config());
        peer.take_only(0);
        let started = Instant::now();
        let sending = tokio::spawn(async move {
            ws.send("slow").await.unwrap();
            let refused = ws.send("never").await.is_err();
            (refused, ws.close(CloseCode::NORMAL, "").await)
        });
        sleep(SECOND).await;
        peer.send(Frame::close(1001, ""));
        peer.end();
        let (refused, info) = timeout(600 * SECOND, sending).await.expect("the deadline ends it").unwrap();
        assert!(refused);
        assert_eq!((info.code(), info.is_clean()), (1001, false), "our Close never went out");
        assert_eq!(started.elapsed(), 6 * SECOND);
    }
}
