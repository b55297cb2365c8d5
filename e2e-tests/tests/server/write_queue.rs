//! Sends that are accepted, refused, completed and cut off.

use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, RecvError};
use e2e_tests::server::{Event, ObservedServer, Script, ServerRunner, answer_close, close_normally, patient};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use ws_server::{
    CloseCode, Message, Server,
    close::ConnectionState,
    error::{ConnectionError, SendError},
    message::{Completion, Utf8Bytes},
};

/// More than the kernel buffers for a peer that does not read.
const HUGE: usize = 16 * 1024 * 1024;

/// Waits until the server has tried to write what it sent before. It receives this pong in a later step.
async fn settle(server: &mut ObservedServer, client: &mut RawClient, mark: &'static str) -> Vec<Event> {
    client.send(RawFrame::pong(mark)).await;
    let mut passed = Vec::new();
    loop {
        match server.next().await {
            Event::Pong(payload) if payload == mark.as_bytes() => return passed,
            event => passed.push(event),
        }
    }
}

#[test]
fn with_room_for_one_a_second_send_is_refused_and_gives_the_payload_back() {
    harness::run(async {
        let script = Script::new()
            .on_open(|conn| {
                conn.send_text("first").unwrap();
                assert_eq!(conn.send_text("second"), Err(SendError::Full("second")));
                assert_eq!(conn.send_text("s".to_owned()), Err(SendError::Full("s".to_owned())));
                let shared = Utf8Bytes::from("shared");
                assert_eq!(conn.send_text(shared.clone()), Err(SendError::Full(shared)));
                assert_eq!(conn.send_binary(&[1][..]), Err(SendError::Full(&[1][..])));
                assert_eq!(conn.send_binary(vec![2]), Err(SendError::Full(vec![2])));
                let message = Message::binary(Bytes::from_static(b"3"));
                assert_eq!(conn.send_message(message.clone()), Err(SendError::Full(message)));
                // Control frames have their own queue.
                conn.ping(b"still goes").unwrap();
            })
            .on_writable(|conn| conn.send_text("now").unwrap());
        let mut server =
            script.start(Server::builder().write_queue_messages(1).write_queue_bytes(1024)).await;
        let mut client = server.open().await;
        client.expect_text("first").await;
        client.expect_ping(b"still goes").await;
        client.expect_text("now").await;
        server.expect(Event::Opened).await;
        server.expect(Event::Writable).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn with_room_for_one_a_send_in_on_write_complete_is_accepted() {
    harness::run(async {
        let sent = AtomicUsize::new(1);
        let script = Script::new().on_open(|conn| conn.send_text("0".to_owned()).unwrap()).on_write_complete(
            move |conn, completion| {
                assert_eq!(completion, Completion::Written);
                let number = sent.fetch_add(1, SeqCst);
                if number < 500 {
                    conn.send_text(number.to_string()).unwrap();
                }
            },
        );
        let server = script.start(Server::builder().write_queue_messages(1).write_queue_bytes(1024)).await;
        let mut client = server.open().await;
        for number in 0..500 {
            client.expect_text(&number.to_string()).await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn the_limit_in_bytes_holds_unless_nothing_else_waits() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.send_binary(vec![0; 5000]).unwrap();
            assert!(matches!(conn.send_binary(vec![0; 1]), Err(SendError::Full(_))));
        });
        let server = script.start(Server::builder().write_queue_messages(100).write_queue_bytes(1000)).await;
        let mut client = server.open().await;
        client.expect_binary(&[0; 5000]).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn each_owned_payload_gets_one_completion_and_a_borrowed_one_none() {
    harness::run(async {
        let sending = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&sending);
        let script = Script::new()
            .on_message(move |conn, _| {
                sending.store(true, SeqCst);
                conn.send_text("borrowed").unwrap();
                conn.send_text("owned".to_owned()).unwrap();
                conn.send_binary(&[1]).unwrap();
                conn.send_binary(vec![0; 100_000]).unwrap();
                conn.send_message(Message::text("third")).unwrap();
                conn.ping(b"").unwrap();
                sending.store(false, SeqCst);
            })
            .on_write_complete(move |_, _| assert!(!inside.load(SeqCst), "a completion within a send"));
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        client.expect_text("borrowed").await;
        client.expect_text("owned").await;
        client.expect_binary(&[1]).await;
        client.expect_binary(&[0; 100_000]).await;
        client.expect_text("third").await;
        client.expect_ping(b"").await;
        close_normally(client).await;
        let (events, _) = server.rest_and_closed().await;
        let written = Event::WriteComplete(Completion::Written);
        let expected = [&Event::Opened, &Event::Message(Message::text("go")), &written, &written, &written];
        assert!(events.iter().eq(expected), "{events:?}");
        server.stop().await;
    });
}

#[test]
fn the_end_cuts_off_what_waits_and_says_so_before_on_close() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            for _ in 0..3 {
                conn.send_binary(vec![0; HUGE]).unwrap();
            }
            conn.send_binary(&[0; 10]).unwrap();
        });
        let builder = Server::builder().write_queue_messages(10).write_queue_bytes(4 * HUGE);
        let mut server = script.start(builder).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        settle(&mut server, &mut client, "blocked").await;
        client.into_connection().reset();
        for _ in 0..3 {
            server.expect(Event::WriteComplete(Completion::CutOff)).await;
        }
        let info = server.expect_closed().await;
        assert!(matches!(info.error, Some(ConnectionError::Transport(_))), "{info:?}");
        server.stop().await;
    });
}

