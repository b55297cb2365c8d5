//! Situations that the library's predecessor got wrong, one test each: closing, and what is on the wire.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, RecvError, Side, opcode};
use e2e_tests::server::{
    Api, Event, Script, ServerRunner, close_normally, echo_test, echo_test_with, patient, start_echo,
};
use std::time::Duration;
use ws_server::{CloseCode, CloseError, Completion, ConnectionError, Message, SendError, Server};

const MIB: usize = 1024 * 1024;

#[test]
fn d7_a_ping_and_close_in_one_segment_get_pong_close_and_the_end() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::ping("ping"), RawFrame::close(1000, "bye")]).await;
        client.expect_pong(b"ping").await;
        assert_eq!(client.expect_close(1000).await, "bye");
        client.expect_eof().await;
        drop(client);
        assert!(server.closed().await.is_clean());
    });
}

#[test]
fn d7_b_a_protocol_error_behind_a_ping_is_still_told() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::ping([7; 125]), RawFrame::new(3, *b"")]).await;
        client.expect_pong(&[7; 125]).await;
        client.expect_close(1002).await;
        client.expect_eof().await;
    });
}

#[test]
fn d7_c_a_close_from_a_peer_that_does_not_read_frees_the_connection_in_time() {
    harness::run(async {
        let builder = || {
            Server::builder().close_timeout(Duration::from_millis(200)).write_timeout(None).keepalive(None)
        };
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; 8 * MIB]).unwrap());
        let mut server = script.start(builder()).await;
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        server.expect(Event::Opened).await;
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        let info = server.expect_closed().await;
        assert_eq!((info.code(), info.sent.is_some()), (1000, false), "ours was never written");
        server.wait_for_connections(0).await;
        drop(client);
        server.stop().await;

        let server = ServerRunner::serve(builder(), async |mut ws| {
            ws.send(vec![0; 8 * MIB]).await.unwrap();
            while ws.recv().await.is_some() {}
        })
        .await;
        let mut client = server.open().await;
        client.send(RawFrame::close(1000, "")).await;
        server.wait_for_connections(0).await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn d7_d_nothing_follows_our_close() {
    harness::run(async {
        let script = Script::new().on_open(|conn| {
            conn.send_ping(b"ping").unwrap();
            conn.send_text("accepted before").unwrap();
            conn.close(CloseCode::NORMAL, "");
            assert!(matches!(conn.send_text("after"), Err(SendError::InvalidState(_))));
        });
        let server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_ping(b"ping").await;
        client.expect_text("accepted before").await;
        client.expect_close(1000).await;
        // Neither data nor answers to what comes now.
        client.send_together(&[RawFrame::text("a"), RawFrame::ping("b"), RawFrame::close(1000, "")]).await;
        client.expect_eof().await;
        drop(client);
        server.stop().await;
    });
}

#[test]
fn d7_e_a_violation_after_our_close_gets_no_second_close() {
    harness::run(async {
        let script = Script::new().on_open(|conn| conn.close(CloseCode::NORMAL, ""));
        let mut server = script.start(Server::builder()).await;
        let mut client = server.open().await;
        client.expect_close(1000).await;
        client.send(RawFrame::new(7, *b"")).await;
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(matches!(info.error, Some(ConnectionError::Protocol(_))), "{info:?}");
        server.stop().await;
    });
}

#[test]
fn d7_f_text_behind_a_close_is_not_delivered() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client
            .send_together(&[RawFrame::close(1000, ""), RawFrame::text("behind"), RawFrame::ping("")])
            .await;
        client.expect_close(1000).await;
        client.expect_eof().await;
        drop(client);
        let (events, info) = server.rest_and_closed().await;
        assert_eq!(events, [Event::Opened]);
        assert!(info.is_clean());
    });
}

#[test]
fn d7_g_closes_that_cross_during_a_large_send_leave_a_complete_frame_and_our_close() {
    harness::run(async {
        let script = Script::new().on_message(|conn, _| {
            conn.send_binary(vec![9; 8 * MIB]).unwrap();
            conn.close(CloseCode::new(4000).unwrap(), "ours");
        });
        let mut server = script.start(patient(Server::builder())).await;
        let mut client = server.open().await;
        client.send(RawFrame::text("go")).await;
        server.wait_for(&Event::Message(Message::text("go"))).await;
        client.send(RawFrame::close(4001, "theirs")).await;
        client.expect_binary(&vec![9; 8 * MIB]).await;
        assert_eq!(client.expect_close(4000).await, "ours");
        client.expect_eof().await;
        drop(client);
        let info = server.closed().await;
        assert!(info.is_clean(), "{info:?}");
        assert_eq!(info.code(), 4001);
        server.stop().await;
    });
}

