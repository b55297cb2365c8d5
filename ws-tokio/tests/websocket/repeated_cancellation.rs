//! Futures that are dropped again and again, as in a `select!` whose other branches are always ready.

use ws_proto::{Message, Role};
use ws_tokio::WebSocket;

use crate::support::{Frame, Peer, ROLES, TestTransport, cancelled_after, open, text};

const MESSAGES: usize = 30;

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

fn numbered(number: usize) -> String {
    text(number, 1 + number * 11 % 90)
}

/// Sends and receives all messages, with futures that are mostly dropped before they are ready.
async fn exchange(
    ws: &mut WebSocket<TestTransport>,
    peer: &Peer,
    mut polls: impl FnMut() -> usize,
) -> Vec<String> {
    let mut got = Vec::new();
    for number in 0..MESSAGES {
        peer.send(Frame::text(numbered(number)));
        peer.send(Frame::ping(number.to_string()));
        // A send that was polled once has queued its message.
        cancelled_after(1 + polls(), ws.send(numbered(number))).await;
        let received = cancelled_after(polls(), ws.recv()).await.flatten();
        got.extend(received.as_ref().and_then(Message::as_text).map(str::to_owned));
        cancelled_after(polls(), ws.flush()).await;
    }
    while got.len() < MESSAGES {
        let received = cancelled_after(1 + polls(), ws.recv()).await.flatten();
        got.extend(received.as_ref().and_then(Message::as_text).map(str::to_owned));
    }
    got
}

async fn check(role: Role, polls: impl FnMut() -> usize, context: &str) {
    let (mut ws, peer) = open(role);
    peer.move_single_bytes();
    let got = exchange(&mut ws, &peer, polls).await;
    let expected: Vec<String> = (0..MESSAGES).map(numbered).collect();
    assert_eq!(got, expected, "{context}");
    // The last pong may still wait to be written.
    cancelled_after(1000, ws.recv()).await;
    let (data, control): (Vec<_>, Vec<_>) = peer.received().into_iter().partition(Frame::is_data);
    assert_eq!(data, expected.into_iter().map(Frame::text).collect::<Vec<_>>(), "{context}");
    // Behind a blocked transport only the latest ping is answered.
    assert_eq!(control.last(), Some(&Frame::pong((MESSAGES - 1).to_string())), "{context}");
    let pongs: Vec<usize> =
        control.iter().map(|pong| String::from_utf8_lossy(&pong.payload).parse().unwrap()).collect();
    assert!(pongs.is_sorted_by(|one, next| one < next), "{context}: {pongs:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_by_futures_that_are_dropped_after_one_poll() {
    for role in ROLES {
        check(role, || 0, &format!("{role:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_by_futures_that_are_dropped_after_random_numbers_of_polls() {
    for role in ROLES {
        for seed in 0..100 {
            let mut dice = Dice(seed);
            check(role, || dice.roll(60), &format!("{role:?}, seed {seed}")).await;
        }
    }
}
