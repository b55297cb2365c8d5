//! How a connection ends, and how its end is reported.

use std::{future::poll_fn, io::ErrorKind, pin::Pin, time::Duration};

use futures_core::{FusedStream, Stream};
use futures_sink::Sink;
use tokio::{io::DuplexStream, time::Instant};
use ws_proto::{
    CloseCode, CloseInfo, ConnectionState, Message, Role,
    close::Initiator,
    error::{ConnectionError, ControlError, ProtocolError, SendError, TimedOut},
};
use ws_tokio::{Error, WebSocket};

use crate::support::{Frame, ROLES, TestTransport, config, opcode, open};

/// Receives until the end; returns the messages and how the connection ended.
async fn drain(ws: &mut WebSocket<TestTransport>) -> (Vec<Message>, CloseInfo) {
    let mut messages = Vec::new();
    while let Some(message) = ws.recv().await {
        messages.push(message);
    }
    (messages, ws.close_info().expect("the connection is over"))
}

#[tokio::test(start_paused = true)]
async fn recv_is_none_once_the_connection_is_over_and_stays_none() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("last"), Frame::close(4001, "done")]);
        peer.end();
        assert_eq!(ws.recv().await, Some(Message::text("last")));
        assert_eq!(ws.close_info(), None, "not over yet");
        for _ in 0..3 {
            assert_eq!(ws.recv().await, None);
            assert_eq!(ws.state(), ConnectionState::Closed);
        }
        let info = ws.close_info().unwrap();
        assert_eq!((info.code(), info.reason(), info.initiator), (4001, "done", Initiator::Remote));
        assert!(info.is_clean() && info.error.is_none() && info.sent == info.received);
        assert_eq!(peer.received(), [Frame::close(4001, "done")]);
        assert!(peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn close_completes_the_closing_handshake_and_returns_its_result() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.answer_close();
        ws.feed("first").await.unwrap();
        let info = ws.close(CloseCode::new(3001).unwrap(), "enough").await;
        assert!(info.is_clean());
        assert_eq!((info.code(), info.initiator), (1000, Initiator::Local));
        assert_eq!(info.sent.as_ref().unwrap().code.unwrap().get(), 3001);
        assert_eq!(peer.received(), [Frame::text("first"), Frame::close(3001, "enough")]);
        assert_eq!(ws.close_info(), Some(info.clone()));
        assert_eq!(ws.close(CloseCode::NORMAL, "again").await, info, "closing twice changes nothing");
        assert_eq!(peer.received(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_that_is_never_answered_ends_at_the_close_timeout() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let started = Instant::now();
        let info = ws.close(CloseCode::NORMAL, "").await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert_eq!(info.error, Some(TimedOut::Close.into()));
        assert_eq!((info.code(), info.is_clean()), (1006, false));
        assert!(peer.is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_after_our_close_are_dropped() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("too late"), Frame::ping("too"), Frame::close(1000, "")]);
        peer.end();
        let info = ws.close(CloseCode::NORMAL, "").await;
        assert!(info.is_clean());
        assert_eq!(peer.received(), [Frame::close(1000, "")]);
        assert_eq!(ws.recv().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_can_be_sent_on_a_connection_that_is_not_open() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let sender = ws.sender();
        peer.answer_close();
        ws.close(CloseCode::NORMAL, "").await;
        peer.received();
        let refused = Err(SendError::Closed(Message::text("late")));
        assert_eq!(ws.send("late").await, refused);
        assert_eq!(ws.feed("late").await, refused);
        assert_eq!(sender.send("late").await, refused);
        assert_eq!(sender.try_send("late"), refused);
        assert_eq!(ws.ping(b"late").await, Err(ControlError::Closed));
        assert_eq!(sender.ping(b"late"), Err(ControlError::Closed));
        ws.flush().await;
        sender.close(CloseCode::NORMAL, "");
        assert!(!ws.is_open() && !sender.is_open());
        assert_eq!(peer.received(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn the_reply_to_a_message_goes_out_although_a_close_came_right_behind_it() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("question"), Frame::close(1000, "")]);
        peer.end();
        assert_eq!(ws.recv().await, Some(Message::text("question")));
        ws.send("answer").await.unwrap();
        assert_eq!(ws.recv().await, None);
        assert_eq!(peer.received(), [Frame::text("answer"), Frame::close(1000, "")]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_stream_without_a_close_is_reported_as_1006() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("last"));
        peer.end();
        let (messages, info) = drain(&mut ws).await;
        assert_eq!(messages, [Message::text("last")]);
        assert_eq!((info.code(), info.error), (1006, Some(ConnectionError::Eof)));
        assert_eq!(info.initiator, Initiator::Remote);
        assert_eq!(peer.received(), [], "no Close goes to a peer that is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unexpected_eof_of_tls_counts_as_the_end_of_the_stream() {
    let (mut ws, peer) = open(Role::Client);
    peer.fail_reads(ErrorKind::UnexpectedEof);
    assert_eq!(drain(&mut ws).await.1.error, Some(ConnectionError::Eof));
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_middle_of_a_frame_or_message_is_an_end_without_a_close() {
    for role in ROLES {
        let [first, _] = Frame::text("half").in_two(2);
        for bytes in [first.encode(role == Role::Server), vec![0x81], Vec::new()] {
            let (mut ws, peer) = open(role);
            peer.send_bytes(&bytes);
            peer.end();
            let (messages, info) = drain(&mut ws).await;
            assert_eq!((messages, info.error), (vec![], Some(ConnectionError::Eof)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_transport_is_reported() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.fail_reads(ErrorKind::ConnectionReset);
        let reset = ConnectionError::Transport(ErrorKind::ConnectionReset);
        assert_eq!(drain(&mut ws).await.1.error, Some(reset));

        let (mut ws, peer) = open(role);
        peer.fail_writes(ErrorKind::BrokenPipe);
        ws.send("not delivered").await.unwrap();
        let broken = ConnectionError::Transport(ErrorKind::BrokenPipe);
        assert_eq!(drain(&mut ws).await.1.error, Some(broken));

        let (mut ws, peer) = open(role);
        peer.refuse_writes();
        ws.send("not delivered").await.unwrap();
        let zero = ConnectionError::Transport(ErrorKind::WriteZero);
        assert_eq!(drain(&mut ws).await.1.error, Some(zero));
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_arrived_before_the_transport_failed_are_delivered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("1"), Frame::text("2"), Frame::text("3")]);
        assert_eq!(ws.recv().await, Some(Message::text("1")));
        peer.fail_writes(ErrorKind::ConnectionReset);
        ws.send("does not arrive").await.unwrap();
        assert_eq!(drain(&mut ws).await.0, [Message::text("2"), Message::text("3")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_violation_is_answered_once_and_the_peer_gets_time_to_read_the_answer() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::text("fine"), Frame::new(3, "")]);
        assert_eq!(ws.recv().await, Some(Message::text("fine")));
        let started = Instant::now();
        let (messages, info) = drain(&mut ws).await;
        assert!(messages.is_empty(), "{messages:?}");
        assert_eq!(started.elapsed(), Duration::from_secs(5), "so that a reset does not destroy the Close");
        assert!(peer.saw_shutdown(), "the write half ends behind the Close");
        assert_eq!(info.error, Some(ProtocolError::ReservedOpcode(3).into()));
        assert_eq!(info.initiator, Initiator::Library);
        let frames = peer.received();
        assert_eq!(
            (frames.len(), frames[0].opcode, &frames[0].payload[..2]),
            (1, opcode::CLOSE, &[3, 234][..])
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_ends_the_transport_first() {
    let (mut ws, peer) = open(Role::Server);
    peer.send(Frame::close(1000, ""));
    let started = Instant::now();
    assert_eq!(ws.recv().await, None);
    assert_eq!(started.elapsed(), Duration::from_secs(5), "the peer did not end its side");
    assert!(peer.saw_shutdown());
    assert!(ws.close_info().unwrap().is_clean());

    let (mut ws, peer) = open(Role::Client);
    peer.send(Frame::close(1000, ""));
    assert_eq!(ws.recv().await, None);
    assert!(!peer.saw_shutdown(), "the server ends the transport");
    assert!(ws.close_info().unwrap().is_clean());
}

#[tokio::test(start_paused = true)]
async fn messages_still_reach_a_peer_that_has_ended_its_side() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.take_only(10);
        ws.feed("a".repeat(1000)).await.unwrap();
        peer.end();
        let receiver = tokio::spawn(async move { drain(&mut ws).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(peer.received(), []);
        peer.take_everything();
        let (_, info) = receiver.await.unwrap();
        assert_eq!(info.error, Some(ConnectionError::Eof));
        assert_eq!(peer.received(), [Frame::text("a".repeat(1000))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_websocket_ends_the_transport() {
    let (ws, peer) = open(Role::Client);
    let sender = ws.sender();
    drop(ws);
    assert!(peer.is_disconnected() && !sender.is_open());
    assert_eq!(sender.send("late").await, Err(SendError::Closed(Message::text("late"))));
}

async fn next(ws: &mut WebSocket<TestTransport>) -> Option<Result<Message, Error>> {
    poll_fn(|cx| Pin::new(&mut *ws).poll_next(cx)).await
}

#[tokio::test(start_paused = true)]
async fn the_stream_yields_one_error_after_an_abnormal_end_and_then_nothing() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::text("last"));
        peer.end();
        assert_eq!(next(&mut ws).await, Some(Ok(Message::text("last"))));
        assert!(!ws.is_terminated());
        assert_eq!(next(&mut ws).await, Some(Err(Error::Connection(ConnectionError::Eof))));
        for _ in 0..3 {
            assert_eq!(next(&mut ws).await, None);
            assert!(ws.is_terminated());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_yields_no_error_after_a_clean_close() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::close(4000, "not an error of ours"));
        peer.end();
        for _ in 0..3 {
            assert_eq!(next(&mut ws).await, None);
            assert!(ws.is_terminated());
        }
    }
}

/// A server whose `Sink` has accepted a message beyond the limits of the write queue, and whose peer reads nothing.
/// Nothing else limits the wait for room.
fn with_a_message_beyond_the_limits() -> (WebSocket<DuplexStream>, DuplexStream) {
    let mut config = config();
    (config.write_timeout, config.write_queue_messages) = (None, 1);
    (config.keepalive, config.close_timeout) = (None, Duration::from_secs(5));
    let (io, peer) = tokio::io::duplex(16);
    let mut ws = WebSocket::server(io, config.validate().unwrap());
    while Pin::new(&mut ws).start_send(Message::binary(vec![0; 100])).is_ok() {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut ws).poll_flush(&mut cx).is_pending());
    }
    (ws, peer)
}

#[tokio::test(start_paused = true)]
async fn without_a_write_timeout_a_close_behind_a_message_beyond_the_limits_ends_at_the_close_timeout() {
    for is_sink in [false, true] {
        let (mut ws, _peer) = with_a_message_beyond_the_limits();
        let start = Instant::now();
        let closing = tokio::time::timeout(Duration::from_secs(3600), async {
            if is_sink {
                poll_fn(|cx| Pin::new(&mut ws).poll_close(cx)).await.unwrap();
            }
            ws.close(CloseCode::NORMAL, "").await
        });
        let info = closing.await.expect("the close ends");
        assert!(matches!(info.error, Some(ConnectionError::TimedOut(_))), "{info}");
        assert!(start.elapsed() <= Duration::from_secs(6), "{is_sink}: {:?}", start.elapsed());
    }
}
