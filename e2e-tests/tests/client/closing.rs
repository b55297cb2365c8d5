//! The closing handshake, started by the server or by the client.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use e2e_tests::pauses::{Pauses, takes_less_than, within};
use e2e_tests::raw_peer::{RawAcceptor, RawFrame, RecvError, opcode};
use ws_client::{
    CloseCode, Connector, Message,
    close::Initiator,
    error::{ConnectionError, SendError},
};
use ws_proto::error::{ProtocolError, TimedOut};

use crate::support::{SHORT, drain, open, open_with, run, soon, with_short_close};

#[test]
fn a_server_that_closes_at_once_is_answered_and_its_close_reported() {
    run(async {
        let (mut ws, mut server) = open().await;
        let end = async {
            server.send(RawFrame::close(1000, "bye")).await;
            assert_eq!(server.expect_close(1000).await, "bye");
            drop(server);
        };
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(messages.is_empty() && info.is_clean());
        assert_eq!((info.initiator, info.code(), info.reason()), (Initiator::Remote, 1000, "bye"));
        assert_eq!(soon(ws.recv()).await, None, "and so it stays");
    });
}

#[test]
fn the_server_ends_tcp_first() {
    run(async {
        let (mut ws, mut server) = open().await;
        server.send(RawFrame::close(1000, "")).await;
        let client = tokio::spawn(async move { drain(&mut ws).await.1 });
        server.expect_close(1000).await;
        // The client waits for this end's FIN and then closes its own end.
        server.half_close().await;
        server.expect_eof().await;
        assert!(client.await.unwrap().is_clean());
    });
}

#[test]
fn a_ping_and_a_close_both_reach_the_server() {
    run(async {
        let (mut ws, mut server) = open().await;
        let client = tokio::spawn(async move {
            ws.ping(b"last ping").await.unwrap();
            ws.close(CloseCode::NORMAL, "bye").await
        });
        server.expect_ping(b"last ping").await;
        assert_eq!(server.expect_close(1000).await, "bye");
        server.send_together(&[RawFrame::pong("last ping"), RawFrame::close(1000, "")]).await;
        server.half_close().await;
        server.expect_eof().await;
        let info = client.await.unwrap();
        assert!(info.is_clean() && info.initiator == Initiator::Local);
    });
}

#[test]
fn a_server_that_never_answers_the_close_is_cut_off_at_the_deadline() {
    run(async {
        // The default is 5 s.
        takes_less_than(Duration::from_secs(4), time_to_be_cut_off).await;
    });
}

async fn time_to_be_cut_off() -> Duration {
    let (mut ws, mut server) = open_with(with_short_close()).await;
    let started = Instant::now();
    let info = soon(ws.close(CloseCode::NORMAL, "")).await;
    let took = started.elapsed();
    assert!(took >= SHORT);
    assert_eq!(info.error, Some(TimedOut::Close.into()));
    server.expect_close(1000).await;
    server.expect_end().await;
    took
}

