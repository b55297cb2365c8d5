//! A peer that sends many messages at once keeps no other task of the runtime waiting.

use std::{cell::Cell, rc::Rc};

use tokio::task::{LocalSet, spawn_local, yield_now};
use ws_proto::Role;
use ws_tokio::WebSocket;

use crate::support::{Frame, TestTransport, open};

const MESSAGES: usize = 20_000;
/// The most messages that a task receives in one poll: 16 for each unit of tokio's budget, and those of one check.
const MOST_PER_POLL: usize = 128 * 16 + 64;

/// Receives all messages with `receive`, and checks that another task ran meanwhile, often enough.
async fn lets_others_run(receive: impl AsyncFn(&mut WebSocket<TestTransport>) -> bool + Copy + 'static) {
    for role in [Role::Server, Role::Client] {
        let (mut ws, peer) = open(role);
        peer.send_all((0..MESSAGES).map(|_| Frame::text("a message")));
        let turns = Rc::new(Cell::new(0));
        let counted = Rc::clone(&turns);
        let tasks = LocalSet::new();
        let other = tasks.spawn_local(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        let receiving = async move {
            for _ in 0..MESSAGES {
                assert!(receive(&mut ws).await);
            }
        };
        tasks.run_until(async { spawn_local(receiving).await.unwrap() }).await;
        other.abort();
        assert!(turns.get() >= MESSAGES / MOST_PER_POLL, "{role:?}: {} turns", turns.get());
    }
}

#[tokio::test]
async fn a_flood_that_recv_receives_lets_other_tasks_run() {
    lets_others_run(async |ws| ws.recv().await.is_some()).await;
}

#[tokio::test]
async fn a_flood_that_recv_ref_lends_lets_other_tasks_run() {
    lets_others_run(async |ws| ws.recv_ref().await.is_some()).await;
}

#[tokio::test]
async fn a_flood_that_recv_event_receives_lets_other_tasks_run() {
    lets_others_run(async |ws| ws.recv_event().await.is_some()).await;
}
