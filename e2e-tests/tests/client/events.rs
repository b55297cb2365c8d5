//! Control frames as events, and the round-trip time of a ping.

use std::time::Duration;

use e2e_tests::raw_peer::RawFrame;
use ws_client::{CloseCode, Error, Event, Message, close::CloseFrame};

use crate::support::{open, run, soon};

#[test]
fn events_come_in_the_order_of_their_frames_and_the_close_before_the_end() {
    run(async {
        let (mut ws, mut server) = open().await;
        let frames = [
            RawFrame::ping("1"),
            RawFrame::text("a"),
            RawFrame::pong(""),
            RawFrame::binary([7; 5000]),
            RawFrame::ping("2"),
            RawFrame::close(4000, "bye"),
        ];
        let events = [
            Event::Ping("1".into()),
            Event::Message(Message::text("a")),
            Event::Pong("".into()),
            Event::Message(Message::binary(vec![7; 5000])),
            Event::Ping("2".into()),
            Event::Close(CloseFrame::new(CloseCode::new(4000).unwrap(), "bye")),
        ];
        server.send_together(&frames).await;
        for event in events {
            assert_eq!(soon(ws.recv_event()).await, Some(event));
        }
        server.expect_pong(b"1").await;
        server.expect_pong(b"2").await;
        assert_eq!(server.expect_close(4000).await, "bye");
        drop(server);
        assert_eq!(soon(ws.recv_event()).await, None);
        assert!(ws.close_info().unwrap().is_clean());
    });
}

#[test]
fn a_client_measures_a_round_trip_while_it_does_not_receive() {
    const DELAY: Duration = Duration::from_millis(20);
    run(async {
        let (mut ws, mut server) = open().await;
        let answer = async {
            let ping = server.recv_frame().await.payload;
            server.send(RawFrame::text("meanwhile")).await;
            tokio::time::sleep(DELAY).await;
            server.send(RawFrame::pong(ping.to_vec())).await;
        };
        let (rtt, ()) = soon(async { tokio::join!(ws.ping_rtt(), answer) }).await;
        assert!(rtt.unwrap() >= DELAY, "{rtt:?}");
        assert_eq!(soon(ws.recv()).await, Some(Message::text("meanwhile")));
    });
}

#[test]
fn a_round_trip_without_an_answer_ends_with_the_connection() {
    run(async {
        let (mut ws, mut server) = open().await;
        let close = async {
            server.recv_frame().await;
            server.send(RawFrame::close(1000, "")).await;
        };
        let (rtt, ()) = soon(async { tokio::join!(ws.ping_rtt(), close) }).await;
        assert_eq!(rtt, Err(Error::Closed));
        server.expect_close(1000).await;
        drop(server);
        assert_eq!(soon(ws.recv_event()).await, Some(Event::Close(CloseFrame::new(CloseCode::NORMAL, ""))));
        assert_eq!(soon(ws.recv_event()).await, None);
    });
}
