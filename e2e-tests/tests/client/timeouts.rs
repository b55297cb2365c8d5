//! Deadlines in real time. `ws-tokio` tests them in virtual time.

use std::time::Instant;

use e2e_tests::pauses::{Pauses, within};
use e2e_tests::raw_peer::{DEADLINE, RawAcceptor, RawFrame};
use ws_client::{CloseCode, Connector, Message};
use ws_proto::error::TimedOut;

use crate::support::{SHORT, drain, open_with, run, soon, with_short_close};

/// A connector for servers that answer a Close.
fn patient() -> Connector {
    Connector::new().close_timeout(DEADLINE)
}

#[test]
fn an_idle_connection_closes_with_1001() {
    run(async {
        let connector = patient().idle_timeout(SHORT);
        let (mut ws, mut server) = open_with(connector).await;
        let started = Instant::now();
        let end = async {
            server.expect_close(1001).await;
            server.send(RawFrame::close(1001, "")).await;
            drop(server);
        };
        let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(started.elapsed() >= SHORT && info.is_clean());
        assert_eq!(info.error, Some(TimedOut::Idle.into()));
    });
}

#[test]
fn traffic_in_either_direction_keeps_an_idle_connection_open() {
    run(within(SHORT, async |idle| {
        let (started, pauses) = (Instant::now(), Pauses::begin());
        let (mut ws, mut server) = open_with(patient().idle_timeout(idle)).await;
        while started.elapsed() < 3 * idle {
            server.send(RawFrame::text("in")).await;
            let received = soon(ws.recv()).await;
            tokio::time::sleep(idle / 10).await;
            if received.is_none() || ws.send("out").await.is_err() {
                pauses.assert_missed(idle);
                // The client does not wait for an answer to its Close then.
                drop(server);
                assert_eq!(drain(&mut ws).await.1.error, Some(TimedOut::Idle.into()));
                return false;
            }
            assert_eq!(received, Some(Message::text("in")));
            server.expect_text("out").await;
            tokio::time::sleep(idle / 10).await;
        }
        true
    }));
}

#[test]
fn a_server_that_stops_reading_ends_the_connection() {
    run(async {
        let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
        let url = acceptor.url("/");
        let connector = Connector::new().write_timeout(SHORT);
        let (ws, server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
        let mut ws = ws.unwrap();
        let sends = async { while ws.send(vec![7; 1 << 20]).await.is_ok() {} };
        soon(sends).await;
        assert_eq!(drain(&mut ws).await.1.error, Some(TimedOut::Write.into()));
        drop(server);
    });
}

#[test]
fn a_close_behind_more_than_the_server_reads_takes_the_write_timeout() {
    run(async {
        let acceptor = RawAcceptor::bind_to("127.0.0.1:0".parse().unwrap(), Some(4096));
        let url = acceptor.url("/");
        let connector = with_short_close().write_timeout(Some(3 * SHORT));
        let (ws, server) = tokio::join!(connector.connect(&url), acceptor.accept_upgraded());
        let mut ws = ws.unwrap();
        ws.feed(vec![7; 32 << 20]).await.unwrap();
        let started = Instant::now();
        let info = soon(ws.close(CloseCode::NORMAL, "")).await;
        assert_eq!(
            (info.error, info.sent),
            (Some(TimedOut::Write.into()), None),
            "the Close did not get out"
        );
        assert!(started.elapsed() >= 3 * SHORT);
        drop(server);
    });
}

#[test]
fn a_message_that_is_not_completed_in_time_ends_the_connection_with_1008() {
    run(async {
        let connector = patient().message_timeout(SHORT);
        let (mut ws, mut server) = open_with(connector).await;
        let started = Instant::now();
        server.send(RawFrame::text("half").not_final()).await;
        let end = async {
            server.expect_close(1008).await;
            server.send(RawFrame::close(1008, "")).await;
            drop(server);
        };
        let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(started.elapsed() >= SHORT);
        assert_eq!(info.error, Some(TimedOut::Message.into()));
    });
}

#[test]
fn a_timer_of_a_closed_connection_changes_nothing() {
    run(within(SHORT, async |deadline| {
        let (mut ws, mut server) = open_with(Connector::new().close_timeout(deadline)).await;
        let pauses = Pauses::begin();
        let end = async {
            server.expect_close(1000).await;
            server.send(RawFrame::close(1000, "")).await;
            drop(server);
        };
        let (info, ()) = tokio::join!(ws.close(CloseCode::NORMAL, ""), end);
        if !info.is_clean() {
            pauses.assert_missed(deadline);
            return false;
        }
        tokio::time::sleep(2 * deadline).await;
        assert_eq!((ws.recv().await, ws.close_info()), (None, Some(info)));
        true
    }));
}
