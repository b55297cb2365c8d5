//! Limits on what a server can make a client hold.

use e2e_tests::raw_peer::{Length, RawFrame};
use ws_client::{Connector, Message, error::ConnectionError};
use ws_proto::error::LimitExceeded;

use crate::support::{drain, open_with, run, soon};

async fn expect_refusal(connector: Connector, frames: &[RawFrame], code: u16, expected: LimitExceeded) {
    let (mut ws, mut server) = open_with(connector).await;
    let end = async {
        server.send_together(frames).await;
        server.expect_close(code).await;
        server.expect_eof().await;
        drop(server);
    };
    let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
    assert!(messages.is_empty());
    assert_eq!(info.error, Some(ConnectionError::Limit(expected)));
}

fn at_most(bytes: usize) -> Connector {
    Connector::new().max_message_size(bytes)
}

#[test]
fn a_message_over_the_limit_is_answered_with_1009() {
    run(async {
        let limit = LimitExceeded::MessageSize { limit: 1024 };
        expect_refusal(at_most(1024), &[RawFrame::binary([0; 2048])], 1009, limit).await;
        let fragments = [RawFrame::binary([0; 1000]).not_final(), RawFrame::continuation([0; 25])];
        expect_refusal(at_most(1024), &fragments, 1009, limit).await;
    });
}

#[test]
fn the_announced_length_is_enough_to_refuse() {
    run(async {
        let limit = LimitExceeded::MessageSize { limit: 16 << 20 };
        for length in [(16 << 20) + 1, 1 << 40, i64::MAX as u64] {
            let announced = RawFrame::binary(*b"").length(Length::Bits64(length));
            expect_refusal(Connector::new(), &[announced], 1009, limit).await;
        }
    });
}

#[test]
fn a_message_at_the_limit_is_received() {
    run(async {
        let (mut ws, mut server) = open_with(at_most(1000)).await;
        server.send(RawFrame::binary([1; 1000])).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::binary(vec![1; 1000])));
        let fragments =
            [RawFrame::text([b'a'; 500]).not_final(), RawFrame::continuation([b'a'; 500]).not_final()];
        server.send_together(&fragments).await;
        server.send(RawFrame::continuation("")).await;
        assert_eq!(soon(ws.recv()).await, Some(Message::text("a".repeat(1000))));
    });
}

#[test]
fn limits_of_messages_do_not_apply_to_control_frames() {
    run(async {
        let (mut ws, mut server) = open_with(at_most(10)).await;
        let end = async {
            server.send(RawFrame::ping("longer than ten bytes")).await;
            server.expect_pong(b"longer than ten bytes").await;
            server.send(RawFrame::close(1000, "a reason longer than ten")).await;
            server.expect_close(1000).await;
            drop(server);
        };
        let ((_, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(info.is_clean());
    });
}

#[test]
fn the_number_of_fragments_is_limited_even_if_they_are_empty() {
    run(async {
        let connector = Connector::new().protocol(|config| config.limits.max_fragments = 100);
        let mut frames = vec![RawFrame::text("").not_final()];
        frames.extend((0..200).map(|_| RawFrame::continuation("").not_final()));
        expect_refusal(connector, &frames, 1008, LimitExceeded::Fragments { limit: 100 }).await;
    });
}

#[test]
fn the_number_of_control_frames_in_one_read_is_limited() {
    run(async {
        let connector = Connector::new().protocol(|config| config.limits.max_control_frames_per_read = 100);
        let frames: Vec<RawFrame> = (0..101).map(|_| RawFrame::pong("")).collect();
        expect_refusal(connector, &frames, 1008, LimitExceeded::ControlFrames { limit: 100 }).await;
    });
}

#[test]
fn a_server_that_uploads_far_too_much_still_reads_why_not() {
    run(async {
        let (mut ws, server) = open_with(at_most(1024)).await;
        let (mut reader, mut writer) = server.into_connection().split();
        let header = RawFrame::binary(*b"").length(Length::Bits64(50 << 20));
        let client = tokio::spawn(async move { drain(&mut ws).await.1 });
        writer.send(header).await;
        let upload = async {
            for _ in 0..50 {
                writer.send_bytes(vec![0; 1 << 20]).await;
            }
        };
        let close = async {
            reader.expect_close(1009).await;
            reader.expect_eof().await;
        };
        tokio::join!(upload, close);
        drop((reader, writer));
        assert_eq!(client.await.unwrap().error, Some(LimitExceeded::MessageSize { limit: 1024 }.into()));
    });
}
