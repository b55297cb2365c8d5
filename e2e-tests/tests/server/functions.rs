//! Async functions and their connections.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{ServerRunner, answer_close, close_normally, patient};
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc::unbounded_channel};
use tokio::time::timeout;
use ws_server::{Server, ServerStream, WebSocket, error::ConnectionError};

async fn echo(ws: &mut WebSocket<ServerStream>) {
    while let Some(message) = ws.recv().await {
        // An error means that the connection is closing.
        let _ = ws.send(message).await;
    }
}

async fn expect_echo(client: &mut RawClient, text: &str) {
    client.send(RawFrame::text(text)).await;
    client.expect_text(text).await;
}

/// A server whose functions wait for the notification before they echo.
async fn busy(go: &Arc<Notify>) -> ServerRunner {
    let go = Arc::clone(go);
    ServerRunner::serve(Server::builder(), move |mut ws| {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            echo(&mut ws).await;
        }
    })
    .await
}

#[test]
fn while_it_is_busy_pings_are_answered_and_messages_wait() {
    harness::run(async {
        let go = Arc::new(Notify::new());
        let server = busy(&go).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("a"), RawFrame::ping("alive?"), RawFrame::text("b")]).await;
        client.expect_pong(b"alive?").await;
        go.notify_one();
        client.expect_text("a").await;
        client.expect_text("b").await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn while_it_is_busy_a_close_is_answered() {
    harness::run(async {
        let go = Arc::new(Notify::new());
        let server = busy(&go).await;
        close_normally(server.open().await).await;
        // Its permit is held as long as the function runs.
        assert_eq!(server.handle().connections(), 1);
        go.notify_one();
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn messages_that_came_before_a_close_are_received_and_answered_first() {
    harness::run(async {
        let go = Arc::new(Notify::new());
        let server = busy(&go).await;
        let mut client = server.open().await;
        let frames =
            [RawFrame::text("a"), RawFrame::ping("held"), RawFrame::text("b"), RawFrame::close(1000, "bye")];
        client.send_together(&frames).await;
        client.expect_pong(b"held").await;
        go.notify_one();
        client.expect_text("a").await;
        client.expect_text("b").await;
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn while_it_is_busy_little_is_held_however_much_is_sent() {
    const MIB: usize = 1024 * 1024;
    harness::run(async {
        let go = Arc::new(Notify::new());
        let server = busy(&go).await;
        let client = server.open().await;
        let frame = client.writer.encode(&RawFrame::binary(vec![7; MIB]));
        let (mut reader, mut writer) = client.into_connection().split();
        let flood = tokio::spawn(async move {
            for _ in 0..48 {
                writer.send_bytes(&frame).await;
            }
            writer
        });
        // The kernel and the connection buffer far less than is sent.
        let quiet = Duration::from_millis(500);
        assert!(timeout(quiet, reader.try_recv_frame()).await.is_err(), "there is no answer yet");
        assert!(!flood.is_finished(), "the server takes no more than it can hold");
        go.notify_one();
        for _ in 0..48 {
            reader.expect_binary(&vec![7; MIB]).await;
        }
        drop((reader, flood.await.unwrap()));
        server.stop().await;
    });
}

#[test]
fn while_the_peer_does_not_read_only_the_latest_ping_keeps_its_answer() {
    const HUGE: usize = 16 * 1024 * 1024;
    harness::run(async {
        let (sender, mut received) = unbounded_channel();
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            let sender = sender.clone();
            async move {
                ws.send(vec![0; HUGE]).await.unwrap();
                while let Some(message) = ws.recv().await {
                    sender.send(message).unwrap();
                }
            }
        })
        .await;
        let mut client = server.open().await;
        client.send(RawFrame::text("blocked by now")).await;
        received.recv().await.unwrap();
        for number in 0..9 {
            client.send(RawFrame::ping([number])).await;
        }
        client.send(RawFrame::text("all pings were read")).await;
        received.recv().await.unwrap();
        client.expect_binary(&vec![0; HUGE]).await;
        client.expect_pong(&[8]).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn what_is_queued_when_it_returns_is_delivered_before_the_close() {
    harness::run(async {
        let server = ServerRunner::serve(patient(Server::builder()), async |mut ws| {
            for number in 0..64_u8 {
                ws.send(vec![number; 256 * 1024]).await.unwrap();
            }
        })
        .await;
        let mut client = server.open().await;
        for number in 0..64_u8 {
            client.expect_binary(&vec![number; 256 * 1024]).await;
        }
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

#[test]
fn a_connection_may_move_to_another_task_and_back() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            let task = tokio::spawn(async move {
                let message = ws.recv().await.unwrap();
                ws.send(message).await.unwrap();
                ws
            });
            let mut ws = task.await.unwrap();
            echo(&mut ws).await;
        })
        .await;
        let mut client = server.open().await;
        for text in ["there", "here", "and here"] {
            expect_echo(&mut client, text).await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_connection_outlives_the_function_that_gave_it_away() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            tokio::spawn(async move { echo(&mut ws).await });
        })
        .await;
        let mut client = server.open().await;
        for number in 0..100 {
            expect_echo(&mut client, &number.to_string()).await;
        }
        client.send(RawFrame::ping("ping")).await;
        client.expect_pong(b"ping").await;
        close_normally(client).await;
        server.wait_for_connections(0).await;
        server.stop().await;
    });
}

#[test]
fn large_messages_reach_a_function_that_gave_its_connection_away() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            tokio::spawn(async move { echo(&mut ws).await });
        })
        .await;
        let mut client = server.open().await;
        for size in [1, 100_000, 1_000_000] {
            let frames: Vec<RawFrame> = (0..5).map(|number| RawFrame::binary(vec![number; size])).collect();
            client.send_together(&frames).await;
            for number in 0..5 {
                client.expect_binary(&vec![number; size]).await;
            }
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn receiving_may_be_given_up_and_taken_up_again_any_number_of_times() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            loop {
                // Far more often in one turn than a turn has reads.
                for _ in 0..300 {
                    tokio::select! {
                        biased;
                        message = ws.recv() => match message {
                            Some(message) => ws.send(message).await.unwrap(),
                            None => return,
                        },
                        () = ready(()) => {}
                    }
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut client = server.open().await;
        for number in 0..20 {
            expect_echo(&mut client, &number.to_string()).await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn it_may_send_on_one_side_while_it_receives_on_the_other() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            let sender = ws.sender();
            let push = async {
                for number in 0..200 {
                    sender.send(format!("push {number}")).await.unwrap();
                    tokio::task::yield_now().await;
                }
                pending::<()>().await;
            };
            tokio::select! {
                () = push => {}
                () = echo(&mut ws) => {}
            }
        })
        .await;
        let mut client = server.open().await;
        client.send_together(&vec![RawFrame::text("echo"); 200]).await;
        let (mut pushed, mut echoed) = (0, 0);
        while pushed + echoed < 400 {
            let frame = client.recv_frame().await;
            if frame == RawFrame::text("echo") {
                echoed += 1;
            } else {
                assert!(frame == RawFrame::text(format!("push {pushed}")), "{frame:?}");
                pushed += 1;
            }
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_reply_that_takes_time_reaches_a_peer_that_has_half_closed() {
    harness::run(async {
        let (sender, mut ends) = unbounded_channel();
        let server = ServerRunner::serve(Server::builder(), move |mut ws| {
            let sender = sender.clone();
            async move {
                let message = ws.recv().await.unwrap();
                for _ in 0..50 {
                    tokio::task::yield_now().await;
                }
                ws.send(message).await.unwrap();
                assert!(ws.recv().await.is_none());
                sender.send(ws.close_info().unwrap()).unwrap();
            }
        })
        .await;
        let mut client = server.open().await;
        client.send(RawFrame::text("question")).await;
        client.half_close().await;
        client.expect_text("question").await;
        client.expect_eof().await;
        assert_eq!(ends.recv().await.unwrap().error, Some(ConnectionError::Eof));
        server.stop().await;
    });
}

#[test]
fn the_transport_can_be_looked_at() {
    harness::run(async {
        for on in [true, false] {
            let (sender, mut seen) = unbounded_channel();
            let builder = Server::builder().tcp_nodelay(on);
            let server = ServerRunner::serve(builder, move |ws| {
                sender.send(ws.with_io(|io| (io.nodelay().unwrap(), io.peer_addr().unwrap()))).unwrap();
                async move { drop(ws) }
            })
            .await;
            let client = server.open().await;
            assert_eq!(seen.recv().await.unwrap(), Some((on, client.local_addr())));
            drop(client);
            server.stop().await;
        }
    });
}

#[test]
fn it_may_use_what_is_not_send_on_shards() {
    use std::rc::Rc;
    harness::run(async {
        let server = ServerRunner::serve_on_shards(Server::builder(), 2, |mut ws, request| async move {
            let path: Rc<str> = request.path().into();
            let task = tokio::task::spawn_local({
                let path = Rc::clone(&path);
                async move { format!("local task for {path}") }
            });
            ws.send(task.await.unwrap()).await.unwrap();
            echo(&mut ws).await;
            drop(path);
        })
        .await;
        for path in ["/a", "/b", "/c"] {
            let mut client = RawClient::open(server.addr(), path).await;
            client.expect_text(&format!("local task for {path}")).await;
            close_normally(client).await;
        }
        server.stop().await;
    });
}