#[test]
fn a_closing_connection_takes_no_data_and_gives_it_back() {
    harness::run(async {
        let refuses = |conn: &mut ws_server::Conn<'_>| {
            assert_eq!(conn.send_text("a"), Err(SendError::Closed("a")));
            assert_eq!(conn.send_text("b".to_owned()), Err(SendError::Closed("b".to_owned())));
            assert_eq!(conn.send_binary(vec![3]), Err(SendError::Closed(vec![3])));
            conn.close(CloseCode::GOING_AWAY, "too late");
        };
        let script = Script::new()
            .on_open(move |conn| {
                assert_eq!(conn.state(), ConnectionState::Open);
                conn.close(CloseCode::NORMAL, "");
                assert_eq!(conn.state(), ConnectionState::Closing);
                refuses(conn);
            })
            .on_close(move |conn, _| {
                assert_eq!(conn.state(), ConnectionState::Closed);
                refuses(conn);
            });
        let mut server = script.start(Server::builder()).await;
        let client = server.open().await;
        answer_close(client, 1000).await;
        assert!(server.closed().await.is_clean());
        server.stop().await;
    });
}

#[test]
fn an_async_send_on_a_closed_connection_gives_the_message_back() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), async |mut ws| {
            while ws.recv().await.is_some() {}
            assert_eq!(ws.send("late").await, Err(SendError::Closed(Message::text("late"))));
            assert!(ws.recv().await.is_none());
        })
        .await;
        close_normally(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn no_message_is_delivered_while_the_peer_does_not_read() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| conn.send_binary(vec![0; HUGE]).unwrap());
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("first")).await;
        settle(&mut server, &mut client, "blocked").await;
        client.send(RawFrame::text("second")).await;
        assert_eq!(settle(&mut server, &mut client, "held").await, []);
        client.expect_binary(&vec![0; HUGE]).await;
        client.expect_binary(&vec![0; HUGE]).await;
        server.wait_for(&Event::Message(Message::text("second"))).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn messages_are_delivered_while_the_peer_does_not_read_if_that_is_wanted() {
    harness::run(async {
        let script = Script::new().on_message(|conn, message| {
            if message.as_text() == Some("first") {
                conn.send_binary(vec![0; HUGE]).unwrap();
            }
        });
        let mut server = script.start(Server::builder().read_while_blocked(true)).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("first")).await;
        settle(&mut server, &mut client, "blocked").await;
        client.send(RawFrame::text("second")).await;
        server.expect(Event::Message(Message::text("second"))).await;
        client.expect_binary(&vec![0; HUGE]).await;
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn an_async_send_waits_while_the_queue_is_full() {
    harness::run(async {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let server = ServerRunner::serve(
            Server::builder().write_queue_messages(4).write_queue_bytes(HUGE),
            move |mut ws| {
                let count = Arc::clone(&count);
                async move {
                    for number in 0..32_u8 {
                        ws.send(vec![number; 1024 * 1024]).await.unwrap();
                        count.fetch_add(1, SeqCst);
                    }
                    while ws.recv().await.is_some() {}
                }
            },
        )
        .await;
        let mut client = server.open().await;
        // The peer reads the first byte only after the second message is queued.
        client.send(RawFrame::ping("")).await;
        let mut pongs = 0;
        for number in 0..32_u8 {
            let frame = loop {
                let frame = client.recv_frame().await;
                if !frame.is_control() {
                    break frame;
                }
                pongs += 1;
            };
            assert_eq!(frame.payload, vec![number; 1024 * 1024]);
            let ahead = sent.load(SeqCst).saturating_sub(usize::from(number));
            // The bytes in the queue and in the kernel.
            assert!(ahead <= 4 + 24, "{ahead} messages ahead of the peer");
        }
        if pongs == 0 {
            client.expect_pong(b"").await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_message_before_a_close_reaches_a_client_that_is_uploading() {
    harness::run(async {
        let message = vec![5; 1024 * 1024];
        let copy = message.clone();
        let script = Script::new().on_open(move |conn| {
            conn.send_binary(copy.clone()).unwrap();
            conn.close(CloseCode::NORMAL, "");
        });
        let server = script.start(patient(Server::builder())).await;
        for _ in 0..5 {
            let (mut reader, mut writer) = server.open().await.into_connection().split();
            let upload = writer.encode(&RawFrame::binary(vec![1; 64 * 1024]));
            let close = writer.encode(&RawFrame::close(1000, ""));
            let (stop, mut stopped) = tokio::sync::oneshot::channel();
            let uploading = tokio::spawn(async move {
                while stopped.try_recv().is_err() {
                    writer.send_bytes(&upload).await;
                    tokio::task::yield_now().await;
                }
                writer.send_bytes(close).await;
                writer
            });
            let watching = async {
                reader.expect_binary(&message).await;
                reader.expect_close(1000).await;
                stop.send(()).unwrap();
                assert_eq!(reader.expect_end().await, RecvError::Eof, "a reset could discard the message");
            };
            let ((), writer) = tokio::join!(watching, uploading);
            drop(writer.unwrap());
        }
        server.stop().await;
    });
}

#[test]
fn a_send_that_a_reset_cuts_off_is_reported() {
    harness::run(async {
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; HUGE]).unwrap());
        let mut server = script.start(Server::builder()).await;
        let client = server.open().await;
        server.expect(Event::Opened).await;
        client.into_connection().reset();
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        server.expect_closed().await;
        server.stop().await;
    });
}
