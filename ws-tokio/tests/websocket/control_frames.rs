//! The library handles control frames, whether the user only reads or only writes.

use std::time::Duration;

use tokio::time::timeout;
use ws_proto::{CloseCode, Message, error::ControlError};
use ws_tokio::Event;

use crate::support::{Frame, ROLES, config, open, open_with};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_at_once_while_the_user_only_reads() {
    for role in ROLES {
        for needs_flush in [false, true] {
            let (mut ws, peer) = open(role);
            if needs_flush {
                peer.require_flush();
            }
            peer.send(Frame::ping("hi"));
            assert!(timeout(SECOND, ws.recv()).await.is_err());
            assert_eq!(peer.received(), [Frame::pong("hi")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_came_with_a_message_is_answered_before_the_message_is_handled() {
    for role in ROLES {
        for frames in [[Frame::ping("hi"), Frame::text("m")], [Frame::text("m"), Frame::ping("hi")]] {
            let (mut ws, peer) = open(role);
            peer.send_all(frames);
            assert_eq!(ws.recv().await, Some(Message::text("m")));
            assert_eq!(peer.received(), [Frame::pong("hi")], "before the application handles the message");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_close_is_flushed_while_the_user_only_reads() {
    for role in ROLES {
        for needs_flush in [false, true] {
            let (mut ws, peer) = open(role);
            if needs_flush {
                peer.require_flush();
            }
            peer.send(Frame::close(1000, ""));
            assert!(timeout(SECOND, ws.recv()).await.is_err(), "the transport is not over yet");
            assert_eq!(peer.received(), [Frame::close(1000, "")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_transport_did_not_take_is_sent_later_while_the_user_only_reads() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.take_only(3);
        peer.send(Frame::ping("answer me"));
        let reading = tokio::spawn(async move { ws.recv().await });
        tokio::time::sleep(SECOND).await;
        assert!(peer.received().is_empty() && !peer.is_between_frames());
        peer.take_everything();
        tokio::time::sleep(SECOND).await;
        assert_eq!(peer.received(), [Frame::pong("answer me")]);
        peer.take_only(1);
        peer.send(Frame::close(1000, ""));
        peer.end();
        tokio::time::sleep(SECOND).await;
        assert!(!reading.is_finished());
        peer.take_everything();
        assert_eq!(reading.await.unwrap(), None);
        assert_eq!(peer.received(), [Frame::close(1000, "")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_and_a_close_in_one_segment_are_both_answered() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::ping("1"), Frame::close(1000, "")]);
        peer.end();
        assert_eq!(ws.recv().await, None);
        assert_eq!(peer.received(), [Frame::pong("1"), Frame::close(1000, "")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_from_a_peer_that_reads_nothing_is_answered_once() {
    for role in ROLES {
        let mut config = config();
        config.limits.max_control_frames_per_second = u32::MAX;
        let (mut ws, peer) = open_with(role, config);
        peer.take_only(0);
        let reading = tokio::spawn(async move { while ws.recv().await.is_some() {} });
        for round in 0..100 {
            peer.send_all((0..1000).map(|number| Frame::ping(format!("{round}.{number}"))));
            tokio::task::yield_now().await;
        }
        peer.take_everything();
        tokio::time::sleep(SECOND).await;
        assert_eq!(peer.unread(), 0, "the flood was read");
        let pongs = peer.received();
        // The answers of one read were encoded before the transport blocked; behind them only the latest pong waits.
        assert!(pongs.len() <= 2049, "{} pongs", pongs.len());
        assert_eq!(pongs.last(), Some(&Frame::pong("99.999")));
        reading.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn pings_of_the_user_are_sent_at_once_and_pongs_are_not_messages() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.ping(b"are you there?").await.unwrap();
        assert_eq!(peer.received(), [Frame::ping("are you there?")]);
        ws.sender().ping(b"and now?").unwrap();
        assert_eq!(peer.received(), [Frame::ping("and now?")]);
        peer.send_all([Frame::pong("are you there?"), Frame::text("m")]);
        assert_eq!(ws.recv().await, Some(Message::text("m")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_out_behind_what_was_sent_before() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.answer_close();
        peer.take_only(7);
        let closing = tokio::spawn(async move {
            ws.feed("a".repeat(1000)).await.unwrap();
            ws.feed("b".repeat(1000)).await.unwrap();
            ws.close(CloseCode::NORMAL, "").await
        });
        tokio::time::sleep(SECOND).await;
        peer.take_everything();
        assert!(closing.await.unwrap().is_clean());
        let expected = [Frame::text("a".repeat(1000)), Frame::text("b".repeat(1000)), Frame::close(1000, "")];
        assert_eq!(peer.received(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_of_the_application_is_sent_as_it_is() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.pong(b"one").await.unwrap();
        ws.sender().pong(b"two").unwrap();
        ws.pong(&[3; 125]).await.unwrap();
        assert_eq!(peer.received(), [Frame::pong("one"), Frame::pong("two"), Frame::pong([3; 125])]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_over_125_bytes_or_after_a_close_is_refused() {
    for role in ROLES {
        let (mut ws, _peer) = open(role);
        let sender = ws.sender();
        assert_eq!(ws.pong(&[0; 126]).await, Err(ControlError::TooLong { len: 126 }));
        assert_eq!(sender.pong(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
        sender.close(CloseCode::NORMAL, "");
        assert_eq!(ws.pong(b"").await, Err(ControlError::Closed));
        assert_eq!(sender.pong(b""), Err(ControlError::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn without_auto_pong_only_the_application_answers_pings() {
    for role in ROLES {
        let mut config = config();
        config.auto_pong = false;
        let (mut ws, peer) = open_with(role, config);
        peer.send_all([Frame::ping("a"), Frame::ping("b")]);
        assert!(matches!(ws.recv_event().await, Some(Event::Ping(payload)) if payload == "a"));
        assert!(peer.received().is_empty());
        ws.pong(b"own").await.unwrap();
        assert!(matches!(ws.recv_event().await, Some(Event::Ping(payload)) if payload == "b"));
        ws.sender().pong(b"own too").unwrap();
        assert_eq!(peer.received(), [Frame::pong("own"), Frame::pong("own too")]);
    }
}
