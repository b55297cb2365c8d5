//! The statistics and the recorder of a client's connection.

use std::time::Duration;

use e2e_tests::raw_peer::{RawFrame, Side};
use ws_client::{CloseCode, Connector, Keepalive, Message};

use crate::support::{drain, open_with, run, soon};

fn counting() -> Connector {
    Connector::new().statistics(true).recorder(64)
}

#[test]
fn a_client_counts_what_it_received_and_sent() {
    run(async {
        let (mut ws, mut server) = open_with(counting()).await;
        let frames = [RawFrame::text("one"), RawFrame::ping("p"), RawFrame::close(1000, "")];
        ws.send(Message::binary(vec![1; 70_000])).await.unwrap();
        server.expect_binary(&vec![1; 70_000]).await;
        server.send_together(&frames[..2]).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::text("one")));
        server.send(frames[2].clone()).await;
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), async {
            server.expect_pong(b"p").await;
            server.expect_close(1000).await;
            drop(server);
        });
        assert!(messages.is_empty() && info.is_clean());
        let stats = ws.stats().unwrap();
        assert_eq!(info.stats(), Some(&stats));
        let received = stats.received;
        assert_eq!((received.messages, received.payload_bytes, received.frames), (1, 3, 3));
        let wire: usize = frames.iter().map(|frame| frame.encode(Side::Server).len()).sum();
        assert_eq!((received.pings, received.wire_bytes), (1, wire as u64));
        let sent = stats.sent;
        assert_eq!((sent.messages, sent.payload_bytes, sent.frames, sent.pongs), (1, 70_000, 3, 1));
        // A header of 14 bytes, and of 6 bytes for each control frame.
        assert_eq!(sent.wire_bytes, 14 + 70_000 + 6 + 1 + 6 + 2);
    });
}

#[test]
fn a_client_measures_the_round_trip_with_its_keepalive() {
    run(async {
        let keepalive = Keepalive::new(Duration::from_millis(20), Duration::from_secs(60));
        let (mut ws, mut server) = open_with(counting().keepalive(keepalive)).await;
        let answers = async {
            for number in 1..=3_u64 {
                server.expect_ping(&number.to_be_bytes()).await;
                server.send(RawFrame::pong(number.to_be_bytes())).await;
            }
            server.send(RawFrame::text("enough")).await;
        };
        let (message, ()) = tokio::join!(soon(ws.recv()), answers);
        assert_eq!(message, Some(Message::text("enough")));
        let trip = ws.stats().unwrap().round_trip.unwrap();
        assert_eq!(trip.samples, 3);
        assert!(trip.minimum <= trip.smoothed && trip.minimum > Duration::ZERO, "{trip:?}");
    });
}

#[test]
fn a_client_records_why_it_closed() {
    run(async {
        let (mut ws, mut server) = open_with(counting()).await;
        let close = async {
            server.expect_close(4000).await;
            server.send(RawFrame::close(4000, "")).await;
            drop(server);
        };
        let (info, ()) = tokio::join!(ws.close(CloseCode::new(4000).unwrap(), "private"), close);
        let printed = info.recording().unwrap().to_string();
        assert_eq!(ws.recording().as_ref(), info.recording());
        for line in ["close requested 4000", "sent Close 4000", "received Close 4000", "ended"] {
            assert!(printed.contains(line), "{printed}");
        }
        assert!(!printed.contains("private"));
    });
}

#[test]
fn after_an_abort_the_statistics_are_still_there() {
    run(async {
        let (mut ws, server) = open_with(counting()).await;
        ws.send("one").await.unwrap();
        ws.abort();
        assert_eq!(ws.stats().unwrap().sent.messages, 1);
        assert!(ws.recording().unwrap().to_string().ends_with("ended"), "{:?}", ws.recording());
        drop(server);
    });
}
