//! `select!` loops over TCP: a cancelled operation continues where it was.

use std::time::Duration;

use e2e_tests::raw_peer::{RawFrame, Side};
use tokio::time::interval;
use ws_client::{CloseCode, Message};

use crate::support::{open, run};

#[test]
fn a_recv_in_a_select_loop_loses_nothing_wherever_the_segments_end() {
    run(async {
        let (mut ws, mut server) = open().await;
        let messages: Vec<String> =
            (0..50).map(|number| format!("message {number}").repeat(number)).collect();
        let bytes: Vec<u8> =
            messages.iter().flat_map(|text| RawFrame::text(text.as_str()).encode(Side::Server)).collect();
        let sending = tokio::spawn(async move {
            for piece in [1, 2, 3, 7, 100].iter().cycle().scan(&bytes[..], |rest, size| {
                let (piece, left) = rest.split_at((*size).min(rest.len()));
                *rest = left;
                (!piece.is_empty()).then(|| piece.to_vec())
            }) {
                server.send_bytes(piece).await;
                tokio::task::yield_now().await;
            }
            server
        });
        let mut ticks = interval(Duration::from_micros(100));
        let (mut received, mut cancelled) = (Vec::new(), 0);
        while received.len() < messages.len() {
            tokio::select! {
                biased;
                _ = ticks.tick() => cancelled += 1,
                () = tokio::task::yield_now() => cancelled += 1,
                message = ws.recv() => received.push(message.unwrap().as_text().unwrap().to_owned()),
            }
        }
        assert!(cancelled > 0);
        assert_eq!(received, messages);
        drop(sending.await.unwrap());
    });
}

#[test]
fn sends_and_receives_that_are_cancelled_all_the_time_still_exchange_everything() {
    run(async {
        let (mut ws, server) = open().await;
        let (mut reader, mut writer) = server.into_connection().split();
        let echo = tokio::spawn(async move {
            while let Ok(frame) = reader.try_recv_frame().await {
                if frame.close_code().is_some() {
                    writer.send(RawFrame::close(1000, "")).await;
                    return;
                }
                writer.send_in_pieces(RawFrame::text(frame.payload).encode(Side::Server), 3).await;
            }
        });
        let mut received = Vec::new();
        for number in 0..200 {
            // One poll is enough to queue it.
            tokio::select! {
                biased;
                sent = ws.send(format!("message {number}")) => sent.unwrap(),
                () = std::future::ready(()) => {}
            }
            for _ in 0..3 {
                tokio::select! {
                    biased;
                    message = ws.recv() => received.push(message.unwrap()),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        while received.len() < 200 {
            received.push(ws.recv().await.unwrap());
        }
        let expected: Vec<Message> =
            (0..200).map(|number| Message::text(format!("message {number}"))).collect();
        assert_eq!(received, expected);
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        echo.await.unwrap();
    });
}
