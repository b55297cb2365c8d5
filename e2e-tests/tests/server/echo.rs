//! Messages come back: both kinds, all sizes, in order, and with few writes.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawClient, RawFrame, opcode};
use e2e_tests::server::{
    Api, Event, Script, ServerRunner, close_normally, echo_test, echo_test_with, patient, start_echo,
    start_sharded_echo,
};
use ws_server::{Message, Server, error::ConnectionError};

/// Bytes with a period of 251, which is not the size of any buffer.
fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

async fn expect_echo(client: &mut RawClient, message: &[u8]) {
    client.send(RawFrame::binary(message)).await;
    client.expect_binary(message).await;
}

#[test]
fn text_comes_back_as_text() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send(RawFrame::text("hello")).await;
        client.expect_text("hello").await;
        close_normally(client).await;
    });
}

#[test]
fn binary_comes_back_as_binary() {
    echo_test(async |server| {
        let mut client = server.open().await;
        expect_echo(&mut client, &[1, 2, 3, 0xFF]).await;
        expect_echo(&mut client, &payload(1000)).await;
        close_normally(client).await;
    });
}

#[test]
fn the_application_sees_what_was_sent() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::text("später"), RawFrame::binary([0xFF])]).await;
        server.expect(Event::Opened).await;
        server.expect(Event::Message(Message::text("später"))).await;
        server.expect(Event::Message(Message::binary(vec![0xFF]))).await;
    });
}

#[test]
fn messages_come_back_in_order_one_by_one() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for text in ["one", "two", "three"] {
            client.send(RawFrame::text(text)).await;
            client.expect_text(text).await;
        }
    });
}

#[test]
fn a_pipelined_batch_comes_back_in_order() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let texts: Vec<String> = (0..500).map(|number| format!("message {number}")).collect();
        let frames: Vec<RawFrame> = texts.iter().map(|text| RawFrame::text(text.as_str())).collect();
        client.send_together(&frames).await;
        for text in &texts {
            client.expect_text(text).await;
        }
    });
}

#[test]
fn every_form_of_a_length_comes_back_in_the_shortest() {
    // The raw peer refuses a length that is longer than needed.
    echo_test(async |server| {
        let mut client = server.open().await;
        for length in [0, 1, 124, 125, 126, 127, 65_534, 65_535, 65_536, 65_537] {
            expect_echo(&mut client, &payload(length)).await;
        }
    });
}

#[test]
fn a_message_of_any_size_comes_back_byte_for_byte() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for kib in [8, 32, 64, 128, 256, 1024] {
            expect_echo(&mut client, &payload(kib * 1024)).await;
        }
    });
}

#[test]
fn small_messages_between_large_ones_come_back() {
    echo_test(async |server| {
        let mut client = server.open().await;
        for length in [5, 8 * 1024, 5, 100 * 1024, 5] {
            expect_echo(&mut client, &payload(length)).await;
        }
    });
}

#[test]
fn a_message_of_16_mib_passes_by_default_and_a_longer_one_is_1009() {
    const LIMIT: usize = 16 * 1024 * 1024;
    let (longest, too_long) = (payload(LIMIT), payload(LIMIT + 1));
    echo_test_with(patient, async |server| {
        let mut client = server.open().await;
        expect_echo(&mut client, &longest).await;
        client.send(RawFrame::binary(&too_long[..])).await;
        client.expect_close(1009).await;
        client.expect_eof().await;
    });
}

#[test]
fn masked_with_any_key_it_comes_back() {
    use e2e_tests::raw_peer::Mask;
    echo_test(async |server| {
        let mut client = server.open().await;
        for key in [[0; 4], [0xFF; 4], [1, 2, 3, 4]] {
            for length in [1, 7, 300, 70_000] {
                client.send(RawFrame::binary(payload(length)).mask(Mask::Key(key))).await;
                client.expect_binary(&payload(length)).await;
            }
        }
    });
}

#[test]
fn a_message_in_single_bytes_comes_back() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let bytes = client.writer.encode(&RawFrame::text("a byte at a time, ü and €"));
        client.send_in_pieces(bytes, 1).await;
        client.expect_text("a byte at a time, ü and €").await;
    });
}

#[test]
fn each_of_two_clients_gets_its_own() {
    echo_test(async |server| {
        let (mut first, mut second) = (server.open().await, server.open().await);
        first.send(RawFrame::text("first")).await;
        second.send(RawFrame::text("second")).await;
        second.expect_text("second").await;
        first.expect_text("first").await;
    });
}

#[test]
fn a_client_may_close_at_once() {
    echo_test(async |server| {
        close_normally(server.open().await).await;
        server.expect(Event::Opened).await;
        assert!(server.expect_closed().await.is_clean());
    });
}

