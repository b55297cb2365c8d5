//! The application has moved its `WebSocket` to a task of its own, which the server's task does not poll.

use std::{future::pending, task::Poll, time::Duration};

use tokio::{
    sync::mpsc::unbounded_channel,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use ws_proto::{CloseCode, CloseInfo, Config, Keepalive, Message, Role, error::TimedOut};
use ws_tokio::{WebSocket, internal::ServerHalf};

use crate::support::{Frame, Peer, Task, TestTransport, config, connection, serve, text};

const SECOND: Duration = Duration::from_secs(1);

/// A connection under a server whose application has sent its `WebSocket` away and returned.
async fn in_another_task(config: Config) -> (WebSocket<TestTransport>, Peer, JoinHandle<CloseInfo>) {
    let (out, mut moved) = unbounded_channel();
    let (server, peer) = serve(config, move |ws| async move {
        drop(out.send(ws));
    });
    let server = tokio::spawn(server);
    (moved.recv().await.expect("the application sends it"), peer, server)
}

#[tokio::test(start_paused = true)]
async fn messages_are_sent_and_received() {
    let (mut ws, peer, server) = in_another_task(config()).await;
    for number in 0..1000 {
        peer.send(Frame::text(text(number, 30)));
        assert_eq!(ws.recv().await, Some(Message::text(text(number, 30))));
        ws.send(text(number, 40)).await.unwrap();
    }
    sleep(SECOND).await;
    let expected: Vec<Frame> = (0..1000).map(|number| Frame::text(text(number, 40))).collect();
    assert_eq!(peer.received(), expected);
    peer.answer_close();
    assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
    assert!(timeout(SECOND, server).await.expect("its task ends too").unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_large_message_is_delivered_whichever_task_reads_its_last_byte() {
    let (mut ws, peer, _server) = in_another_task(config()).await;
    for size in [100_000, 1_000_000] {
        for read_size in [20_000, 64_000, usize::MAX] {
            peer.read_slowly(read_size);
            peer.send_all((0..5).map(|number| Frame::binary(vec![number; size])));
            for number in 0..5 {
                let message =
                    timeout(SECOND, ws.recv()).await.expect("the whole message has arrived").unwrap();
                assert_eq!(message, Message::binary(vec![number; size]));
                ws.send("got it").await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_sent_goes_out_although_nothing_else_happens() {
    let (mut ws, peer, _server) = in_another_task(config()).await;
    sleep(1000 * SECOND).await;
    ws.send("now").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(peer.received(), [Frame::text("now")]);
    ws.ping(b"now").await.unwrap();
    tokio::task::yield_now().await;
    assert_eq!(peer.received(), [Frame::ping("now")]);
}

#[tokio::test]
async fn messages_are_delivered_although_the_servers_task_is_not_polled() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let (server, owner) = (Task::new(), Task::new());
    let now = Instant::now().into_std();
    half.begin_turn(&server.cx(), now);
    assert!(half.end_turn(&mut server.cx(), now).is_pending());
    for number in 0..1000 {
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        owner.was_woken();
        peer.send(Frame::text(number.to_string()));
        assert!(owner.was_woken());
        assert_eq!(ws.poll_recv(&mut owner.cx()), Poll::Ready(Some(Message::text(number.to_string()))));
    }
}

#[tokio::test]
async fn a_large_message_that_the_servers_task_has_read_is_delivered() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let (server, owner) = (Task::new(), Task::new());
    let now = Instant::now().into_std();
    peer.read_slowly(20_000);
    for number in 0..5 {
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
        // Two reads, the second of which goes straight into the message's own buffer.
        let payload = vec![number; 39_000];
        peer.send(Frame::binary(payload.clone()));
        loop {
            half.begin_turn(&server.cx(), now);
            assert!(half.end_turn(&mut server.cx(), now).is_pending());
            if !server.was_woken() {
                break;
            }
        }
        assert!(owner.was_woken());
        assert_eq!(ws.poll_recv(&mut owner.cx()), Poll::Ready(Some(Message::binary(payload))));
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_for_a_message_do_not_wake_each_other() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let (server, owner) = (Task::new(), Task::new());
    let now = Instant::now().into_std();
    for _ in 0..10 {
        half.begin_turn(&server.cx(), now);
        assert!(half.end_turn(&mut server.cx(), now).is_pending());
        assert!(ws.poll_recv(&mut owner.cx()).is_pending());
    }
    assert!(!server.was_woken() && !owner.was_woken(), "neither wakes itself or the other");
    peer.send(Frame::ping("hi"));
    assert!(server.was_woken() && owner.was_woken());
    assert!(ws.poll_recv(&mut owner.cx()).is_pending());
    assert_eq!(peer.received(), [Frame::pong("hi")]);
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_no_task_receives() {
    let (mut ws, peer, _server) = in_another_task(config()).await;
    peer.send_all([Frame::text("held"), Frame::ping("hi")]);
    sleep(SECOND).await;
    assert_eq!(peer.received(), [Frame::pong("hi")]);
    assert_eq!(ws.recv().await, Some(Message::text("held")));
}

#[tokio::test(start_paused = true)]
async fn a_close_gets_the_whole_close_timeout_after_a_long_silence() {
    let (mut ws, peer, server) = in_another_task(config()).await;
    sleep(1000 * SECOND).await;
    let started = Instant::now();
    let closing = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
    sleep(4 * SECOND).await;
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
    assert!(!peer.is_disconnected());
    let info = timeout(60 * SECOND, closing).await.expect("the deadline ends it").unwrap();
    assert_eq!(info.error, Some(TimedOut::Close.into()));
    assert_eq!(started.elapsed(), 5 * SECOND);
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn activity_counts_whichever_task_reads_it() {
    let mut idle = config();
    idle.idle_timeout = Some(10 * SECOND);
    let mut keepalive = config();
    keepalive.keepalive = Some(Keepalive::new(10 * SECOND, SECOND));
    for config in [idle, keepalive] {
        let (transport, peer) = TestTransport::new(Role::Server);
        let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config), &[]);
        let (server, owner) = (Task::new(), Task::new());
        let start = Instant::now();
        half.begin_turn(&server.cx(), start.into_std());
        assert!(half.end_turn(&mut server.cx(), start.into_std()).is_pending());
        sleep(8 * SECOND).await;
        peer.send(Frame::text("busy"));
        assert!(ws.poll_recv(&mut owner.cx()).is_ready());
        assert_eq!(half.poll_timeout(), Some((start + 18 * SECOND).into_std()));
        // The server's clock is coarse and may lag behind; the connection's time does not go back.
        let lagging = (start + 7 * SECOND).into_std();
        half.begin_turn(&server.cx(), lagging);
        peer.send(Frame::text("held"));
        assert!(half.end_turn(&mut server.cx(), lagging).is_pending());
        assert_eq!(half.poll_timeout(), Some((start + 18 * SECOND).into_std()));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_websocket_closes_with_1000() {
    let (ws, peer, server) = in_another_task(config()).await;
    sleep(1000 * SECOND).await;
    peer.answer_close();
    drop(ws);
    assert!(timeout(SECOND, server).await.expect("at once").unwrap().is_clean());
    assert_eq!(peer.received(), [Frame::close(1000, "")]);
}

#[tokio::test(start_paused = true)]
async fn the_close_of_the_peer_ends_a_recv_in_another_task() {
    let (mut ws, peer, server) = in_another_task(config()).await;
    let receiving = tokio::spawn(async move { (ws.recv().await, ws.close_info().unwrap().code()) });
    sleep(SECOND).await;
    peer.send(Frame::close(4004, ""));
    peer.end();
    assert_eq!(receiving.await.unwrap(), (None, 4004));
    assert!(server.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waits_for_room_continues_when_there_is_some() {
    let mut config = config();
    config.write_queue_messages = 1;
    let (mut ws, peer, _server) = in_another_task(config).await;
    peer.take_only(0);
    ws.send("first").await.unwrap();
    let sending = tokio::spawn(async move {
        ws.send("second").await.unwrap();
        pending::<()>().await;
        drop(ws);
    });
    sleep(SECOND).await;
    peer.take_everything();
    sleep(SECOND).await;
    assert_eq!(peer.received(), ["first", "second"].map(Frame::text));
    sending.abort();
}
