//! `recv_event`: control frames and messages in the order in which they arrived.

use std::{future::poll_fn, pin::Pin, time::Duration};

use futures_core::Stream;
use tokio::{sync::oneshot, time::timeout};
use ws_proto::{CloseCode, CloseFrame, Message, Role};
use ws_tokio::{Event, WebSocket};

use crate::support::{Frame, Peer, ROLES, TestTransport, cancelled_after, config, open, open_with, serve};

const SECOND: Duration = Duration::from_secs(1);

fn conversation() -> Vec<Frame> {
    let [first, last] = Frame::text("fragmented").in_two(4);
    vec![
        Frame::ping("1"),
        Frame::text("a"),
        Frame::pong(""),
        first,
        Frame::ping("2"),
        last,
        Frame::binary(vec![7; 5000]),
        Frame::ping(vec![3; 125]),
        Frame::close(1000, "bye"),
    ]
}

fn expected() -> Vec<Event> {
    vec![
        Event::Ping("1".into()),
        Event::Message(Message::text("a")),
        Event::Pong("".into()),
        Event::Ping("2".into()),
        Event::Message(Message::text("fragmented")),
        Event::Message(Message::binary(vec![7; 5000])),
        Event::Ping(vec![3; 125].into()),
        Event::Close(CloseFrame::new(CloseCode::NORMAL, "bye")),
    ]
}

async fn all_events(ws: &mut WebSocket<TestTransport>) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(event) = ws.recv_event().await {
        events.push(event);
    }
    assert_eq!(ws.recv_event().await, None, "the end is permanent");
    events
}

/// A connection whose application has asked for events.
async fn open_for_events(role: Role) -> (WebSocket<TestTransport>, Peer) {
    let (mut ws, peer) = open(role);
    assert_eq!(cancelled_after(1, ws.recv_event()).await, None);
    (ws, peer)
}

/// Sends until everything that has arrived is read.
async fn only_sends(ws: &mut WebSocket<TestTransport>) {
    for _ in 0..3 {
        ws.send("sent").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn events_come_in_the_order_of_their_frames() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all(conversation());
        peer.end();
        assert_eq!(all_events(&mut ws).await, expected());
        let answers =
            [Frame::pong("1"), Frame::pong("2"), Frame::pong(vec![3; 125]), Frame::close(1000, "bye")];
        assert_eq!(peer.received(), answers);
        assert!(ws.close_info().unwrap().is_clean());
    }
}