#[test]
fn without_validation_a_handler_echoes_text_unchanged_and_an_owned_message_is_binary_if_it_is_no_utf8() {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let builder = Server::builder().validate_utf8(false);
            let server = match api {
                Api::Handler => {
                    let script = Script::new().on_message(|conn, message| conn.send(message).unwrap());
                    script.start(builder).await
                }
                Api::Async => start_echo(api, builder).await,
            };
            let mut client = server.open().await;
            client.send(RawFrame::text("valid")).await;
            client.expect_text("valid").await;
            // A frame, and a fragmented message, which has a buffer of its own.
            let invalid = [0xFF, 0xFE];
            for frames in [
                vec![RawFrame::text(invalid)],
                vec![RawFrame::text(&invalid[..1]).not_final(), RawFrame::continuation(&invalid[1..])],
            ] {
                client.send_together(&frames).await;
                let frame = client.recv_frame().await;
                let expected = match api {
                    Api::Handler => RawFrame::text(invalid),
                    Api::Async => RawFrame::binary(invalid),
                };
                assert!(frame == expected, "{frame:?}");
            }
            close_normally(client).await;
            server.stop().await;
        }
    });
}

async fn expect_greeting(mut client: RawClient) {
    client.expect_text("hello raw").await;
    client.expect_binary(&[0xDE, 0xAD, 0xBE, 0xEF]).await;
    client.expect_binary(&payload(300)).await;
    close_normally(client).await;
}

#[test]
fn a_handler_may_speak_first() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.send_text("hello raw").unwrap();
            conn.send_binary(&[0xDE, 0xAD, 0xBE, 0xEF]).unwrap();
            conn.send_binary(payload(300)).unwrap();
        });
        let server = script.start(Server::builder()).await;
        expect_greeting(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn an_async_function_may_speak_first() {
    harness::run(async {
        let server = ServerRunner::serve(Server::builder(), |mut ws| async move {
            ws.send("hello raw").await.unwrap();
            ws.send(vec![0xDE, 0xAD, 0xBE, 0xEF]).await.unwrap();
            ws.send(payload(300)).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        expect_greeting(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn shards_echo_too() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_sharded_echo(api, Server::builder(), 2).await;
            let mut clients = Vec::new();
            for _ in 0..4 {
                clients.push(server.open().await);
            }
            for (number, client) in clients.iter_mut().enumerate() {
                client.send(RawFrame::text(format!("{api:?} {number}"))).await;
            }
            for (number, client) in clients.iter_mut().enumerate() {
                client.expect_text(&format!("{api:?} {number}")).await;
            }
            drop(clients);
            server.stop().await;
        }
    });
}

#[test]
fn a_reply_reaches_a_peer_that_has_half_closed() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send(RawFrame::text("question")).await;
        client.half_close().await;
        client.expect_text("question").await;
        client.expect_eof().await;
        assert_eq!(server.closed().await.error, Some(ConnectionError::Eof));
    });
}

#[test]
fn many_replies_reach_a_peer_that_has_half_closed() {
    echo_test_with(patient, async |server| {
        let questions: Vec<RawFrame> =
            (0..50).map(|number| RawFrame::binary(vec![number; 100_000])).collect();
        let (mut reader, mut writer) = server.open().await.into_connection().split();
        let ask = async {
            writer.send_together(&questions).await;
            writer.half_close().await;
        };
        let read = async {
            for number in 0..50 {
                reader.expect_binary(&vec![number; 100_000]).await;
            }
            reader.expect_eof().await;
        };
        tokio::join!(ask, read);
    });
}

#[test]
fn two_small_sends_of_one_callback_are_one_write() {
    harness::run(async {
        // Without TCP_NODELAY, the kernel holds a second write for up to 40 ms, until the peer acknowledges the first.
        let script = Script::new().on_message(|conn, _| {
            conn.send_text("ab").unwrap();
            conn.send_text("cd").unwrap();
        });
        let server = script.start(Server::builder().tcp_nodelay(false)).await;
        let mut client = server.open().await;
        for _ in 0..20 {
            client.send(RawFrame::text("go")).await;
            client.expect_text("ab").await;
            assert_eq!(client.reader.buffered(), b"\x81\x02cd", "both frames arrive together");
            client.expect_text("cd").await;
        }
        close_normally(client).await;
        server.stop().await;
    });
}

#[test]
fn a_pipelined_batch_is_answered_with_one_write() {
    harness::run(async {
        for api in Api::ALL {
            let server = start_echo(api, Server::builder()).await;
            let mut client = server.open().await;
            for _ in 0..20 {
                client.send_together(&vec![RawFrame::text("a"); 100]).await;
                let first = client.recv_frame().await;
                assert_eq!(first.opcode, opcode::TEXT);
                assert_eq!(client.reader.buffered(), b"\x81\x01a".repeat(99), "{api:?}");
                for _ in 0..99 {
                    client.expect_text("a").await;
                }
            }
            close_normally(client).await;
            server.stop().await;
        }
    });
}
