//! Pings and pongs.

use std::time::{Duration, Instant};

use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{DEADLINE, RawAcceptor, RawFrame, opcode};
use ws_client::{CloseCode, Connector, Event, Keepalive, Message, connect, error::ControlError};
use ws_proto::error::TimedOut;

use crate::support::{drain, open, open_with, run, soon};

#[test]
fn a_ping_is_answered_by_a_client_that_only_reads() {
    run(async {
        let (mut ws, mut server) = open().await;
        let end = async {
            for payload in ["", "hello", &"p".repeat(125)] {
                server.send(RawFrame::ping(payload)).await;
                server.expect_pong(payload.as_bytes()).await;
            }
            server.send(RawFrame::close(1000, "")).await;
            server.expect_close(1000).await;
            drop(server);
        };
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(messages.is_empty() && info.is_clean());
    });
}

#[test]
fn an_unsolicited_pong_is_not_a_message() {
    run(async {
        let (mut ws, mut server) = open().await;
        server.send_together(&[RawFrame::pong("hello"), RawFrame::text("m"), RawFrame::pong("")]).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::text("m")));
        ws.send("still here").await.unwrap();
        server.expect_text("still here").await;
    });
}

#[test]
fn a_ping_between_fragments_is_answered_before_the_message_is_complete() {
    run(async {
        let (mut ws, mut server) = open().await;
        let end = async {
            server.send(RawFrame::text("Hel").not_final()).await;
            server.send(RawFrame::ping("in between")).await;
            server.expect_pong(b"in between").await;
            server.send(RawFrame::continuation("lo")).await;
        };
        let (message, ()) = tokio::join!(soon(ws.recv()), end);
        assert_eq!(message, Some(Message::text("Hello")));
    });
}

#[test]
fn pings_of_the_caller_are_sent_and_their_limits_reported() {
    run(async {
        let (mut ws, mut server) = open().await;
        ws.ping(b"are you there?").await.unwrap();
        server.expect_ping(b"are you there?").await;
        ws.sender().ping(b"and you?").unwrap();
        server.expect_ping(b"and you?").await;
        assert_eq!(ws.ping(&[0; 126]).await, Err(ControlError::TooLong { len: 126 }));
    });
}

#[test]
fn without_auto_pong_the_caller_answers_pings() {
    run(async {
        let (mut ws, mut server) =
            open_with(Connector::new().protocol(|config| config.auto_pong = false)).await;
        server.send(RawFrame::ping("ping")).await;
        assert!(matches!(soon(ws.recv_event()).await, Some(Event::Ping(payload)) if payload == "ping"));
        ws.pong(b"own").await.unwrap();
        ws.sender().pong(b"sent").unwrap();
        server.expect_pong(b"own").await;
        server.expect_pong(b"sent").await;
        assert_eq!(ws.pong(&[0; 126]).await, Err(ControlError::TooLong { len: 126 }));
    });
}

#[test]
fn a_full_control_queue_is_an_error() {
    run(async {
        let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
        let url = acceptor.url("/");
        let (ws, mut server) = tokio::join!(connect(&url), acceptor.accept_upgraded());
        let ws = ws.unwrap();
        let sender = ws.sender();
        // Far more than the kernel buffers for a peer that does not read.
        sender.try_send(vec![0; 32 << 20]).unwrap();
        let accepted = (0..100).take_while(|_| sender.ping(&[1; 100]).is_ok()).count();
        assert!((1..=3).contains(&accepted), "{accepted} pings of 100 bytes in 256");
        assert_eq!(sender.ping(&[1; 100]), Err(ControlError::Full));
        drop(ws);
        assert!(server.try_recv_frame().await.is_err());
    });
}

#[test]
fn a_flood_of_pings_from_a_server_that_reads_nothing_does_not_grow() {
    run(async {
        let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
        let url = acceptor.url("/");
        let connector = Connector::new().protocol(|config| {
            config.limits.max_control_frames_per_read = u32::MAX;
            config.limits.max_control_frames_per_second = u32::MAX;
        });
        let (ws, server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
        let mut ws = ws.unwrap();
        let reading = tokio::spawn(async move {
            let message = ws.recv().await;
            (message, ws)
        });
        let (mut reader, mut writer) = server.into_connection().split();
        const PINGS: usize = 400_000;
        for round in 0..PINGS / 1000 {
            let pings: Vec<RawFrame> =
                (0..1000).map(|number| RawFrame::ping(format!("{:06}", round * 1000 + number))).collect();
            writer.send_together(&pings).await;
        }
        writer.send(RawFrame::text("enough")).await;
        let (message, ws) = soon(reading).await.unwrap();
        assert_eq!(message, Some(Message::text("enough")));
        // Closes after all queued frames are written.
        let closing = tokio::spawn(async move {
            let mut ws = ws;
            ws.close(CloseCode::NORMAL, "").await
        });
        let mut pongs = Vec::new();
        loop {
            let frame = reader.recv_frame().await;
            if frame.close_code().is_some() {
                break;
            }
            pongs.push(frame.payload);
        }
        assert!(pongs.len() < PINGS, "{} pongs", pongs.len());
        assert_eq!(pongs.last().unwrap(), format!("{:06}", PINGS - 1).as_bytes(), "the latest is answered");
        drop((reader, writer));
        closing.await.unwrap();
    });
}

#[test]
fn a_silent_server_is_pinged_and_a_dead_one_is_given_up() {
    run(within(Duration::from_millis(100), async |patience| {
        let keepalive = Keepalive::new(patience / 10, patience);
        let connector = Connector::new().close_timeout(DEADLINE).keepalive(Some(keepalive));
        let pauses = Pauses::begin();
        let (mut ws, mut server) = open_with(connector).await;
        let client = tokio::spawn(async move { drain(&mut ws).await.1 });
        let started = Instant::now();
        let (mut last_answer, mut has_stopped) = (started, false);
        let close = loop {
            let frame = server.recv_frame().await;
            if frame.opcode == opcode::CLOSE {
                break frame;
            }
            assert_eq!(frame, RawFrame::ping(""));
            // Each answer moves the deadline: all of them together take longer than one wait.
            has_stopped = started.elapsed() >= 2 * patience;
            if !has_stopped {
                last_answer = Instant::now();
                server.send(RawFrame::pong("")).await;
            }
        };
        assert_eq!(close.close_code().map(|(code, _)| code), Some(1011));
        let kept = has_stopped && last_answer.elapsed() >= patience;
        if !kept {
            pauses.assert_missed(patience);
        }
        server.send(RawFrame::close(1011, "")).await;
        server.half_close().await;
        server.expect_eof().await;
        assert_eq!(client.await.unwrap().error, Some(TimedOut::Keepalive.into()));
        kept
    }));
}
