//! Sending from other tasks, with both APIs.

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, Script, ServerRunner, close_normally};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use ws_server::{
    CloseCode, Handler, Message, MessageRef, Rejection, Request, Sender, Server, ServerBuilder,
    error::{ControlError, SendError},
    message::PreparedMessage,
};

/// A handler that only hands out the `Sender` of each connection.
struct Source(UnboundedSender<Sender>);

impl Handler for Source {
    type Context = UnboundedSender<Sender>;

    fn accept(_request: &mut Request, context: &Self::Context) -> Result<Self, Rejection> {
        Ok(Self(context.clone()))
    }

    fn on_open(&mut self, conn: &mut ws_server::Conn<'_>) {
        self.0.send(conn.sender()).expect("the test waits for it");
    }

    fn on_message(&mut self, _conn: &mut ws_server::Conn<'_>, _message: MessageRef<'_>) {}
}

pub(crate) struct SenderServer {
    pub(crate) runner: ServerRunner,
    senders: UnboundedReceiver<Sender>,
}

impl SenderServer {
    async fn start(api: Api, builder: ServerBuilder) -> Self {
        let (sender, senders) = unbounded_channel();
        let runner = match api {
            Api::Handler => ServerRunner::serve_handler::<Source>(builder, sender).await,
            Api::Async => {
                ServerRunner::serve(builder, move |mut ws| {
                    sender.send(ws.sender()).expect("the test waits for it");
                    async move { while ws.recv().await.is_some() {} }
                })
                .await
            }
        };
        Self { runner, senders }
    }

    pub(crate) async fn open(&mut self) -> (e2e_tests::raw_peer::RawClient, Sender) {
        let client = self.runner.open().await;
        (client, self.senders.recv().await.expect("one for each connection"))
    }

    /// A client with the smallest receive window.
    pub(crate) async fn open_slow(&mut self) -> (e2e_tests::raw_peer::RawClient, Sender) {
        let client = self.runner.open_slow().await;
        (client, self.senders.recv().await.expect("one for each connection"))
    }
}

pub(crate) fn sender_test(builder: impl Fn() -> ServerBuilder, test: impl AsyncFn(&mut SenderServer)) {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let mut server = SenderServer::start(api, builder()).await;
            test(&mut server).await;
            server.runner.stop().await;
        }
    });
}

/// Polls a future once.
pub(crate) async fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    let mut future = future;
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

#[test]
fn another_task_reaches_the_peer() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        assert!(sender.is_open());
        let task = tokio::spawn(async move {
            sender.send("from a task").await.unwrap();
            sender.try_send(vec![1, 2, 3]).unwrap();
            sender.ping(b"ping").unwrap();
        });
        task.await.unwrap();
        let mut frames =
            vec![client.recv_frame().await, client.recv_frame().await, client.recv_frame().await];
        frames.retain(|frame| !frame.is_control());
        assert!(frames[..] == [RawFrame::text("from a task"), RawFrame::binary([1, 2, 3])], "{frames:?}");
        close_normally(client).await;
    });
}

#[test]
fn what_one_task_sends_keeps_its_order_among_others() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        for task in 0..4_u8 {
            let sender = sender.clone();
            tokio::spawn(async move {
                for number in 0..50_u8 {
                    sender.send(vec![task, number]).await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
        }
        let mut next = [0; 4];
        for _ in 0..4 * 50 {
            let frame = client.recv_frame().await;
            let expected = &mut next[usize::from(frame.payload[0])];
            assert_eq!(frame.payload[1], *expected);
            *expected += 1;
        }
        close_normally(client).await;
    });
}

const KIB: usize = 1024;

