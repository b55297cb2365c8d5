//! An empty Close frame (RFC 6455 section 5.5.1), which the peer reports as 1005.

use ws_proto::{CloseInfo, Message};

use crate::support::{Frame, Peer, ROLES, Task, config, opcode, open, serve};

fn empty_close() -> Frame {
    Frame::new(opcode::CLOSE, [])
}

fn expect_closed(info: &CloseInfo, peer: &Peer, messages: &[Frame]) {
    assert!(info.is_clean());
    assert_eq!(info.sent.as_ref().map(|frame| frame.code), Some(None));
    assert_eq!(peer.received(), [messages, &[empty_close()]].concat());
}

#[tokio::test(start_paused = true)]
async fn the_owner_closes_behind_its_messages() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.answer_close();
        ws.feed("last").await.unwrap();
        expect_closed(&ws.close_without_code().await, &peer, &[Frame::text("last")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_closes_and_messages_are_received_until_the_peers_close() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        assert!(ws.poll_recv(&mut Task::new().cx()).is_pending());
        let sender = ws.sender();
        sender.try_send("last").unwrap();
        sender.close_without_code();
        assert!(!sender.is_open());
        peer.send_all([Frame::text("still"), empty_close()]);
        peer.end();
        assert_eq!(ws.recv().await, Some(Message::text("still")));
        assert_eq!(ws.recv().await, None);
        let info = ws.close_info().unwrap();
        assert_eq!(info.code(), 1005);
        expect_closed(&info, &peer, &[Frame::text("last")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_connection_closes_so_too() {
    for by_sender in [true, false] {
        let (server, peer) = serve(config(), async move |mut ws| {
            ws.send("last").await.unwrap();
            if by_sender {
                ws.sender().close_without_code();
                assert_eq!(ws.recv().await, None);
            } else {
                ws.close_without_code().await;
            }
        });
        peer.answer_close();
        expect_closed(&server.await, &peer, &[Frame::text("last")]);
    }
}
