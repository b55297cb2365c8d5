//! Pings and pongs, with a peer that reads and with one that does not.

use bytes::Bytes;
use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame};
use e2e_tests::server::{
    Api, Event, Script, ServerRunner, answer_close, close_normally, echo_test, echo_test_with, start_echo,
};
use std::sync::mpsc;
use ws_server::{CloseCode, Sender, Server, error::ControlError, message::Queued};

#[test]
fn a_ping_is_answered_with_its_payload() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for payload in [&b""[..], b"ping", &[0xFF; 125]] {
            client.send(RawFrame::ping(payload)).await;
            client.expect_pong(payload).await;
        }
    });
}

#[test]
fn each_of_many_pings_is_answered_in_order() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let pings: Vec<RawFrame> = (0..100_u8).map(|number| RawFrame::ping([number])).collect();
        client.send_together(&pings).await;
        for number in 0..100 {
            client.expect_pong(&[number]).await;
        }
    });
}

#[test]
fn what_a_handler_sends_and_its_pongs_keep_their_order() {
    // Under the async API a pong goes out as soon as the ping is read, before the application's answers.
    harness::run(async {
        let server = start_echo(Api::Handler, Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("a"), RawFrame::ping("b"), RawFrame::text("c")]).await;
        client.expect_text("a").await;
        client.expect_pong(b"b").await;
        client.expect_text("c").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn an_unsolicited_pong_is_ignored() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::pong("hello"), RawFrame::text("next")]).await;
        client.expect_text("next").await;
    });
}