#[test]
fn d7_h_what_was_sent_before_a_close_reaches_a_client_that_is_uploading() {
    harness::run(async {
        let message = vec![5; MIB];
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
                assert_eq!(reader.expect_end().await, RecvError::Eof, "a reset may destroy what was sent");
            };
            let ((), writer) = tokio::join!(watching, uploading);
            drop(writer.unwrap());
        }
        server.stop().await;
    });
}

#[test]
fn d7_i_whoever_uploads_50_mib_too_much_reads_the_1009() {
    echo_test_with(patient, async |server| {
        // Made before, for it takes a while in which the server's clock would stand still.
        let upload = RawFrame::binary(vec![0; 50 * MIB]).encode(Side::Client);
        let mut client = server.open().await;
        client.send_bytes(upload).await;
        client.expect_close(1009).await;
        client.expect_eof().await;
    });
}

#[test]
fn d7_n_private_codes_can_be_sent_and_reserved_ones_cannot() {
    for code in [1005, 1006, 1015, 0, 999, 1004, 2999, 5000] {
        assert_eq!(CloseCode::new(code), Err(CloseError::InvalidCode(code)));
    }
    harness::run(async {
        for code in [3000, 3999, 4000, 4999, 1012, 1013, 1014] {
            let script =
                Script::new().on_open(move |conn| conn.close(CloseCode::new(code).unwrap(), "own reasons"));
            let server = script.start(Server::builder()).await;
            let mut client = server.open().await;
            assert_eq!(client.expect_close(code).await, "own reasons");
            client.send(RawFrame::close(code, "")).await;
            client.expect_eof().await;
            drop(client);
            server.stop().await;
        }
    });
}

#[test]
fn d7_o_a_long_reason_is_cut_between_characters() {
    harness::run(async {
        for prefix in ["", "a", "ab"] {
            let script = Script::new().on_open(move |conn| {
                conn.close(CloseCode::NORMAL, &format!("{prefix}{}", "€".repeat(67)));
            });
            let server = script.start(Server::builder()).await;
            let mut client = server.open().await;
            // The raw peer refuses a reason that is no UTF-8.
            let reason = client.expect_close(1000).await;
            let characters = (123 - prefix.len()) / 3;
            assert_eq!(reason, format!("{prefix}{}", "€".repeat(characters)));
            drop(client);
            server.stop().await;
        }
    });
}

#[test]
fn d7_p_the_limit_of_a_message_is_none_of_a_ping() {
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

#[test]
fn d7_q_text_may_be_cut_inside_a_character_and_fails_at_the_first_impossible_byte() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let euro = "€".as_bytes();
        client.send(RawFrame::text(&euro[..1]).not_final()).await;
        client.send(RawFrame::continuation(&euro[1..2]).not_final()).await;
        client.send(RawFrame::continuation(&euro[2..])).await;
        client.expect_text("€").await;

        client.send(RawFrame::text(&euro[..2]).not_final()).await;
        client.send(RawFrame::continuation([0xFF]).not_final()).await;
        // The third fragment is never sent.
        client.expect_close(1007).await;
        client.expect_eof().await;
    });
}

#[test]
fn d7_r_a_send_that_is_cut_off_is_told() {
    harness::run(async {
        let script = Script::new().on_open(|conn| conn.send_binary(vec![0; 16 * MIB]).unwrap());
        let mut server = script.start(Server::builder()).await;
        let client = server.open().await;
        server.expect(Event::Opened).await;
        client.into_connection().reset();
        server.expect(Event::WriteComplete(Completion::CutOff)).await;
        server.expect_closed().await;
        server.stop().await;
    });
}

#[test]
fn d7_u_a_reply_reaches_a_peer_that_has_half_closed() {
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
fn d7_u_many_replies_reach_a_peer_that_has_half_closed() {
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
fn d7_v_first_frames_in_the_segment_of_the_request_come_after_on_open() {
    echo_test(async |server| {
        let mut client = server.connect().await;
        let frames = client.writer.encode(&RawFrame::text("first"));
        let request = client.request("/").to_bytes();
        client.send_bytes([request, frames].concat()).await;
        assert_eq!(client.recv_head().await.status(), 101);
        client.expect_text("first").await;
        server.expect(Event::Opened).await;
        server.expect(Event::Message(Message::text("first"))).await;
        close_normally(client).await;
    });
}

#[test]
fn d7_w_small_sends_back_to_back_go_out_together() {
    harness::run(async {
        // Without TCP_NODELAY two writes would be 40 ms apart, until the peer acknowledges the first.
        let script = Script::new().on_message(|conn, _| {
            conn.send_text("ab").unwrap();
            conn.send_text("cd").unwrap();
        });
        let server = script.start(Server::builder().tcp_nodelay(false)).await;
        let mut client = server.open().await;
        for _ in 0..20 {
            client.send(RawFrame::text("go")).await;
            client.expect_text("ab").await;
            assert_eq!(client.reader.buffered(), b"\x81\x02cd", "it came with the first");
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
