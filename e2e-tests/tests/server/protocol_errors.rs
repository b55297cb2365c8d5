//! A peer that breaks the protocol gets one Close with the code, and then the end of the stream.

use e2e_tests::harness;
use e2e_tests::raw_peer::{Length, Mask, RawClient, RawFrame, Side, opcode};
use e2e_tests::server::{Event, ObservedServer, Script, echo_test, echo_test_with, patient};
use ws_server::{CloseCode, Message, Server, close::Initiator, error::ConnectionError};

/// Sends the bytes on a new connection and expects exactly one Close with that code, then the end of the stream.
async fn expect_refusal(server: &mut ObservedServer, what: &str, code: u16, bytes: &[u8]) {
    println!("{what}");
    let mut client = server.open().await;
    client.send_bytes(bytes).await;
    client.expect_close(code).await;
    client.expect_eof().await;
    drop(client);
    server.wait_for(&Event::Opened).await;
    let info = server.expect_closed().await;
    assert_eq!(info.initiator, Initiator::Library, "{info:?}");
    assert!(info.error.is_some_and(ConnectionError::is_peer_fault), "{info:?}");
    assert_eq!(info.sent.and_then(|frame| frame.code).map(u16::from), Some(code));
}

async fn expect_refusals(server: &mut ObservedServer, code: u16, cases: &[(&str, &[RawFrame])]) {
    for (what, frames) in cases {
        let bytes: Vec<Vec<u8>> = frames.iter().map(encode).collect();
        expect_refusal(server, what, code, &bytes.concat()).await;
    }
    server.expect_alive().await;
}

fn encode(frame: &RawFrame) -> Vec<u8> {
    frame.encode(Side::Client)
}

#[test]
fn a_frame_without_a_mask_is_1002() {
    echo_test(async |server| {
        let unmasked = |frame: RawFrame| [frame.mask(Mask::Absent)];
        let cases: [(&str, &[RawFrame]); 3] = [
            ("text", &unmasked(RawFrame::text("hello"))),
            ("ping", &unmasked(RawFrame::ping(""))),
            ("close", &unmasked(RawFrame::close(1000, ""))),
        ];
        expect_refusals(server, 1002, &cases).await;
    });
}

#[test]
fn a_reserved_opcode_is_1002() {
    echo_test(async |server| {
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            let frame = RawFrame::new(opcode, *b"");
            expect_refusal(server, &format!("opcode {opcode}"), 1002, &encode(&frame)).await;
        }
    });
}

#[test]
fn a_reserved_bit_is_1002() {
    echo_test(async |server| {
        for bit in [1, 2, 3] {
            for frame in [RawFrame::text("a"), RawFrame::ping("a"), RawFrame::close(1000, "")] {
                let frame = frame.rsv(bit);
                expect_refusal(server, &format!("{frame:?}"), 1002, &encode(&frame)).await;
            }
        }
    });
}

#[test]
fn a_control_frame_in_fragments_or_over_125_bytes_is_1002() {
    echo_test(async |server| {
        let cases: [(&str, &[RawFrame]); 5] = [
            ("ping in fragments", &[RawFrame::ping("a").not_final()]),
            ("pong in fragments", &[RawFrame::pong("a").not_final()]),
            ("close in fragments", &[RawFrame::close(1000, "").not_final()]),
            ("long ping", &[RawFrame::ping([0; 126])]),
            ("long close", &[RawFrame::close(1000, [b'a'; 124])]),
        ];
        expect_refusals(server, 1002, &cases).await;
    });
}

#[test]
fn fragments_out_of_order_are_1002() {
    echo_test(async |server| {
        let begin = || RawFrame::text("a").not_final();
        let cases: [(&str, &[RawFrame]); 5] = [
            ("continuation of nothing", &[RawFrame::continuation("a")]),
            ("continuation of nothing, not final", &[RawFrame::continuation("a").not_final()]),
            ("continuation of what is complete", &[RawFrame::text("a"), RawFrame::continuation("b")]),
            ("text inside a message", &[begin(), RawFrame::text("b")]),
            ("binary inside a message", &[begin(), RawFrame::binary("b").not_final()]),
        ];
        for (what, frames) in cases {
            let bytes: Vec<Vec<u8>> = frames.iter().map(encode).collect();
            let mut client = server.open().await;
            client.send_bytes(bytes.concat()).await;
            if what.contains("complete") {
                client.expect_text("a").await;
            }
            client.expect_close(1002).await;
            client.expect_eof().await;
        }
    });
}