#[test]
fn what_was_fed_goes_out_whole_before_our_close_however_slowly_it_is_read() {
    const MESSAGE: usize = 6 << 20;
    const HEADER: usize = 14;
    // The close timeout is shorter than the message takes, and than the server takes for what the kernel holds of it.
    run(within(Duration::from_secs(1), async |patience| {
        let acceptor = RawAcceptor::bind_to(SocketAddr::from(([127, 0, 0, 1], 0)), Some(4096));
        let connector = Connector::new().close_timeout(patience).keepalive(None);
        let pauses = Pauses::begin();
        let url = acceptor.url("/");
        let (ws, mut server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
        let mut ws = ws.unwrap();
        let client = tokio::spawn(async move {
            ws.feed(vec![b'x'; MESSAGE]).await.unwrap();
            ws.close(CloseCode::NORMAL, "").await
        });
        // An error says that the client has cut it off.
        let reads_all_and_closes = async {
            let mut left = HEADER + MESSAGE;
            while left > 0 {
                left -= server.reader.try_recv_bytes(left.min(16 * 1024)).await?.len();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let close = server.try_recv_frame().await?;
            assert_eq!(close.close_code(), Some((1000, "")));
            let answer = server.writer.encode(&RawFrame::close(1000, ""));
            let _ = server.writer.try_send_bytes(answer).await;
            Ok::<_, RecvError>(())
        };
        let read = reads_all_and_closes.await;
        drop(server);
        let info = client.await.unwrap();
        let kept = read.is_ok() && info.is_clean();
        if !kept {
            pauses.assert_missed(patience);
        }
        kept
    }));
}

#[test]
fn a_server_that_answers_the_close_and_keeps_tcp_open_is_cut_off_too() {
    run(async {
        let (mut ws, mut server) = open_with(with_short_close()).await;
        let client = tokio::spawn(async move { ws.close(CloseCode::NORMAL, "").await });
        server.expect_close(1000).await;
        server.send(RawFrame::close(1000, "")).await;
        server.expect_end().await;
        assert!(client.await.unwrap().is_clean(), "both sides have said goodbye");
    });
}

#[test]
fn a_server_that_continues_sending_cannot_keep_the_connection() {
    run(async {
        let (mut ws, server) = open_with(with_short_close()).await;
        let (reader, mut writer) = server.into_connection().split();
        let flood = tokio::spawn(async move {
            while writer
                .try_send_bytes(
                    [0x82, 0x7E, 0x04, 0x00].iter().chain(&[0; 1024]).copied().collect::<Vec<_>>(),
                )
                .await
                .is_ok()
            {}
        });
        let info = soon(ws.close(CloseCode::NORMAL, "")).await;
        assert_eq!(info.error, Some(TimedOut::Close.into()));
        soon(flood).await.unwrap();
        drop(reader);
    });
}

#[test]
fn codes_and_reasons_of_the_callers_go_over_the_wire() {
    run(async {
        let long = "ä".repeat(100);
        for (code, reason, expected) in [
            (1000, "", ""),
            (1001, "leaving", "leaving"),
            (3000, "registered", "registered"),
            (4999, "private", "private"),
            // Two bytes per character. The reason is cut between characters.
            (4000, long.as_str(), &long[..122]),
        ] {
            let (mut ws, mut server) = open().await;
            let reason = reason.to_owned();
            let client = tokio::spawn(async move { ws.close(CloseCode::new(code).unwrap(), &reason).await });
            assert_eq!(server.expect_close(code).await, expected);
            server.send(RawFrame::close(code, "")).await;
            drop(server);
            assert!(client.await.unwrap().is_clean());
        }
    });
}

#[test]
fn codes_that_only_exist_in_apis_cannot_be_sent() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert!(CloseCode::new(code).is_err(), "{code}");
    }
}

#[test]
fn a_close_is_echoed_as_it_came() {
    run(async {
        let reason = "r".repeat(123);
        for (frame, code, text) in [
            (RawFrame::close(1000, "bye"), 1000, "bye"),
            (RawFrame::close(1014, ""), 1014, ""),
            (RawFrame::close(3500, "custom"), 3500, "custom"),
            (RawFrame::close(4000, &reason), 4000, reason.as_str()),
            (RawFrame::new(opcode::CLOSE, *b""), 1005, ""),
        ] {
            let (mut ws, mut server) = open().await;
            let payload = frame.payload.clone();
            let end = async {
                server.send(frame).await;
                let answer = server.recv_frame().await;
                assert_eq!((answer.opcode, answer.payload), (opcode::CLOSE, payload));
                drop(server);
            };
            let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
            assert!(info.is_clean());
            assert_eq!((info.code(), info.reason()), (code, text));
        }
    });
}

