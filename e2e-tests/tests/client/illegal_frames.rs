//! Frames that a server must not send: each is answered with exactly one Close, and the connection ends.

use e2e_tests::raw_peer::{Length, Mask, RawFrame};
use ws_client::{Message, close::Initiator, error::ConnectionError};
use ws_proto::error::ProtocolError;

use crate::support::{drain, open, run};

/// Sends a message, then `frames`. Checks that the client receives only the message and closes with `code`.
async fn expect_refusal(frames: &[RawFrame], code: u16, expected: ProtocolError) {
    let (mut ws, mut server) = open().await;
    let end = async {
        server.send(RawFrame::text("fine")).await;
        server.send_together(frames).await;
        let reason = server.expect_close(code).await;
        assert!(!reason.is_empty(), "it says why");
        // The client ends its side after the Close, and discards what still arrives.
        server.expect_eof().await;
        server.send(RawFrame::text("ignored")).await;
        drop(server);
    };
    let ((messages, info), ()) = tokio::join!(drain(&mut ws), end);
    assert_eq!(messages, [Message::text("fine")], "{frames:?}");
    assert_eq!(info.error, Some(ConnectionError::Protocol(expected)), "{frames:?}");
    assert_eq!((info.initiator, info.code(), info.is_clean()), (Initiator::Library, 1006, false));
    assert_eq!(info.sent.unwrap().code.unwrap().get(), code);
}

#[test]
fn a_masked_frame() {
    run(async {
        let masked = |frame: RawFrame| frame.mask(Mask::Key([1, 2, 3, 4]));
        for frame in [RawFrame::text("a"), RawFrame::text(""), RawFrame::ping("p"), RawFrame::close(1000, "")]
        {
            expect_refusal(&[masked(frame)], 1002, ProtocolError::MaskedFrame).await;
        }
    });
}

#[test]
fn reserved_bits() {
    run(async {
        for (bit, value) in [(1, 0x40), (2, 0x20), (3, 0x10)] {
            let expected = ProtocolError::ReservedBits(value);
            expect_refusal(&[RawFrame::text("a").rsv(bit)], 1002, expected).await;
            expect_refusal(&[RawFrame::ping("").rsv(bit)], 1002, expected).await;
        }
    });
}

#[test]
fn reserved_opcodes() {
    run(async {
        for opcode in [3, 7, 11, 15] {
            let expected = ProtocolError::ReservedOpcode(opcode);
            expect_refusal(&[RawFrame::new(opcode, *b"")], 1002, expected).await;
        }
    });
}

#[test]
fn control_frames_in_fragments_or_too_long() {
    run(async {
        let fragment = RawFrame::ping("p").not_final();
        expect_refusal(&[fragment], 1002, ProtocolError::FragmentedControlFrame).await;
        expect_refusal(&[RawFrame::ping([0; 126])], 1002, ProtocolError::ControlFrameTooLong).await;
        let long_close = RawFrame::close(1000, [b'a'; 124]);
        expect_refusal(&[long_close], 1002, ProtocolError::ControlFrameTooLong).await;
    });
}

#[test]
fn fragments_out_of_order() {
    run(async {
        let begun = RawFrame::text("a").not_final();
        expect_refusal(&[RawFrame::continuation("a")], 1002, ProtocolError::UnexpectedContinuation).await;
        expect_refusal(&[begun.clone(), RawFrame::text("b")], 1002, ProtocolError::NestedMessage).await;
        expect_refusal(&[begun, RawFrame::binary("b")], 1002, ProtocolError::NestedMessage).await;
    });
}

#[test]
fn lengths_in_too_many_bytes() {
    run(async {
        for length in [Length::Bits16(1), Length::Bits16(125), Length::Bits64(1), Length::Bits64(65535)] {
            let frame = RawFrame::binary([0]).length(length);
            expect_refusal(&[frame], 1002, ProtocolError::NonMinimalLength).await;
        }
        let top_bit = RawFrame::binary([0]).length(Length::Bits64(1 << 63));
        expect_refusal(&[top_bit], 1002, ProtocolError::LengthTopBitSet).await;
    });
}

#[test]
fn text_that_is_not_utf8() {
    run(async {
        let invalid = ProtocolError::InvalidUtf8;
        expect_refusal(&[RawFrame::text([0xFF])], 1007, invalid).await;
        // A surrogate, an overlong form, and an incomplete character.
        for bytes in [&[0xED, 0xA0, 0x80][..], &[0xC0, 0xAF], &[b'a', 0xE2, 0x82]] {
            expect_refusal(&[RawFrame::text(bytes)], 1007, invalid).await;
        }
        // In the second of three fragments. The client does not wait for the third.
        let fragments = [RawFrame::text("a").not_final(), RawFrame::continuation([0xFF]).not_final()];
        expect_refusal(&fragments, 1007, invalid).await;
    });
}

#[test]
fn an_illegal_frame_after_our_close_gets_no_second_one() {
    run(async {
        let (mut ws, mut server) = open().await;
        let client = tokio::spawn(async move { ws.close(ws_client::CloseCode::NORMAL, "").await });
        server.expect_close(1000).await;
        server.send(RawFrame::new(3, *b"")).await;
        server.expect_eof().await;
        drop(server);
        let info = client.await.unwrap();
        assert_eq!(info.error, Some(ProtocolError::ReservedOpcode(3).into()));
    });
}