#[tokio::test(start_paused = true)]
async fn the_close_comes_and_is_answered_before_the_transport_ends() {
    for role in ROLES {
        for (frame, event) in [
            (Frame::close(4000, "bye"), CloseFrame::new(CloseCode::new(4000).unwrap(), "bye")),
            (Frame::new(crate::support::opcode::CLOSE, ""), CloseFrame::default()),
        ] {
            let (mut ws, peer) = open(role);
            peer.send(frame.clone());
            assert_eq!(ws.recv_event().await, Some(Event::Close(event)));
            assert_eq!(peer.received(), [frame], "the answer");
            assert!(timeout(SECOND, ws.recv_event()).await.is_err(), "the transport is not over yet");
            peer.end();
            assert_eq!(ws.recv_event().await, None);
            assert!(ws.close_info().unwrap().is_clean());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_fails_has_no_close_event() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::ping("1"), Frame::close(1005, "")]);
        peer.end();
        assert_eq!(all_events(&mut ws).await, [Event::Ping("1".into())]);
        let (mut ws, peer) = open(role);
        peer.end();
        assert_eq!(all_events(&mut ws).await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn events_that_arrive_during_sends_are_held_in_order() {
    for role in ROLES {
        let (mut ws, peer) = open_for_events(role).await;
        peer.send_all(conversation());
        only_sends(&mut ws).await;
        assert_eq!(peer.unread(), 0, "the sends have read");
        peer.end();
        assert_eq!(all_events(&mut ws).await, expected());
    }
}

#[tokio::test(start_paused = true)]
async fn control_frames_before_the_first_recv_event_are_not_held() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send_all([Frame::ping("1"), Frame::pong("2")]);
        only_sends(&mut ws).await;
        assert_eq!(peer.unread(), 0, "the sends have read");
        assert_eq!(ws.into_parts().unwrap().connection.held_bytes(), 0);

        let (mut ws, peer) = open(role);
        peer.send_all(conversation());
        only_sends(&mut ws).await;
        peer.end();
        let mut expected = expected();
        expected.retain(|event| !matches!(event, Event::Ping(_) | Event::Pong(_)));
        assert_eq!(all_events(&mut ws).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn without_automatic_pongs_control_frames_are_held_from_the_start() {
    for role in ROLES {
        let mut config = config();
        config.auto_pong = false;
        let (mut ws, peer) = open_with(role, config);
        peer.send_all(conversation());
        only_sends(&mut ws).await;
        assert_eq!(peer.unread(), 0, "the sends have read");
        peer.end();
        assert_eq!(all_events(&mut ws).await, expected());
    }
}

#[tokio::test(start_paused = true)]
async fn held_control_frames_are_bounded_and_none_is_lost() {
    const PINGS: usize = 2000;
    for role in ROLES {
        let mut config = config();
        config.limits.max_held_bytes = 1000;
        config.limits.max_control_frames_per_second = u32::MAX;
        let (mut ws, peer) = open_with(role, config);
        peer.read_slowly(100);
        assert_eq!(cancelled_after(1, ws.recv_event()).await, None);
        peer.send_all((0..PINGS).map(|number| Frame::ping(number.to_string())));
        let unread = peer.unread();
        for _ in 0..100 {
            only_sends(&mut ws).await;
        }
        assert!(unread - peer.unread() < 4000 && peer.unread() > 0, "{} bytes unread", peer.unread());
        for number in 0..PINGS {
            assert_eq!(ws.recv_event().await, Some(Event::Ping(number.to_string().into())));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn recv_skips_control_frames_that_are_held() {
    for role in ROLES {
        let (mut ws, peer) = open_for_events(role).await;
        peer.send_all(conversation());
        only_sends(&mut ws).await;
        peer.end();
        let mut messages = Vec::new();
        while let Some(message) = ws.recv().await {
            messages.push(Event::Message(message));
        }
        let mut expected = expected();
        expected.retain(|event| matches!(event, Event::Message(_)));
        assert_eq!(messages, expected);
        let close = Event::Close(CloseFrame::new(CloseCode::NORMAL, "bye"));
        assert_eq!(ws.recv_event().await, Some(close), "it was not received yet");
        assert_eq!(ws.recv_event().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn the_close_of_a_connection_that_ended_during_sends_is_still_reported() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.send(Frame::close(4001, ""));
        peer.end();
        while ws.send("sent").await.is_ok() {}
        tokio::time::sleep(60 * SECOND).await;
        let close = Event::Close(CloseFrame::new(CloseCode::new(4001).unwrap(), ""));
        assert_eq!(all_events(&mut ws).await, [close]);
    }
}

#[tokio::test(start_paused = true)]
async fn after_our_close_events_come_until_the_peers_close() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        ws.sender().close(CloseCode::NORMAL, "");
        peer.send_all(conversation());
        peer.end();
        assert_eq!(all_events(&mut ws).await, expected());
        assert_eq!(peer.received(), [Frame::close(1000, "")], "no pong follows our Close");

        let (mut ws, peer) = open(role);
        peer.answer_close();
        peer.send(Frame::ping("1"));
        assert!(ws.close(CloseCode::NORMAL, "").await.is_clean());
        let close = Event::Close(CloseFrame::new(CloseCode::NORMAL, ""));
        assert_eq!(all_events(&mut ws).await, [close], "`close` drops what comes before");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_recv_event_loses_nothing() {
    for role in ROLES {
        for polls in 0..200 {
            let (mut ws, peer) = open_for_events(role).await;
            peer.move_single_bytes();
            peer.send_all(conversation().into_iter().filter(|frame| frame.payload.len() < 5000));
            peer.end();
            let mut events = Vec::new();
            for _ in 0..2 {
                events.extend(cancelled_after(polls, ws.recv_event()).await.flatten());
            }
            events.extend(all_events(&mut ws).await);
            let mut expected = expected();
            expected.retain(|event| !matches!(event, Event::Message(message) if message.len() == 5000));
            assert_eq!(events, expected, "{role:?}, {polls} polls");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_events_yields_what_recv_event_receives() {
    let (mut ws, peer) = open(Role::Client);
    peer.send_all(conversation());
    peer.end();
    let (mut events, mut stream) = (Vec::new(), ws.events());
    while let Some(event) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
        events.push(event);
    }
    assert_eq!(events, expected());
}

#[tokio::test(start_paused = true)]
async fn a_servers_function_receives_events_also_after_it_did_not_receive_for_a_while() {
    for pauses in [false, true] {
        let (done, result) = oneshot::channel();
        let (go_on, wait) = oneshot::channel::<()>();
        let (task, peer) = serve(config(), |mut ws| async move {
            let mut events: Vec<Event> = ws.recv_event().await.into_iter().collect();
            if pauses {
                wait.await.unwrap();
            }
            events.extend(all_events(&mut ws).await);
            done.send(events).unwrap();
        });
        let task = tokio::spawn(task);
        for frame in conversation() {
            peer.send(frame);
            tokio::time::sleep(SECOND / 10).await;
        }
        assert_eq!(peer.unread(), 0, "read by the server's task");
        if pauses {
            let pongs = [Frame::pong("1"), Frame::pong("2"), Frame::pong(vec![3; 125])];
            assert_eq!(peer.received(), pongs, "answered meanwhile");
            go_on.send(()).unwrap();
        }
        tokio::time::sleep(SECOND).await;
        peer.end();
        assert_eq!(result.await.unwrap(), expected(), "pauses: {pauses}");
        assert!(task.await.unwrap().is_clean());
    }
}

#[test]
fn the_debug_output_of_events_has_no_payloads() {
    for event in expected() {
        let debug = format!("{event:?}");
        assert!(!debug.contains("fragmented") && !debug.contains("[7,") && debug.len() < 80, "{debug}");
    }
    assert_eq!(format!("{:?}", Event::Ping("secret".into())), "Ping(6 bytes)");
}