#[test]
fn a_handler_sees_pings_and_pongs() {
    harness::run(async {
        let mut server = Script::new().start(Server::builder()).await;
        let mut client = server.open().await;
        client.send_together(&[RawFrame::ping("a"), RawFrame::pong("b")]).await;
        server.expect(Event::Opened).await;
        server.expect(Event::Ping(Bytes::from("a"))).await;
        server.expect(Event::Pong(Bytes::from("b"))).await;
        client.expect_pong(b"a").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_handler_that_takes_pings_answers_them_itself() {
    harness::run(async {
        let script = Script::new().on_ping(|conn, payload| {
            conn.pong(&[b"own ", &payload[..]].concat()).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::ping("answer")).await;
        client.expect_pong(b"own answer").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_server_may_ping() {
    harness::run(async {
        let script = Script::new()
            .on_open(|conn| conn.ping(b"there?").unwrap())
            .on_pong(|conn, _| conn.close(CloseCode::NORMAL, ""));
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(b"there?").await;
        client.send(RawFrame::pong("there?")).await;
        client.expect_close(1000).await;
        server.expect(Event::Opened).await;
        server.expect(Event::Pong(Bytes::from("there?"))).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn an_async_function_may_ping_within_the_same_limits() {
    harness::run(async {
        let serve = |mut ws: ws_server::WebSocket<_>| async move {
            assert_eq!(ws.ping(&[0; 126]).await, Err(ControlError::TooLong { len: 126 }));
            ws.ping(&[1; 125]).await.unwrap();
            ws.ping(&[2; 125]).await.unwrap();
            assert_eq!(ws.ping(&[3; 125]).await, Err(ControlError::Full));
            ws.close(CloseCode::NORMAL, "").await;
            assert_eq!(ws.ping(b"").await, Err(ControlError::Closed));
        };
        let server = ServerRunner::serve(Server::builder(), serve).await;
        let mut client = server.open().await;
        client.expect_ping(&[1; 125]).await;
        client.expect_ping(&[2; 125]).await;
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

#[test]
fn a_control_frame_over_125_bytes_is_refused() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            assert_eq!(conn.ping(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
            assert_eq!(conn.pong(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
            conn.ping(&[1; 125]).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(&[1; 125]).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn at_most_256_bytes_of_control_frames_wait_and_there_is_room_again_once_they_are_written() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            conn.ping(&[1; 125]).unwrap();
            conn.pong(&[2; 125]).unwrap();
            // 2 × (125 + 2) of 256 bytes are taken.
            assert_eq!(conn.ping(&[3; 1]), Err(ControlError::Full));
            conn.ping(b"").unwrap();
            assert_eq!(conn.pong(b""), Err(ControlError::Full));
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        for _ in 0..3 {
            client.send(RawFrame::text("go")).await;
            client.expect_ping(&[1; 125]).await;
            client.expect_pong(&[2; 125]).await;
            client.expect_ping(b"").await;
        }
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_closing_connection_takes_no_control_frames() {
    harness::run(async {
        let script = Script::new()
            .on_open(|conn| {
                conn.close(CloseCode::NORMAL, "");
                assert_eq!(conn.ping(b""), Err(ControlError::Closed));
                assert_eq!(conn.pong(b""), Err(ControlError::Closed));
                conn.answer_ping(b"not sent");
            })
            .on_close(|conn, _| assert_eq!(conn.ping(b""), Err(ControlError::Closed)));
        let server = script.start(Server::builder()).await;
        let client = server.open().await;
        answer_close(client, 1000).await;
        server.stop().await;
    });
}

/// More than the kernel buffers for a peer that does not read.
const HUGE: usize = 16 * 1024 * 1024;

#[test]
fn while_the_peer_does_not_read_only_the_latest_ping_keeps_its_answer() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| conn.send_binary(vec![0; HUGE]).unwrap());
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        // The server receives this before the first ping, so the message is being written then.
        client.send(RawFrame::pong("now")).await;
        server.wait_for(&Event::Pong(Bytes::from("now"))).await;
        for number in 0..9_u8 {
            client.send(RawFrame::ping([number])).await;
        }
        server.wait_for(&Event::Ping(Bytes::from(vec![8]))).await;
        client.expect_binary(&vec![0; HUGE]).await;
        client.expect_pong(&[8]).await;
        client.send(RawFrame::close(1000, "")).await;
        client.expect_close(1000).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_control_frame_overtakes_messages_that_wait_but_never_splits_one() {
    harness::run(async {
        let script = Script::new().on_message(|conn, message| match message.as_text() {
            Some("go") => conn.send_binary(vec![0; HUGE]).unwrap(),
            _ => {
                conn.send_text("waits").unwrap();
                conn.ping(b"overtakes").unwrap();
            }
        });
        let builder =
            Server::builder().read_while_blocked(true).write_queue_messages(10).write_queue_bytes(2 * HUGE);
        let mut server = script.start(builder).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        client.send(RawFrame::pong("now")).await;
        server.wait_for(&Event::Pong(Bytes::from("now"))).await;
        client.send_together(&[RawFrame::text("more"), RawFrame::pong("then")]).await;
        server.wait_for(&Event::Pong(Bytes::from("then"))).await;
        client.expect_binary(&vec![0; HUGE]).await;
        client.expect_ping(b"overtakes").await;
        client.expect_text("waits").await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_flood_of_control_frames_in_one_read_is_1008() {
    echo_test_with(
        |builder| builder.protocol(|config| config.limits.max_control_frames_per_read = 100),
        async |server| {
            let mut client = server.open().await;
            client.send_together(&vec![RawFrame::pong("x"); 101]).await;
            client.expect_close(1008).await;
            client.expect_eof().await;
        },
    );
}

#[test]
fn the_queue_counts_what_waits() {
    harness::run(async {
        let (sender, counts) = mpsc::channel();
        let script = Script::new().on_message(move |conn, _| {
            sender.send(conn.queued()).unwrap();
            conn.send_text("12345").unwrap();
            sender.send(conn.queued()).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        for _ in 0..2 {
            client.send(RawFrame::text("go")).await;
            client.expect_text("12345").await;
            assert_eq!(counts.recv().unwrap(), Queued::default());
            let queued = counts.recv().unwrap();
            assert!(queued.messages == 1 && queued.bytes >= 5, "{queued:?}");
        }
        drop(client);
        server.stop().await;
    });
}

#[test]
fn a_ping_that_was_accepted_goes_out_however_full_the_control_queue_is() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.sender().ping(b"the sender's").unwrap();
            conn.sender().close(CloseCode::NORMAL, "behind it");
            conn.ping(&[1; 125]).unwrap();
            conn.ping(&[2; 125]).unwrap();
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(&[1; 125]).await;
        client.expect_ping(&[2; 125]).await;
        client.expect_ping(b"the sender's").await;
        assert_eq!(client.expect_close(1000).await, "behind it");
        drop(client);
        server.stop().await;
    });
}

/// Call this in the connection's own turn, so that nothing is written in between.
fn ping_up_to_the_limits(sender: &Sender) {
    assert_eq!(sender.ping(&[0; 126]), Err(ControlError::TooLong { len: 126 }));
    sender.ping(&[1; 125]).unwrap();
    sender.ping(&[2; 125]).unwrap();
    assert_eq!(sender.ping(&[3; 125]), Err(ControlError::Full));
}

/// Checks that the pings that were sent in the connection's own turn arrive.
async fn expect_pings_up_to_the_limits(mut client: RawClient) {
    client.expect_ping(&[1; 125]).await;
    client.expect_ping(&[2; 125]).await;
    close_normally(client).await;
}

#[test]
fn pings_of_a_handlers_sender_have_the_limits_of_the_control_queue() {
    harness::run(async {
        let script = Script::new().on_open(|conn| ping_up_to_the_limits(&conn.sender()));
        let server = script.start(Server::builder()).await;
        expect_pings_up_to_the_limits(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn pings_of_a_functions_sender_have_the_limits_of_the_control_queue() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            ping_up_to_the_limits(&ws.sender());
            while ws.recv().await.is_some() {}
        })
        .await;
        expect_pings_up_to_the_limits(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn the_message_limit_does_not_apply_to_control_frames() {
    echo_test_with(
        |builder| builder.max_message_size(10),
        async |server| {
            let mut client = server.open().await;
            client.send(RawFrame::ping([1; 20])).await;
            client.expect_pong(&[1; 20]).await;
            client.send(RawFrame::text("0123456789")).await;
            client.expect_text("0123456789").await;
            client.send(RawFrame::close(1000, "longer than ten bytes")).await;
            assert_eq!(client.expect_close(1000).await, "longer than ten bytes");
        },
    );
}
