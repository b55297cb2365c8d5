//! Under a server's task, messages go out at the end of the application's turn, and control frames are answered
//! whatever the application does.

use std::{future::pending, io::ErrorKind, pin::Pin, time::Duration};

use futures_sink::Sink as _;
use tokio::{
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use ws_proto::{
    CloseCode, Keepalive, Message, MessageKind, Role,
    close::Initiator,
    error::{ConnectionError, SendError, TimedOut},
};
use ws_tokio::internal::ServerHalf;

use crate::support::{Frame, Task, TestTransport, config, connection, echo, opcode, serve, text};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_pipelined_batch_is_answered_with_one_write() {
    // More messages may take more than one turn.
    for depth in [1, 2, 16, 100] {
        let (server, peer) = serve(config(), echo);
        let server = tokio::spawn(server);
        let batches = 5;
        for _ in 0..batches {
            let batch: Vec<Frame> = (0..depth).map(|number| Frame::text(text(number, 20))).collect();
            peer.send_all(batch.clone());
            sleep(SECOND).await;
            assert_eq!(peer.received(), batch);
        }
        assert_eq!(peer.counts().writes, batches, "depth {depth}");
        server.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn replies_to_messages_from_many_small_reads_are_collected() {
    let (server, peer) = serve(config(), echo);
    peer.read_slowly(26);
    let server = tokio::spawn(server);
    // A payload of 20 bytes and a header of 6: one message per read.
    peer.send_all((0..100).map(|number| Frame::text(text(number, 20))));
    sleep(SECOND).await;
    assert_eq!(peer.received().len(), 100);
    let counts = peer.counts();
    assert!(counts.writes <= counts.reads / 3, "{counts:?}");
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_after_a_few_reads_although_more_could_be_read() {
    for receives in [true, false] {
        let (mut server, peer) =
            serve(config(), async move |ws| if receives { echo(ws).await } else { pending().await });
        peer.read_slowly(26);
        peer.send_all((0..100).map(|number| Frame::text(text(number, 20))));
        let task = Task::new();
        assert!(task.poll(&mut server).is_pending());
        // The runtime polls its I/O driver first.
        yield_now().await;
        assert!(task.was_woken() && peer.counts().reads <= 8, "{:?}", peer.counts());
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_ends_although_the_peer_takes_whatever_is_sent() {
    let mut small_queue = config();
    small_queue.write_queue_messages = 2;
    let (mut server, peer) = serve(small_queue, async |mut ws| while ws.send(vec![0; 1000]).await.is_ok() {});
    let task = Task::new();
    let mut pongs = 0;
    for turn in 1..10 {
        peer.send(Frame::ping("now"));
        assert!(task.poll(&mut server).is_pending());
        yield_now().await;
        assert!(task.was_woken());
        let received = peer.received();
        assert!(received.len() <= 20, "{} messages in a turn", received.len());
        pongs += received.iter().filter(|frame| frame.opcode == opcode::PONG).count();
        assert!(pongs + 1 >= turn, "{pongs} pongs in {turn} turns");
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_the_application_does_something_else() {
    let (server, peer) = serve(config(), async |mut ws| {
        sleep(100 * SECOND).await;
        assert_eq!(ws.recv().await, Some(Message::text("held meanwhile")));
    });
    let server = tokio::spawn(server);
    peer.send(Frame::text("held meanwhile"));
    for number in 0..10 {
        peer.send(Frame::ping(number.to_string()));
        sleep(SECOND).await;
        assert_eq!(peer.received(), [Frame::pong(number.to_string())]);
    }
    peer.answer_close();
    assert!(server.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_while_the_application_works_on_a_message() {
    let (server, peer) = serve(config(), async |mut ws| {
        while ws.recv().await.is_some() {
            sleep(10 * SECOND).await;
        }
    });
    let server = tokio::spawn(server);
    for number in 0..10 {
        peer.send(Frame::text("work"));
        sleep(SECOND).await;
        peer.send(Frame::ping(number.to_string()));
        sleep(SECOND).await;
        assert_eq!(peer.received(), [Frame::pong(number.to_string())]);
    }
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn held_messages_are_bounded_and_none_is_lost() {
    let mut config = config();
    config.limits.max_held_bytes = 10_000;
    let (server, peer) = serve(config, async |mut ws| {
        sleep(100 * SECOND).await;
        for number in 0..1000 {
            assert_eq!(ws.recv().await, Some(Message::text(text(number, 1000))));
        }
    });
    let server = tokio::spawn(server);
    for number in 0..1000 {
        peer.send(Frame::text(text(number, 1000)));
        yield_now().await;
    }
    let read = peer.counts().bytes_read;
    assert!((10_000..13_000).contains(&read), "{read} bytes were read");
    peer.answer_close();
    let info = server.await.unwrap();
    assert!(info.is_clean(), "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_bytes_are_not_read_does_not_count_as_idle() {
    let mut config = config();
    config.limits.max_held_bytes = 1000;
    config.idle_timeout = Some(10 * SECOND);
    let (server, peer) = serve(config, async |mut ws| {
        sleep(60 * SECOND).await;
        for _ in 0..100 {
            assert_eq!(ws.recv().await, Some(Message::text("x".repeat(100))));
            sleep(SECOND / 10).await;
        }
    });
    peer.read_slowly(106);
    peer.send_all(vec![Frame::text("x".repeat(100)); 100]);
    peer.answer_close();
    let info = server.await;
    assert!(info.is_clean() && info.initiator == Initiator::Local, "{info:?}");
}

#[tokio::test(start_paused = true)]
async fn a_close_is_answered_while_the_application_does_something_else() {
    let (server, peer) = serve(config(), async |mut ws| {
        sleep(100 * SECOND).await;
        assert_eq!(ws.send("late").await, Err(SendError::Closed(Message::text("late"))));
        assert_eq!(ws.recv().await, None);
        assert_eq!(ws.close_info().unwrap().code(), 1001);
    });
    let server = tokio::spawn(server);
    peer.send(Frame::close(1001, ""));
    peer.end();
    sleep(SECOND).await;
    assert_eq!(peer.received(), [Frame::close(1001, "")]);
    assert!(peer.is_disconnected(), "the socket is closed although the application still runs");
    assert!(server.await.unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn an_application_that_returns_closes_with_1000() {
    let (server, peer) = serve(config(), async |mut ws| {
        ws.send("first").await.unwrap();
        ws.send("last").await.unwrap();
    });
    peer.answer_close();
    let info = server.await;
    assert!(info.is_clean() && info.initiator == Initiator::Local);
    assert_eq!(peer.received(), [Frame::text("first"), Frame::text("last"), Frame::close(1000, "")]);
    assert_eq!(peer.counts().writes, 1);
    assert!(peer.is_disconnected());
}

#[tokio::test(start_paused = true)]
async fn what_the_sink_accepted_beyond_the_limits_goes_out_before_the_close_of_an_application_that_returns() {
    let mut config = config();
    config.write_queue_messages = 1;
    let (task, peer) = serve(config, |mut ws| async move {
        Pin::new(&mut ws).start_send("in the queue".into()).unwrap();
        Pin::new(&mut ws).start_send("beyond the limits".into()).unwrap();
    });
    peer.answer_close();
    assert!(task.await.is_clean());
    let frames = peer.received();
    assert_eq!(frames[..2], ["in the queue", "beyond the limits"].map(Frame::text));
    assert_eq!((frames.len(), frames[2].opcode), (3, opcode::CLOSE));
}

#[tokio::test(start_paused = true)]
async fn after_the_application_returns_a_silent_peer_gets_the_close_timeout() {
    let (server, _peer) = serve(config(), async |_ws| {});
    let started = Instant::now();
    assert_eq!(server.await.error, Some(TimedOut::Close.into()));
    assert_eq!(started.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_peer_receives_the_close_code_of_the_application() {
    let (server, peer) = serve(config(), async |mut ws| {
        let info = ws.close(CloseCode::new(4000).unwrap(), "enough").await;
        assert!(info.is_clean());
    });
    peer.answer_close();
    assert!(server.await.is_clean());
    assert_eq!(peer.received(), [Frame::close(4000, "enough")]);
}

#[tokio::test(start_paused = true)]
async fn messages_held_when_the_transport_fails_are_still_delivered() {
    let (server, peer) = serve(config(), async |mut ws| {
        sleep(10 * SECOND).await;
        assert_eq!(ws.recv().await, Some(Message::text("1")));
        assert_eq!(ws.recv().await, Some(Message::text("2")));
        assert_eq!(ws.recv().await, None);
        let reset = ConnectionError::Transport(ErrorKind::ConnectionReset);
        assert_eq!(ws.close_info().unwrap().error, Some(reset));
    });
    peer.send_all([Frame::text("1"), Frame::text("2")]);
    peer.fail_reads(ErrorKind::ConnectionReset);
    assert_eq!(timeout(60 * SECOND, server).await.expect("it ends").code(), 1006);
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_although_the_application_never_takes_held_messages() {
    for how in ["reset", "violation", "close", "end"] {
        let (server, peer) = serve(config(), async |_ws| sleep(10 * SECOND).await);
        peer.send_all([Frame::text("not"), Frame::text("taken")]);
        match how {
            "reset" => peer.fail_reads(ErrorKind::ConnectionReset),
            "violation" => peer.send(Frame::new(3, "")),
            "close" => peer.send(Frame::close(1000, "")),
            _ => peer.end(),
        }
        let info = timeout(60 * SECOND, server).await;
        assert!(info.is_ok() && peer.is_disconnected(), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_sender_go_out_while_the_application_sleeps() {
    let (senders, mut sender) = tokio::sync::mpsc::unbounded_channel();
    let (server, peer) = serve(config(), move |ws| async move {
        senders.send(ws.sender()).unwrap();
        pending::<()>().await;
        drop(ws);
    });
    let server = tokio::spawn(server);
    let sender = sender.recv().await.unwrap();
    sleep(1000 * SECOND).await;
    sender.try_send("from another task").unwrap();
    sender.ping(b"hi").unwrap();
    yield_now().await;
    let mut frames = peer.received();
    frames.sort_by_key(|frame| frame.opcode);
    assert_eq!(frames, [Frame::text("from another task"), Frame::ping("hi")]);

    sender.close(CloseCode::GOING_AWAY, "");
    sleep(4 * SECOND).await;
    assert_eq!(peer.received(), [Frame::close(1001, "")]);
    assert!(!peer.is_disconnected(), "the peer has five seconds to answer");
    sleep(2 * SECOND).await;
    assert!(peer.is_disconnected());
    server.abort();
}

#[tokio::test(start_paused = true)]
async fn an_application_waits_while_the_peer_does_not_read() {
    let mut config = config();
    config.write_queue_messages = 2;
    config.keepalive = Some(Keepalive::new(30 * SECOND, 30 * SECOND));
    let (server, peer) = serve(config, async |mut ws| {
        for number in 0..50 {
            ws.send(text(number, 100)).await.unwrap();
        }
    });
    peer.take_only(0);
    let server = tokio::spawn(server);
    for _ in 0..50 {
        sleep(10 * SECOND).await;
        peer.take_only(100);
        peer.send(Frame::ping("alive"));
    }
    peer.answer_close();
    peer.take_everything();
    assert!(server.await.unwrap().is_clean());
    let frames = peer.received();
    let texts: Vec<Frame> = frames.into_iter().filter(|frame| frame.opcode == opcode::TEXT).collect();
    assert_eq!(texts, (0..50).map(|number| Frame::text(text(number, 100))).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_server_half_wakes_the_application_with_an_error() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let (half, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), &[]);
    let waiting = Task::new();
    assert!(ws.poll_recv(&mut waiting.cx()).is_pending());
    drop(half);
    assert!(waiting.was_woken() && peer.is_disconnected());
    assert_eq!(ws.recv().await, None);
    assert!(ws.close_info().unwrap().error.is_some());
}

#[tokio::test(start_paused = true)]
async fn frames_that_came_with_the_handshake_come_first() {
    let (transport, peer) = TestTransport::new(Role::Server);
    let early: Vec<u8> = (0..3).flat_map(|number| Frame::text(text(number, 9)).encode(true)).collect();
    let (split, rest) = early.split_at(20);
    peer.send_bytes(rest);
    peer.send(Frame::text("later"));
    let (_served, mut ws) = ServerHalf::new(transport, connection(Role::Server, config()), split);
    for number in 0..3 {
        assert_eq!(ws.recv().await.unwrap().as_text(), Some(&*text(number, 9)));
    }
    let later = ws.recv().await.unwrap();
    assert_eq!((later.as_text(), later.kind()), (Some("later"), MessageKind::Text));
}
