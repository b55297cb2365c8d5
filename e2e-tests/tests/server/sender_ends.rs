//! How a connection ends by its senders and callbacks: `closed`, `abort`, and a Close without a code. With both APIs.

use e2e_tests::harness;
use e2e_tests::raw_peer::{DEADLINE, RawFrame};
use e2e_tests::server::{ObservedServer, Script, ServerRunner, close_normally};
use futures_util::{StreamExt as _, stream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use ws_server::{
    CloseCode, Conn, Error, Message, Sender, Server, ServerStream, WebSocket, close::Initiator,
    error::SendError,
};

use crate::senders::{SenderServer, fill, sender_test};

fn empty_close() -> RawFrame {
    RawFrame::new(8, [])
}

/// Tasks that wait until the connection closes.
fn waiting_tasks(sender: &Sender) -> JoinSet<bool> {
    let mut tasks = JoinSet::new();
    for _ in 0..3 {
        let sender = sender.clone();
        tasks.spawn(async move {
            sender.closed().await;
            sender.is_open()
        });
    }
    tasks
}

async fn expect_all_return(tasks: JoinSet<bool>) {
    let open = timeout(DEADLINE, tasks.join_all()).await.expect("all tasks are woken");
    assert_eq!(open, [false; 3]);
}

#[test]
fn closed_returns_when_the_peer_closes_or_resets_the_connection() {
    sender_test(Server::builder, async |server| {
        for resets in [false, true] {
            let (mut client, sender) = server.open().await;
            let tasks = waiting_tasks(&sender);
            client.send(RawFrame::ping("one turn")).await;
            client.expect_pong(b"one turn").await;
            assert!(sender.is_open() && tasks.len() == 3);
            if resets {
                client.into_connection().reset();
            } else {
                close_normally(client).await;
            }
            expect_all_return(tasks).await;
            timeout(DEADLINE, sender.closed()).await.expect("after the end it returns at once");
        }
    });
}

#[test]
fn closed_returns_when_this_side_closes_although_the_peer_does_not_answer() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let tasks = waiting_tasks(&sender);
        sender.close(CloseCode::GOING_AWAY, "");
        assert!(!sender.is_open());
        expect_all_return(tasks).await;
        client.expect_close(1001).await;
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
    });
}

#[test]
fn closed_returns_when_the_server_shuts_down() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let tasks = waiting_tasks(&sender);
        let shutdown = server.runner.handle().clone();
        let shutting_down = tokio::spawn(async move { shutdown.shutdown(DEADLINE).await });
        client.expect_close(1001).await;
        expect_all_return(tasks).await;
        client.send(RawFrame::close(1001, "")).await;
        client.expect_eof().await;
        drop(client);
        shutting_down.await.unwrap();
    });
}

#[test]
fn an_abort_by_a_sender_ends_the_connection_without_a_close_frame() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        let tasks = waiting_tasks(&sender);
        sender.abort();
        assert!(!sender.is_open());
        assert!(matches!(sender.try_send("late"), Err(SendError::Closed(_))));
        client.expect_eof().await;
        expect_all_return(tasks).await;
        server.runner.wait_for_connections(0).await;
        sender.abort();
    });
}

#[test]
fn an_abort_does_not_wait_for_a_peer_that_does_not_read() {
    sender_test(
        || Server::builder().write_queue_messages(1000).write_queue_bytes(256 * 1024),
        async |server: &mut SenderServer| {
            let (client, sender) = server.open_slow().await;
            let (_, waiting) = fill(server, &sender).await;
            sender.abort();
            let result = timeout(DEADLINE, waiting).await.unwrap();
            assert!(matches!(result, Err(SendError::Closed(_))));
            server.runner.wait_for_connections(0).await;
            drop(client);
        },
    );
}

#[test]
fn an_abort_does_not_wait_for_a_peer_that_does_not_answer_the_close() {
    sender_test(
        || e2e_tests::server::patient(Server::builder()),
        async |server| {
            let (mut client, sender) = server.open().await;
            sender.close(CloseCode::NORMAL, "");
            client.expect_close(1000).await;
            sender.abort();
            client.expect_eof().await;
            server.runner.wait_for_connections(0).await;
        },
    );
}

