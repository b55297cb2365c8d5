//! The raw client against the raw server: both directions, each way to end, and each check that has to fail.

use super::*;
use crate::harness;

/// A client and a server that have upgraded.
async fn pair() -> (RawClient, RawServer) {
    let acceptor = RawAcceptor::bind();
    tokio::join!(RawClient::open(acceptor.addr(), "/"), acceptor.accept_upgraded())
}

/// What the client receives when the server sends these frames.
async fn received_by_client(frames: &[RawFrame]) -> Result<ReceivedFrame, RecvError> {
    let (mut client, mut server) = pair().await;
    server.send_together(frames).await;
    for _ in 1..frames.len() {
        client.recv_frame().await;
    }
    client.try_recv_frame().await
}

async fn rule_that_client_sees_broken(frames: &[RawFrame]) -> String {
    match received_by_client(frames).await {
        Err(RecvError::Illegal(rule)) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn messages_go_both_ways() {
    harness::run(async {
        let (mut client, mut server) = pair().await;
        client.send(RawFrame::text("Grüße")).await;
        server.expect_text("Grüße").await;
        server.send(RawFrame::binary([0, 255])).await;
        client.expect_binary(&[0, 255]).await;
        client.send(RawFrame::ping("a")).await;
        server.expect_ping(b"a").await;
        server.send(RawFrame::pong("a")).await;
        client.expect_pong(b"a").await;
        client.send(RawFrame::close(1000, "bye")).await;
        assert_eq!(server.expect_close(1000).await, "bye");
        server.send(RawFrame::new(opcode::CLOSE, *b"")).await;
        client.expect_empty_close().await;
        drop(server);
        client.expect_eof().await;
    });
}

#[test]
fn the_handshake_shows_both_heads() {
    harness::run(async {
        let acceptor = RawAcceptor::bind();
        let mut client = RawClient::connect(acceptor.addr()).await;
        let mut server = acceptor.accept().await;
        let (response, request) =
            tokio::join!(client.upgrade("/chat"), server.upgrade_with(&["Sec-WebSocket-Protocol: a"]));
        assert_eq!(request.target(), "/chat");
        assert_eq!(request.header("host"), Some(acceptor.addr().to_string().as_str()));
        assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("a"));
        assert_eq!(acceptor.url("/x"), format!("ws://{}/x", acceptor.addr()));
    });
}

#[test]
fn a_refusal_has_a_body() {
    harness::run(async {
        let acceptor = RawAcceptor::bind();
        let mut client = RawClient::connect(acceptor.addr()).await;
        let request = client.request("/").without("Host").to_bytes();
        client.send_in_pieces(request, 1).await;
        let mut server = acceptor.accept().await;
        let request = server.answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nnono more").await;
        assert_eq!(request.header("Host"), None);
        drop(server);
        let head = client.recv_head().await;
        assert_eq!(head.status(), 400);
        assert_eq!(client.recv_body(&head).await, b"no");
        assert_eq!(client.reader.recv_to_eof().await, b"no more");
    });
}

#[test]
fn frames_behind_a_head_are_kept_in_both_directions() {
    harness::run(async {
        let acceptor = RawAcceptor::bind();
        let mut client = RawClient::connect(acceptor.addr()).await;
        let mut request = client.request("/").to_bytes();
        request.extend(client.writer.encode(&RawFrame::text("early")));
        client.send_bytes(request).await;
        let mut server = acceptor.accept().await;
        let mut response = switching_protocols(SAMPLE_KEY, &[]);
        response.extend(server.writer.encode(&RawFrame::text("hello")));
        server.answer(response).await;
        server.expect_text("early").await;
        client.recv_head().await.assert_switching_protocols(SAMPLE_KEY);
        client.expect_text("hello").await;
    });
}

#[test]
fn a_frame_may_arrive_byte_by_byte() {
    harness::run(async {
        let (mut client, mut server) = pair().await;
        let frame = RawFrame::binary((0..=255).collect::<Vec<u8>>());
        let bytes = client.writer.encode(&frame);
        client.send_in_pieces(bytes, 1).await;
        assert!(server.recv_frame().await == frame);
    });
}

#[test]
fn a_large_message_passes_while_both_ends_work() {
    harness::run(async {
        let (mut client, server) = pair().await;
        let (mut reader, mut writer) = server.into_connection().split();
        let frame = RawFrame::binary(vec![7; 4 << 20]);
        let received = tokio::join!(client.send(frame.clone()), reader.recv_frame()).1;
        assert!(received == frame);
        let (sent, received) =
            tokio::join!(writer.try_send_bytes(frame.encode(Side::Server)), client.recv_frame());
        sent.unwrap();
        assert!(received == frame);
    });
}

#[test]
fn after_a_half_close_the_other_direction_continues() {
    harness::run(async {
        let (mut client, mut server) = pair().await;
        client.half_close().await;
        server.expect_eof().await;
        server.send_together(&[RawFrame::text("still"), RawFrame::text("here")]).await;
        drop(server);
        let texts = client.recv_frames_to_eof().await;
        assert!(texts[0] == RawFrame::text("still") && texts[1] == RawFrame::text("here"));
    });
}

#[test]
fn a_reset_differs_from_the_end_of_the_stream() {
    harness::run(async {
        let (mut client, server) = pair().await;
        server.into_connection().reset();
        assert_eq!(client.expect_end().await, RecvError::Reset);
        let (mut client, server) = pair().await;
        drop(server);
        assert_eq!(client.expect_end().await, RecvError::Eof);
    });
}

#[test]
fn an_end_inside_a_frame_is_reported_as_truncated() {
    harness::run(async {
        let (mut client, mut server) = pair().await;
        server.send_bytes(b"\x81\x05Hel").await;
        drop(server);
        assert_eq!(client.try_recv_frame().await, Err(RecvError::Truncated(5)));
    });
}

#[test]
fn illegal_frames_arrive_as_they_were_made() {
    harness::run(async {
        let masked = RawFrame::text("a").mask(Mask::Key([1; 4]));
        assert!(rule_that_client_sees_broken(&[masked]).await.contains("a server has masked"));
        assert!(rule_that_client_sees_broken(&[RawFrame::new(3, *b"")]).await.contains("reserved"));
        let (mut client, mut server) = pair().await;
        client.send(RawFrame::text("a").mask(Mask::Absent)).await;
        let Err(RecvError::Illegal(rule)) = server.try_recv_frame().await else { panic!("it was accepted") };
        assert!(rule.contains("a client has not masked"), "{rule}");
    });
}

#[test]
fn the_order_of_fragments_is_checked() {
    harness::run(async {
        let first = || RawFrame::text("a").not_final();
        let nested = rule_that_client_sees_broken(&[first(), RawFrame::text("b")]).await;
        assert_eq!(nested, "a new message inside a fragmented one");
        let lone = rule_that_client_sees_broken(&[RawFrame::continuation("b")]).await;
        assert_eq!(lone, "a continuation without a message");
        let legal = [first(), RawFrame::ping(""), RawFrame::continuation("b"), RawFrame::text("c")];
        assert!(received_by_client(&legal).await.is_ok());
    });
}

#[test]
fn nothing_may_follow_a_close() {
    harness::run(async {
        let close = || RawFrame::close(1000, "");
        for second in [close(), RawFrame::text("late")] {
            assert_eq!(rule_that_client_sees_broken(&[close(), second]).await, "a frame after the Close");
        }
    });
}

#[test]
fn compression_is_legal_once_it_is_allowed() {
    harness::run(async {
        let (mut client, mut server) = pair().await;
        client.reader.allow_compression();
        server
            .send_together(&[RawFrame::text("a").rsv(1).not_final(), RawFrame::continuation("b").rsv(1)])
            .await;
        assert!(client.recv_frame().await.rsv1);
        assert_eq!(client.try_recv_frame().await, Err(RecvError::Illegal("RSV1 on a continuation".into())));
    });
}

#[test]
fn over_ipv6_a_client_that_does_not_read_blocks_the_sender() {
    harness::run(async {
        let acceptor = RawAcceptor::bind_to("[::1]:0".parse().unwrap(), Some(4096));
        let mut client = RawClient::connect_with_receive_buffer(acceptor.addr(), 4096).await;
        let mut server = acceptor.accept().await;
        let (upgraded, _) = tokio::join!(client.upgrade("/"), server.upgrade());
        assert_eq!(upgraded.status(), 101);
        let bytes = vec![0; 16 << 20];
        let blocked = tokio::select! {
            biased;
            sent = server.writer.try_send_bytes(bytes) => { sent.unwrap(); false }
            // It is readable once the kernel has received the first bytes. The test reads no more than that.
            first = client.reader.recv_bytes(1) => first == [0],
        };
        assert!(blocked, "16 MiB do not fit in the kernel's buffers");
    });
}