#[test]
fn a_length_that_is_longer_than_needed_or_negative_is_1002() {
    echo_test(async |server| {
        let text = |length| [RawFrame::text("").length(length)];
        let cases: [(&str, &[RawFrame]); 6] = [
            ("0 in 16 bits", &text(Length::Bits16(0))),
            ("125 in 16 bits", &text(Length::Bits16(125))),
            ("125 in 64 bits", &text(Length::Bits64(125))),
            ("65535 in 64 bits", &text(Length::Bits64(65_535))),
            ("the top bit", &text(Length::Bits64(1 << 63))),
            ("all bits", &text(Length::Bits64(u64::MAX))),
        ];
        expect_refusals(server, 1002, &cases).await;
    });
}

#[test]
fn text_that_is_no_utf8_is_1007() {
    echo_test(async |server| {
        let cases: [(&str, &[RawFrame]); 4] = [
            ("an impossible byte", &[RawFrame::text([b'a', 0xFF])]),
            ("a surrogate", &[RawFrame::text([0xED, 0xA0, 0x80])]),
            ("a cut character", &[RawFrame::text([0xE2, 0x82])]),
            ("in a fragment", &[RawFrame::text([0xFF]).not_final()]),
        ];
        expect_refusals(server, 1007, &cases).await;
    });
}

#[test]
fn a_message_over_the_limit_is_1009() {
    echo_test_with(
        |builder| builder.max_message_size(128),
        async |server| {
            let mut client = server.open().await;
            client.send(RawFrame::text([b'a'; 128])).await;
            client.expect_text(&"a".repeat(128)).await;
            client.send(RawFrame::text([b'a'; 256])).await;
            client.expect_close(1009).await;
            client.expect_eof().await;
        },
    );
}

#[test]
fn a_length_over_the_limit_is_refused_at_the_header() {
    echo_test(async |server| {
        for length in [16 * 1024 * 1024 + 1, u64::MAX >> 1] {
            let frame = RawFrame::binary("").length(Length::Bits64(length));
            expect_refusal(server, &format!("{length} announced"), 1009, &encode(&frame)).await;
        }
    });
}

#[test]
fn a_frame_over_a_limit_of_its_own_is_1009() {
    echo_test_with(
        |builder| builder.protocol(|config| config.limits.max_frame_size = Some(10)),
        async |server| {
            let mut client = server.open().await;
            client
                .send_together(&[RawFrame::text([b'a'; 10]).not_final(), RawFrame::continuation([b'a'; 10])])
                .await;
            client.expect_text(&"a".repeat(20)).await;
            client.send(RawFrame::text([b'a'; 11])).await;
            client.expect_close(1009).await;
            client.expect_eof().await;
        },
    );
}

#[test]
fn nothing_behind_the_violation_is_delivered() {
    echo_test(async |server| {
        let mut client = server.open().await;
        let bad = RawFrame::new(3, *b"");
        client.send_together(&[RawFrame::text("before"), bad.clone(), RawFrame::text("behind"), bad]).await;
        client.expect_text("before").await;
        client.expect_close(1002).await;
        client.expect_eof().await;
        drop(client);
        let (events, _) = server.rest_and_closed().await;
        assert_eq!(events, [Event::Opened, Event::Message(Message::text("before"))]);
    });
}

#[test]
fn a_violation_leaves_other_connections_alone() {
    echo_test(async |server| {
        let mut good: RawClient = server.open().await;
        let mut bad = server.open().await;
        bad.send(RawFrame::new(opcode::TEXT, *b"").rsv(2)).await;
        bad.expect_close(1002).await;
        good.send(RawFrame::text("still here")).await;
        good.expect_text("still here").await;
    });
}

#[test]
fn a_protocol_error_behind_a_ping_is_answered_after_the_pong() {
    echo_test(async |server| {
        let mut client = server.open().await;
        client.send_together(&[RawFrame::ping([7; 125]), RawFrame::new(3, *b"")]).await;
        client.expect_pong(&[7; 125]).await;
        client.expect_close(1002).await;
        client.expect_eof().await;
    });
}

#[test]
fn a_violation_after_our_close_gets_no_second_close() {
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
fn a_client_that_uploads_50_mib_too_much_can_read_the_1009() {
    echo_test_with(patient, async |server| {
        // Encoded first, because that blocks the thread that the server also runs on.
        let upload = RawFrame::binary(vec![0; 50 << 20]).encode(Side::Client);
        let mut client = server.open().await;
        client.send_bytes(upload).await;
        client.expect_close(1009).await;
        client.expect_eof().await;
    });
}