#[test]
fn a_slow_peer_makes_try_send_refuse_and_loses_nothing_that_was_accepted() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(256 * KIB),
        async |server| {
            let (mut client, sender) = server.open().await;
            let mut accepted = 0_u32;
            let refused = loop {
                let mut message = vec![0; 64 * KIB];
                message[..4].copy_from_slice(&accepted.to_be_bytes());
                match sender.try_send(message) {
                    Ok(()) => accepted += 1,
                    Err(error) => break error,
                }
                assert!(accepted < 10_000, "a peer that does not read must be noticed");
                tokio::task::yield_now().await;
            };
            let SendError::Full(message) = refused else { panic!("{refused:?}") };
            assert_eq!(message.as_bytes()[..4], accepted.to_be_bytes(), "it comes back");
            for number in 0..accepted {
                assert_eq!(client.recv_frame().await.payload[..4], number.to_be_bytes());
            }
            close_normally(client).await;
        },
    );
}

#[test]
fn the_limit_in_bytes_holds_while_the_connection_has_had_no_turn() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(256 * KIB),
        async |server| {
            let (mut client, sender) = server.open().await;
            // Without an await in between, no other task runs on this thread.
            let accepted = (0..100).take_while(|_| sender.try_send(vec![0; 64 * KIB]).is_ok()).count();
            assert!(accepted >= 3 && (accepted <= 4 || harness::on_shards()), "{accepted}");
            for _ in 0..accepted {
                client.recv_frame().await;
            }
            // A single message may be larger than the limit if the queue is empty.
            sender.send(vec![1; 1000 * KIB]).await.unwrap();
            client.expect_binary(&[1; 1000 * KIB]).await;
            close_normally(client).await;
        },
    );
}

/// A message of 64 KiB that contains its number.
pub(crate) fn numbered(number: u32) -> Vec<u8> {
    let mut message = vec![0; 64 * KIB];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message
}

/// Sends until a send waits. Returns the number of messages sent, and the waiting send.
pub(crate) async fn fill<'a>(
    server: &mut SenderServer,
    sender: &'a Sender,
) -> (u32, Pin<Box<impl Future<Output = Result<(), SendError<Message>>> + use<'a>>>) {
    let (mut other, _) = server.open().await;
    let mut number = 0;
    loop {
        let mut send = Box::pin(sender.send(numbered(number)));
        // The kernel may still be making room.
        if tokio::time::timeout(Duration::from_millis(100), &mut send).await.is_err() {
            // The connections' thread may have stood still: it has had turns once it has answered another connection.
            for _ in 0..2 {
                other.send(RawFrame::ping("")).await;
                other.expect_pong(b"").await;
            }
            if is_pending(send.as_mut()).await {
                close_normally(other).await;
                return (number, send);
            }
        }
        number += 1;
        assert!(number < 10_000, "a peer that does not read must be noticed");
    }
}

#[test]
fn a_slow_peer_makes_send_wait_until_it_reads() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(256 * KIB),
        async |server| {
            let (mut client, sender) = server.open().await;
            let (accepted, waiting) = fill(server, &sender).await;
            {
                // A send that is dropped while it waits sends nothing.
                let mut dropped = pin!(sender.send(vec![2; 64 * KIB]));
                assert!(is_pending(dropped.as_mut()).await);
            }
            let read = async {
                for number in 0..=accepted {
                    client.expect_binary(&numbered(number)).await;
                }
            };
            let (sent, ()) = tokio::join!(waiting, read);
            sent.unwrap();
            close_normally(client).await;
        },
    );
}

#[test]
fn a_send_that_waits_hears_of_the_end() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(256 * KIB),
        async |server| {
            let (client, sender) = server.open().await;
            let (accepted, waiting) = fill(server, &sender).await;
            client.into_connection().reset();
            let result = tokio::time::timeout(e2e_tests::raw_peer::DEADLINE, waiting).await.unwrap();
            assert_eq!(result, Err(SendError::Closed(Message::binary(numbered(accepted)))));
        },
    );
}

#[test]
fn after_the_end_everything_is_refused() {
    sender_test(Server::builder, async |server| {
        let (client, sender) = server.open().await;
        close_normally(client).await;
        server.runner.wait_for_connections(0).await;
        assert!(!sender.is_open());
        let text = || Message::text("late");
        assert_eq!(sender.try_send(text()), Err(SendError::Closed(text())));
        assert_eq!(sender.send(text()).await, Err(SendError::Closed(text())));
        assert_eq!(sender.ping(b""), Err(ControlError::Closed));
        sender.close(CloseCode::NORMAL, "no effect");
    });
}

