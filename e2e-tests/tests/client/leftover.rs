//! Frames in the same segment as the response.

use e2e_tests::raw_peer::{RawAcceptor, RawFrame, Side, switching_protocols};
use ws_client::{ClientStream, Message, WebSocket, connect};

use crate::support::{drain, run, soon};

/// A client whose server sends the `101` and the frames `behind` it in two pieces. `cut` gets the length of the `101`
/// and returns the length of the first piece.
async fn open(
    behind: &[RawFrame],
    cut: impl Fn(usize) -> usize,
) -> (WebSocket<ClientStream>, e2e_tests::raw_peer::RawServer) {
    let acceptor = RawAcceptor::bind();
    let url = acceptor.url("/");
    let server = async {
        let mut server = acceptor.accept().await;
        let request = server.recv_head().await;
        let mut bytes = switching_protocols(request.header("Sec-WebSocket-Key").unwrap(), &[]);
        let head = bytes.len();
        bytes.extend(behind.iter().flat_map(|frame| frame.encode(Side::Server)));
        let (first, rest) = bytes.split_at(cut(head).min(bytes.len()));
        server.send_bytes(first).await;
        tokio::task::yield_now().await;
        server.send_bytes(rest).await;
        server
    };
    let (ws, server) = tokio::join!(connect(&url), server);
    (ws.unwrap(), server)
}

#[test]
fn frames_behind_the_response_are_received_wherever_the_segment_ends() {
    run(async {
        let frames = [RawFrame::text("first"), RawFrame::ping("p"), RawFrame::binary([7; 200])];
        for beyond in 0..30 {
            let (mut ws, mut server) = open(&frames, |head| head - 5 + beyond).await;
            assert_eq!(soon(ws.recv()).await, Some(Message::text("first")));
            assert_eq!(soon(ws.recv()).await, Some(Message::binary(vec![7; 200])));
            server.expect_pong(b"p").await;
        }
    });
}

#[test]
fn a_ping_behind_the_response_is_answered_by_a_client_that_only_reads() {
    run(async {
        let (mut ws, mut server) = open(&[RawFrame::ping("already?")], |_| usize::MAX).await;
        tokio::select! {
            message = ws.recv() => panic!("{message:?}"),
            () = server.expect_pong(b"already?") => {}
        }
    });
}

#[test]
fn a_close_behind_the_response_is_a_connection_that_closed() {
    run(async {
        let (mut ws, mut server) =
            open(&[RawFrame::text("sorry"), RawFrame::close(1013, "try later")], |_| usize::MAX).await;
        let end = async {
            server.expect_close(1013).await;
            drop(server);
        };
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
        assert_eq!(messages, [Message::text("sorry")]);
        assert_eq!((info.code(), info.reason(), info.is_clean()), (1013, "try later", true));
    });
}

#[test]
fn an_illegal_frame_behind_the_response_is_answered() {
    run(async {
        let (mut ws, mut server) = open(&[RawFrame::new(3, *b"")], |_| usize::MAX).await;
        let end = async {
            server.expect_close(1002).await;
            server.expect_eof().await;
            drop(server);
        };
        let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
        assert!(messages.is_empty() && info.error.is_some());
    });
}

#[test]
fn more_than_a_buffer_full_behind_the_response_loses_nothing() {
    run(async {
        let frames: Vec<RawFrame> =
            (0..3000).map(|number| RawFrame::text(format!("message {number:05}"))).collect();
        let (mut ws, server) = open(&frames, |_| usize::MAX).await;
        for number in 0..3000 {
            assert_eq!(soon(ws.recv()).await, Some(Message::text(format!("message {number:05}"))));
        }
        drop(server);
    });
}
