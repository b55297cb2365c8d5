//! Which Close frames are valid, how they are answered, and which may be sent.

use e2e_tests::harness;
use e2e_tests::raw_peer::{RawFrame, opcode};
use e2e_tests::server::{Event, ObservedServer, Script, echo_test};
use ws_server::{CloseCode, Server, close::Initiator, error::CloseError};

async fn answer(
    server: &mut ObservedServer,
    close: RawFrame,
) -> (Option<(u16, String)>, ws_server::CloseInfo) {
    let mut client = server.open().await;
    client.send(close).await;
    let frame = client.recv_frame().await;
    assert_eq!(frame.opcode, opcode::CLOSE);
    client.expect_eof().await;
    drop(client);
    server.wait_for(&Event::Opened).await;
    let answer = frame.close_code().map(|(code, reason)| (code, reason.to_owned()));
    (answer, server.expect_closed().await)
}

#[test]
fn a_valid_code_and_its_reason_are_echoed() {
    echo_test(async |server| {
        for (code, reason) in [
            (1000, ""),
            (1000, "bye"),
            (1001, ""),
            (1002, ""),
            (1003, ""),
            (1007, ""),
            (1008, ""),
            (1009, ""),
            (1010, ""),
            (1011, ""),
            (1012, ""),
            (1013, ""),
            (1014, "bad gateway"),
            (3000, ""),
            (3500, "custom close"),
            (3999, ""),
            (4000, ""),
            (4999, "privat, später"),
        ] {
            let (echoed, info) = answer(server, RawFrame::close(code, reason)).await;
            assert_eq!(echoed, Some((code, reason.to_owned())));
            assert!(info.is_clean(), "{info:?}");
            assert_eq!((info.initiator, info.code(), info.reason()), (Initiator::Remote, code, reason));
            assert_eq!(info.sent.and_then(|frame| frame.code).map(CloseCode::get), Some(code));
        }
    });
}

#[test]
fn a_reason_of_123_bytes_is_echoed_in_full() {
    echo_test(async |server| {
        let reason = "r".repeat(123);
        let (echoed, _) = answer(server, RawFrame::close(1000, &reason)).await;
        assert_eq!(echoed, Some((1000, reason)));
    });
}

#[test]
fn an_empty_close_is_answered_with_an_empty_one() {
    echo_test(async |server| {
        let (echoed, info) = answer(server, RawFrame::new(opcode::CLOSE, *b"")).await;
        assert_eq!(echoed, None);
        assert!(info.is_clean(), "{info:?}");
        assert_eq!(info.code(), 1005, "as browsers say it");
    });
}

#[test]
fn a_code_that_must_not_be_sent_is_1002() {
    echo_test(async |server| {
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            let (answer, info) = answer(server, RawFrame::close(code, "")).await;
            assert_eq!(answer.map(|(code, _)| code), Some(1002), "for {code}");
            assert!(!info.is_clean(), "{info:?}");
        }
    });
}

#[test]
fn a_close_of_one_byte_is_1002() {
    echo_test(async |server| {
        let (answer, _) = answer(server, RawFrame::new(opcode::CLOSE, [3])).await;
        assert_eq!(answer.map(|(code, _)| code), Some(1002));
    });
}

#[test]
fn a_reason_that_is_no_utf8_is_1007() {
    echo_test(async |server| {
        let (answer, _) = answer(server, RawFrame::close(1000, [0xFE, 0xFF])).await;
        assert_eq!(answer.map(|(code, _)| code), Some(1007));
    });
}

#[test]
fn private_codes_can_be_sent_and_reserved_ones_cannot() {
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
fn a_long_reason_is_cut_between_characters() {
    harness::run(async {
        for prefix in ["", "a", "ab"] {
            let script = Script::new().on_open(move |conn| {
                conn.close(CloseCode::NORMAL, &format!("{prefix}{}", "€".repeat(67)));
            });
            let server = script.start(Server::builder()).await;
            let mut client = server.open().await;
            // The raw peer fails if the reason is not UTF-8.
            let reason = client.expect_close(1000).await;
            let characters = (123 - prefix.len()) / 3;
            assert_eq!(reason, format!("{prefix}{}", "€".repeat(characters)));
            drop(client);
            server.stop().await;
        }
    });
}