#[test]
fn a_close_that_must_not_be_is_a_violation() {
    run(async {
        for (payload, answer, expected) in [
            (&[3][..], 1002, ProtocolError::ClosePayloadTooShort),
            (&[0, 0], 1002, ProtocolError::InvalidCloseCode(0)),
            (&[3, 231], 1002, ProtocolError::InvalidCloseCode(999)),
            (&[3, 236], 1002, ProtocolError::InvalidCloseCode(1004)),
            (&[3, 237], 1002, ProtocolError::InvalidCloseCode(1005)),
            (&[3, 238], 1002, ProtocolError::InvalidCloseCode(1006)),
            (&[3, 247], 1002, ProtocolError::InvalidCloseCode(1015)),
            (&[7, 208], 1002, ProtocolError::InvalidCloseCode(2000)),
            (&[19, 136], 1002, ProtocolError::InvalidCloseCode(5000)),
            (&[3, 232, 0xFE, 0xFF], 1007, ProtocolError::InvalidCloseReason),
        ] {
            let (mut ws, mut server) = open().await;
            let end = async {
                server.send(RawFrame::new(opcode::CLOSE, payload)).await;
                server.expect_close(answer).await;
                server.expect_eof().await;
                drop(server);
            };
            let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
            assert_eq!(info.error, Some(ConnectionError::Protocol(expected)));
            assert!(!info.is_clean() && info.initiator == Initiator::Library);
        }
    });
}

#[test]
fn when_both_sides_close_at_once_both_are_content() {
    run(async {
        let (mut ws, mut server) = open().await;
        // Sent before the client closes, read after that.
        server.send(RawFrame::close(4001, "mine")).await;
        let client = tokio::spawn(async move { ws.close(CloseCode::new(4002).unwrap(), "yours").await });
        assert_eq!(server.expect_close(4002).await, "yours");
        drop(server);
        let info = client.await.unwrap();
        assert!(info.is_clean());
        assert_eq!((info.code(), info.sent.unwrap().code.unwrap().get()), (4001, 4002));
    });
}

#[test]
fn messages_that_come_behind_our_close_are_dropped() {
    run(async {
        let (mut ws, mut server) = open().await;
        let client = tokio::spawn(async move {
            let info = ws.close(CloseCode::NORMAL, "").await;
            (ws.recv().await, ws.send("late").await, info)
        });
        server.expect_close(1000).await;
        server
            .send_together(&[RawFrame::text("late"), RawFrame::ping("late"), RawFrame::close(1000, "")])
            .await;
        server.half_close().await;
        server.expect_eof().await;
        let (received, sent, info) = client.await.unwrap();
        assert_eq!((received, sent), (None, Err(SendError::Closed(Message::text("late")))));
        assert!(info.is_clean());
    });
}

#[test]
fn nothing_follows_the_servers_close() {
    run(async {
        let (mut ws, mut server) = open().await;
        let end = async {
            server
                .send_together(&[RawFrame::close(1000, ""), RawFrame::text("late"), RawFrame::new(3, *b"")])
                .await;
            server.expect_close(1000).await;
            drop(server);
        };
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(messages.is_empty() && info.is_clean());
    });
}

#[test]
fn a_large_message_before_a_close_arrives_whole() {
    run(async {
        let (mut ws, mut server) = open().await;
        let payload = vec![7; 4 << 20];
        let sent = payload.clone();
        let client = tokio::spawn(async move {
            ws.feed(sent).await.unwrap();
            ws.close(CloseCode::NORMAL, "").await
        });
        server.expect_binary(&payload).await;
        server.expect_close(1000).await;
        server.send(RawFrame::close(1000, "")).await;
        drop(server);
        assert!(client.await.unwrap().is_clean());
    });
}

#[test]
fn a_dropped_client_ends_the_transport_without_a_close() {
    run(async {
        let (ws, mut server) = open().await;
        drop(ws);
        server.expect_eof().await;
    });
}
