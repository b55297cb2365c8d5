//! `abort` ends a connection at once, without a Close frame.

use std::{pin::pin, time::Duration};

use futures_core::Stream;
use tokio::time::timeout;
use ws_proto::{CloseCode, CloseInfo, Message, close::Initiator, error::SendError};
use ws_tokio::{Sender, WebSocket};

use crate::support::{Frame, Peer, ROLES, Task, TestTransport, config, opcode, open, serve};

const SECOND: Duration = Duration::from_secs(1);

/// The two ways on a `WebSocket`.
const WAYS: [fn(&mut WebSocket<TestTransport>); 2] = [|ws| ws.sender().abort(), |ws| ws.abort()];

fn expect_abort(info: &CloseInfo, peer: &Peer, closes: usize) {
    assert_eq!((info.code(), info.initiator, info.error), (1006, Initiator::Local, None));
    assert!(!info.is_clean() && peer.is_disconnected());
    let frames = peer.received();
    assert_eq!(frames.iter().filter(|frame| frame.opcode == opcode::CLOSE).count(), closes, "{frames:?}");
}

#[tokio::test(start_paused = true)]
async fn the_transport_is_dropped_at_once_and_the_owner_is_woken() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let (sender, task) = (ws.sender(), Task::new());
        peer.take_only(3);
        sender.try_send("cut off").unwrap();
        assert!(ws.poll_recv(&mut task.cx()).is_pending());
        let _ = task.was_woken();
        sender.abort();
        assert!(peer.is_disconnected() && task.was_woken());
        assert_eq!(sender.try_send("late"), Err(SendError::Closed(Message::text("late"))));
        assert_eq!(timeout(SECOND, ws.recv()).await, Ok(None));
        expect_abort(&ws.close_info().unwrap(), &peer, 0);
        sender.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_were_not_taken_are_dropped_and_the_stream_has_no_error() {
    for role in ROLES {
        for abort in WAYS {
            let (mut ws, peer) = open(role);
            peer.send_all(["1", "2", "3"].map(Frame::text));
            assert_eq!(ws.recv().await, Some(Message::text("1")));
            abort(&mut ws);
            expect_abort(&ws.close_info().unwrap(), &peer, 0);
            assert!(ws.send("late").await.is_err());
            let next = std::future::poll_fn(|cx| std::pin::Pin::new(&mut ws).poll_next(cx)).await;
            assert_eq!(next, None);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_closing_ends_at_once_too() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        let sender = ws.sender();
        let mut close = Box::pin(ws.close(CloseCode::NORMAL, ""));
        assert!(Task::new().poll(&mut close).is_pending());
        sender.abort();
        expect_abort(&timeout(SECOND, close).await.unwrap(), &peer, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_get_their_messages_back() {
    let mut one_message = config();
    one_message.write_queue_messages = 1;
    for role in ROLES {
        for abort in WAYS {
            let (mut ws, peer) = crate::support::open_with(role, one_message.clone());
            peer.take_only(0);
            let (sender, task) = (ws.sender(), Task::new());
            sender.try_send("first").unwrap();
            let mut waiting = pin!(sender.send("second"));
            assert!(task.poll(&mut waiting).is_pending());
            abort(&mut ws);
            assert!(task.was_woken());
            let result = timeout(SECOND, waiting).await.unwrap();
            assert_eq!(result, Err(SendError::Closed(Message::text("second"))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_served_connection_is_aborted_by_its_application_or_by_another_task() {
    for by_application in [true, false] {
        let (give, mut take) = tokio::sync::mpsc::unbounded_channel::<Sender>();
        let (server, peer) = serve(config(), async move |mut ws| {
            ws.feed("cut off").await.unwrap();
            if by_application {
                ws.abort();
            } else {
                give.send(ws.sender()).unwrap();
            }
            assert_eq!(ws.recv().await, None);
        });
        peer.take_only(0);
        let server = tokio::spawn(server);
        if !by_application {
            take.recv().await.unwrap().abort();
        }
        expect_abort(&timeout(SECOND, server).await.unwrap().unwrap(), &peer, 0);
    }
}