#[test]
fn a_sender_may_close_behind_what_it_has_sent() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        sender.send("last words").await.unwrap();
        sender.close(CloseCode::new(4000).unwrap(), "enough");
        assert!(matches!(sender.try_send("late"), Err(SendError::Closed(_))));
        client.expect_text("last words").await;
        assert_eq!(client.expect_close(4000).await, "enough");
        client.send(RawFrame::close(4000, "")).await;
        client.expect_eof().await;
    });
}

#[test]
fn a_sender_outlives_its_connection_without_holding_it() {
    sender_test(Server::builder, async |server| {
        let (client, sender) = server.open().await;
        drop(client);
        server.runner.wait_for_connections(0).await;
        drop(sender);
    });
}

#[test]
fn a_sender_learns_of_a_close_at_once() {
    harness::run(async {
        let (sender, mut senders) = unbounded_channel();
        let script = Script::new()
            .on_open(move |conn| sender.send(conn.sender()).unwrap())
            .on_message(|conn, _| conn.close(CloseCode::NORMAL, ""));
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        let sender = senders.recv().await.unwrap();
        client.send(RawFrame::text("close")).await;
        client.expect_close(1000).await;
        assert!(matches!(sender.try_send("lost"), Err(SendError::Closed(_))));
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_senders_message_does_not_get_stuck_behind_a_message_of_the_handler() {
    harness::run(async {
        // The queue has room for one message. The handler's own message takes it while a sender's waits.
        let script = Script::new().on_open(|conn| {
            conn.sender().try_send("from the sender").unwrap();
            conn.send_text("from the handler").unwrap();
        });
        let server = script.start(Server::builder().write_queue_messages(1).write_queue_bytes(KIB)).await;
        let mut client = server.open().await;
        client.expect_text("from the handler").await;
        client.expect_text("from the sender").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_senders_message_does_not_get_stuck_behind_a_slow_peer_that_is_still_read_from() {
    const HUGE: usize = 16 * KIB * KIB;
    harness::run(async {
        let (sender, mut senders) = unbounded_channel();
        let script = Script::new().on_open(move |conn| {
            conn.send_binary(vec![0; HUGE]).unwrap();
            sender.send(conn.sender()).unwrap();
        });
        let server = script.start(Server::builder().read_while_blocked(true)).await;
        let mut client = server.open().await;
        let sender = senders.recv().await.unwrap();
        sender.try_send("does not fit yet").unwrap();
        tokio::task::yield_now().await;
        client.expect_binary(&vec![0; HUGE]).await;
        client.expect_text("does not fit yet").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_prepared_message_goes_out_like_any_other() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let messages = ["one".to_owned(), "x".repeat(100_000), "three".to_owned()];
        for message in &messages {
            sender.try_send_prepared(&PreparedMessage::new(message.as_str())).unwrap();
        }
        sender.send("four").await.unwrap();
        for message in &messages {
            client.expect_text(message).await;
        }
        client.expect_text("four").await;
        sender.close(CloseCode::NORMAL, "");
        client.expect_close(1000).await;
        assert!(matches!(
            sender.try_send_prepared(&PreparedMessage::new("late")),
            Err(SendError::Closed(()))
        ));
    });
}

#[test]
fn a_prepared_message_is_refused_when_there_is_no_room() {
    sender_test(
        || Server::builder().write_queue_messages(1_000_000).write_queue_bytes(200_000),
        async |server| {
            let (_client, sender) = server.open().await;
            let message = PreparedMessage::new(vec![0; 50_000]);
            let refused = async {
                while sender.try_send_prepared(&message) != Err(SendError::Full(())) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), refused).await.expect("the peer does not read");
        },
    );
}
