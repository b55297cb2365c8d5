//! Sends wait for a peer that does not read, and memory stays bounded.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use futures_sink::Sink;
use tokio::time::timeout;
use ws_proto::{Config, Message, Role, error::SendError};
use ws_tokio::Error;

use crate::support::{Frame, ROLES, Task, config, opcode, open, open_with, text};

const SECOND: Duration = Duration::from_secs(1);

fn small_queue(messages: usize, bytes: usize) -> Config {
    let mut config = config();
    (config.write_queue_messages, config.write_queue_bytes) = (messages, bytes);
    config
}

#[tokio::test(start_paused = true)]
async fn feed_does_not_flush_and_flush_does() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        for number in 0..100 {
            ws.feed(text(number, 20)).await.unwrap();
        }
        assert_eq!((peer.received(), peer.counts().writes), (vec![], 0));
        ws.flush().await;
        let expected: Vec<Frame> = (0..100).map(|number| Frame::text(text(number, 20))).collect();
        assert_eq!(peer.received(), expected);
        assert_eq!(peer.counts().writes, 1, "all of them in one write");
        ws.flush().await;
        assert_eq!(peer.counts().writes, 1, "nothing was left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_message_goes_out_in_one_vectored_write_or_in_masked_pieces() {
    // A client masks 64 KiB at a time.
    for (role, writes) in [(Role::Server, 1), (Role::Client, 9)] {
        let (mut ws, peer) = open(role);
        ws.feed("small").await.unwrap();
        ws.feed(vec![7; 1 << 19]).await.unwrap();
        ws.feed("behind").await.unwrap();
        ws.flush().await;
        assert_eq!(peer.counts().writes, writes);
        let expected = [Frame::text("small"), Frame::binary(vec![7; 1 << 19]), Frame::text("behind")];
        assert_eq!(peer.received(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_returns_once_the_transport_has_taken_the_message() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.take_only(10);
        assert!(timeout(SECOND, ws.send("a".repeat(100))).await.is_err(), "ninety bytes wait");
        peer.take_everything();
        timeout(SECOND, ws.send("b")).await.unwrap().unwrap();
        assert_eq!(peer.received(), [Frame::text("a".repeat(100)), Frame::text("b")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_also_flushes_a_transport_with_its_own_buffer() {
    for role in ROLES {
        let (mut ws, peer) = open(role);
        peer.require_flush();
        ws.send("a").await.unwrap();
        assert_eq!(peer.received(), [Frame::text("a")]);
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_room_once_a_transport_with_its_own_buffer_is_flushed() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(1, 1 << 20));
        peer.move_single_bytes();
        peer.require_flush();
        let sender = ws.sender();
        for _ in 0..5 {
            timeout(SECOND, ws.feed("owner")).await.expect("the owner sends").unwrap();
            timeout(SECOND, sender.send("sender")).await.expect("the sender sends").unwrap();
        }
        assert_eq!(peer.received().len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_at_the_limit_of_bytes() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(1000, 10_000));
        peer.take_only(0);
        let mut accepted = 0;
        while timeout(SECOND, ws.feed(text(accepted, 1000))).await.is_ok() {
            accepted += 1;
        }
        assert!((8..=10).contains(&accepted), "{accepted} messages of 1000 bytes");
        assert!(matches!(ws.sender().try_send(text(0, 1000)), Err(SendError::Full(_))));
        peer.take_everything();
        ws.flush().await;
        assert_eq!(peer.received().len(), accepted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_at_the_limit_of_messages() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(7, 1 << 20));
        peer.take_only(0);
        for _ in 0..7 {
            ws.feed("").await.unwrap();
        }
        assert!(timeout(SECOND, ws.feed("")).await.is_err());
        let refused = ws.sender().try_send("kept");
        assert_eq!(refused, Err(SendError::Full(Message::text("kept"))), "the message comes back");
        peer.take_everything();
        ws.feed("last").await.unwrap();
        ws.flush().await;
        assert_eq!(peer.received().len(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_queue_goes_out_alone() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(10, 1000));
        peer.take_only(0);
        ws.feed("first").await.unwrap();
        assert!(timeout(SECOND, ws.feed(text(1, 50_000))).await.is_err());
        peer.take_everything();
        timeout(SECOND, ws.send(text(1, 50_000))).await.unwrap().unwrap();
        assert_eq!(peer.received(), [Frame::text("first"), Frame::text(text(1, 50_000))]);
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_not_taken_are_held_up_to_the_limit_and_then_not_read() {
    for role in ROLES {
        let mut config = config();
        config.limits.max_held_bytes = 10_000;
        let (mut ws, peer) = open_with(role, config);
        peer.take_only(0);
        // A send that waits also reads, so that pings are answered.
        let sending = tokio::spawn(async move {
            ws.send("waits").await.unwrap();
            ws
        });
        for number in 0..1000 {
            peer.send(Frame::text(text(number, 1000)));
            tokio::task::yield_now().await;
        }
        let read = peer.counts().bytes_read;
        assert!((10_000..13_000).contains(&read), "{read} bytes were read");
        peer.take_everything();
        let mut ws = sending.await.unwrap();
        for number in 0..1000 {
            assert_eq!(ws.recv().await, Some(Message::text(text(number, 1000))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_ends_that_both_send_before_they_receive_do_not_wait_for_each_other() {
    const LEN: usize = 40_000;
    let (client, server) = tokio::io::duplex(1000);
    let mut client = ws_tokio::WebSocket::new(client, crate::support::connection(ROLES[0], config()));
    let mut server = ws_tokio::WebSocket::new(server, crate::support::connection(ROLES[1], config()));
    let first = async {
        client.send(text(1, LEN)).await.unwrap();
        client.recv().await
    };
    let second = async {
        server.send(text(2, LEN)).await.unwrap();
        server.recv().await
    };
    let (first, second) = timeout(SECOND, async { tokio::join!(first, second) }).await.expect("no deadlock");
    assert_eq!((first, second), (Some(Message::text(text(2, LEN))), Some(Message::text(text(1, LEN)))));
}

#[tokio::test(start_paused = true)]
async fn the_sink_takes_every_message_that_it_is_ready_for() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(100, 1000));
        peer.take_only(0);
        let task = Task::new();
        let mut taken = 0;
        while Pin::new(&mut ws).poll_ready(&mut task.cx()).is_ready() {
            Pin::new(&mut ws).start_send(text(taken, 400).into()).expect("it was ready");
            taken += 1;
        }
        assert!((2..=4).contains(&taken), "{taken} messages of 400 bytes");
        assert!(Pin::new(&mut ws).poll_flush(&mut task.cx()).is_pending());
        // Other sends do not overtake the messages that the sink has accepted.
        assert!(timeout(SECOND, ws.feed("behind")).await.is_err());
        peer.take_everything();
        ws.feed("behind").await.unwrap();
        poll_fn(|cx| Pin::new(&mut ws).poll_flush(cx)).await.unwrap();
        let expected = (0..taken).map(|number| Frame::text(text(number, 400)));
        assert_eq!(peer.received(), expected.chain([Frame::text("behind")]).collect::<Vec<_>>());
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_out_behind_the_messages_that_the_sink_accepted() {
    for role in ROLES {
        let (mut ws, peer) = open_with(role, small_queue(1, 1000));
        peer.answer_close();
        Pin::new(&mut ws).start_send("in the queue".into()).unwrap();
        Pin::new(&mut ws).start_send("left over".into()).unwrap();
        let refused = Pin::new(&mut ws).start_send("too much".into());
        assert_eq!(refused, Err(Error::Full));
        poll_fn(|cx| Pin::new(&mut ws).poll_close(cx)).await.unwrap();
        let frames = peer.received();
        assert_eq!(frames[..2], [Frame::text("in the queue"), Frame::text("left over")]);
        assert_eq!((frames.len(), frames[2].opcode), (3, opcode::CLOSE));
        let closed = poll_fn(|cx| Pin::new(&mut ws).poll_ready(cx)).await;
        assert_eq!(closed, Ok(()));
        assert_eq!(Pin::new(&mut ws).start_send("late".into()), Err(Error::Closed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_received_message_that_is_kept_does_not_pin_a_large_buffer() {
    for role in ROLES {
        let large = Frame::binary(vec![1; 1 << 20]);
        let [first, last] = Frame::binary(vec![2; 20]).in_two(10);
        let small = || Frame::binary(vec![2; 20]);
        let streams =
            [vec![small()], vec![Frame::text("before it"), small()], vec![first, last], vec![large, small()]];
        for frames in streams {
            let (mut ws, peer) = open(role);
            peer.send_all(frames);
            let kept = loop {
                let message = ws.recv().await.expect("the small one comes");
                if message.len() == 20 {
                    break message.into_bytes();
                }
            };
            // The only reference to its allocation, so the capacity is visible.
            let capacity = kept.try_into_mut().expect("it is not shared").capacity();
            assert!(capacity <= 64, "20 bytes pin {capacity}");
        }
    }
}

#[test]
fn a_poll_after_the_end_of_a_send_does_not_send_again() {
    let (mut ws, peer) = open(ROLES[0]);
    let task = Task::new();
    {
        let mut send = Box::pin(ws.send("once"));
        assert_eq!(task.poll(&mut send), Poll::Ready(Ok(())));
    }
    assert_eq!(peer.received(), [Frame::text("once")]);
}