#[test]
fn a_sender_closes_without_a_code_behind_what_it_has_sent() {
    sender_test(Server::builder, async |server| {
        let (mut client, sender) = server.open().await;
        sender.send("last words").await.unwrap();
        sender.close_without_code();
        assert!(matches!(sender.try_send("late"), Err(SendError::Closed(_))));
        client.expect_text("last words").await;
        client.expect_empty_close().await;
        client.send(empty_close()).await;
        client.expect_eof().await;
    });
}

#[test]
fn a_stream_is_forwarded_by_a_sender_and_closes_the_connection_at_its_end() {
    sender_test(
        || Server::builder().write_queue_messages(2).write_queue_bytes(64 * 1024),
        async |server| {
            let (mut client, sender) = server.open_slow().await;
            let messages = stream::iter((0..200_u8).map(|number| Ok(Message::binary(vec![number; 8000]))));
            let forwarding = tokio::spawn(messages.forward(sender.clone()));
            for number in 0..200_u8 {
                client.expect_binary(&[number; 8000]).await;
            }
            client.expect_close(1000).await;
            assert_eq!(forwarding.await.unwrap(), Ok(()));
            client.send(RawFrame::close(1000, "")).await;
            client.expect_eof().await;
            let late = stream::iter([Ok(Message::text("late"))]).forward(sender).await;
            assert_eq!(late, Err(Error::Closed));
        },
    );
}

/// A handler that calls `end` for the first message.
async fn ends_with(end: fn(&mut Conn<'_>)) -> ObservedServer {
    Script::new().on_message(move |conn, _| end(conn)).start(Server::builder()).await
}

#[test]
fn a_callback_may_close_without_a_code_or_abort() {
    harness::run(async {
        let mut server = ends_with(|conn| conn.close_without_code()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("end")).await;
        client.expect_empty_close().await;
        client.send(empty_close()).await;
        client.expect_eof().await;
        let info = server.closed().await;
        assert!(info.is_clean());
        assert_eq!((info.initiator, info.code()), (Initiator::Local, 1005));
        server.stop().await;

        let mut server = ends_with(|conn| conn.abort()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("end")).await;
        client.expect_eof().await;
        let info = server.closed().await;
        assert_eq!((info.is_clean(), info.code(), info.error), (false, 1006, None));
        server.stop().await;
    });
}

#[test]
fn an_abort_by_the_sender_of_a_handler_calls_on_close() {
    harness::run(async {
        let mut server = ends_with(|conn| conn.sender().abort()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("end")).await;
        client.expect_eof().await;
        let info = server.closed().await;
        assert_eq!((info.initiator, info.code(), info.error), (Initiator::Local, 1006, None));
        server.stop().await;
    });
}

#[test]
fn an_async_function_may_close_without_a_code_or_abort() {
    async fn end(mut ws: WebSocket<ServerStream>) {
        match ws.recv().await.as_ref().and_then(Message::as_text) {
            Some("close") => assert_eq!(ws.close_without_code().await.code(), 1005),
            _ => {
                ws.abort();
                assert_eq!(ws.recv().await, None);
                assert_eq!(ws.close_info().unwrap().code(), 1006);
            }
        }
    }
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), end).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("close")).await;
        client.expect_empty_close().await;
        client.send(empty_close()).await;
        client.expect_eof().await;
        let mut client = server.open().await;
        client.send(RawFrame::text("abort")).await;
        client.expect_eof().await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn the_halves_of_a_served_connection_work_in_two_tasks() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |ws: WebSocket<ServerStream>| {
            let (sender, mut receiver) = ws.split();
            let echo = tokio::spawn(async move {
                let mut count = 0;
                while let Some(message) = receiver.recv().await {
                    sender.send(message).await.unwrap();
                    count += 1;
                }
                count
            });
            assert_eq!(echo.await.unwrap(), 10);
        })
        .await;
        let mut client = server.open().await;
        for number in 0..10 {
            client.send(RawFrame::text(number.to_string())).await;
            client.expect_text(&number.to_string()).await;
        }
        close_normally(client).await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}
