//! While the application does not take what was received, reading stops, and the time does not count against the peer.

use std::time::Duration;

use tokio::time::sleep;
use ws_proto::Config;
use ws_tokio::WebSocket;

use crate::support::{Frame, TestTransport, config, serve, text};

const MESSAGES: usize = 20;
const LEN: usize = 1000;
/// Longer than the timeouts.
const PAUSE: Duration = Duration::from_secs(20);

fn stalling() -> Config {
    let mut config = config();
    config.limits.max_held_bytes = MESSAGES * LEN;
    config.message_timeout = Some(Duration::from_secs(10));
    config.idle_timeout = Some(Duration::from_secs(15));
    config
}

/// Takes one message, waits, and takes the others.
async fn wait_after_the_first(mut ws: WebSocket<TestTransport>, lends: bool) -> usize {
    let mut taken = 0;
    loop {
        let is_some = if lends { ws.recv_ref().await.is_some() } else { ws.recv().await.is_some() };
        if !is_some {
            return taken;
        }
        taken += 1;
        if taken == 1 {
            sleep(PAUSE).await;
        }
    }
}

async fn check(lends: bool) {
    let (sender, taken) = tokio::sync::oneshot::channel();
    let (server, peer) = serve(stalling(), |ws| async move {
        let _ = sender.send(wait_after_the_first(ws, lends).await);
    });
    let server = tokio::spawn(server);
    tokio::task::yield_now().await;
    peer.send_all((0..MESSAGES).map(|number| Frame::text(text(number, LEN))));
    sleep(Duration::from_millis(1)).await;
    // Held behind those that are lent, with the beginning of another message.
    let large = Frame::binary(vec![7; 50_000]).encode(true);
    let (begin, rest) = large.split_at(10_000);
    let held: Vec<u8> = (0..2).flat_map(|number| Frame::text(text(number, LEN)).encode(true)).collect();
    peer.send_bytes(&[&held, begin].concat());
    sleep(Duration::from_millis(1)).await;
    let (middle, rest) = rest.split_at(10_000);
    peer.send_bytes(middle);
    sleep(PAUSE + Duration::from_secs(1)).await;
    assert_eq!(peer.unread(), 0);
    peer.send_bytes(rest);
    peer.send(Frame::close(1000, ""));
    peer.answer_close();
    assert_eq!(taken.await.unwrap(), MESSAGES + 3);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_stall_while_messages_wait_for_recv_does_not_count_against_the_peer() {
    check(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_stall_while_messages_are_lent_does_not_count_against_the_peer() {
    check(true).await;
}
