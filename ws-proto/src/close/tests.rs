use super::{CloseCode, CloseFrame, CloseInfo, Initiator, MAX_CLOSE_REASON};
use crate::error::{ConnectionError, ProtocolError, TimedOut};

fn encode(frame: &CloseFrame) -> Vec<u8> {
    let mut out = [0; 125];
    let len = frame.encode(&mut out);
    out[..len].to_vec()
}

#[test]
fn exactly_the_codes_of_rfc_6455_and_the_registry_are_valid() {
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(CloseCode::new(code).is_ok(), valid, "{code}");
    }
}

#[test]
fn codes_that_exist_only_in_apis_cannot_be_built() {
    for code in [1004, 1005, 1006, 1015] {
        assert!(CloseCode::new(code).is_err());
    }
}

#[test]
fn the_code_is_encoded_in_big_endian() {
    assert_eq!(encode(&CloseFrame::new(CloseCode::NORMAL, "")), [0x03, 0xe8]);
    assert_eq!(encode(&CloseFrame::new(CloseCode::PROTOCOL_ERROR, "")), [0x03, 0xea]);
    assert_eq!(encode(&CloseFrame::new(CloseCode::MESSAGE_TOO_BIG, "")), [0x03, 0xf1]);
}

#[test]
fn an_empty_payload_is_a_close_without_a_code() {
    assert_eq!(CloseFrame::parse(&[]), Ok(CloseFrame::default()));
    assert_eq!(encode(&CloseFrame::default()), Vec::<u8>::new());
}

#[test]
fn a_payload_of_one_byte_is_refused() {
    assert_eq!(CloseFrame::parse(&[3]), Err(ProtocolError::ClosePayloadTooShort));
}

#[test]
fn a_bad_code_is_reported_before_a_bad_reason() {
    assert_eq!(CloseFrame::parse(b"\x03\xed\xff"), Err(ProtocolError::InvalidCloseCode(1005)));
    assert_eq!(CloseFrame::parse(b"\x03\xe8\xfe\xff"), Err(ProtocolError::InvalidCloseReason));
}

#[test]
fn code_and_reason_parse_back() {
    let frame = CloseFrame::new(CloseCode::new(4999).unwrap(), "private close");
    assert_eq!(CloseFrame::parse(&encode(&frame)), Ok(frame));
}

#[test]
fn a_reason_of_123_bytes_is_sent_in_full() {
    let reason = "r".repeat(MAX_CLOSE_REASON);
    assert_eq!(&*CloseFrame::new(CloseCode::NORMAL, &reason).reason, reason);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let frame = CloseFrame::new(CloseCode::NORMAL, &"€".repeat(70));
    assert_eq!(&*frame.reason, "€".repeat(41));
    let by_hand = CloseFrame { code: Some(CloseCode::NORMAL), reason: "€".repeat(70).into() };
    assert_eq!(encode(&by_hand).len(), 2 + 123);
}

#[test]
fn codes_are_reported_as_browsers_do() {
    let mut info = CloseInfo::new(Initiator::Remote);
    assert_eq!((info.code(), info.reason()), (1006, ""));
    info.received = Some(CloseFrame::default());
    assert_eq!(info.code(), 1005);
    info.received = Some(CloseFrame::new(CloseCode::GOING_AWAY, "bye"));
    assert_eq!((info.code(), info.reason()), (1001, "bye"));
}

#[test]
fn a_close_is_clean_with_both_close_frames_and_no_error() {
    let mut info = CloseInfo::new(Initiator::Local);
    info.sent = Some(CloseFrame::default());
    assert!(!info.is_clean());
    info.received = Some(CloseFrame::default());
    assert!(info.is_clean());
    info.error = Some(ConnectionError::Eof);
    assert!(!info.is_clean());
    assert_eq!(info.result(), Err(ConnectionError::Eof));
}

#[test]
fn a_close_prints_as_one_line_with_both_codes_and_the_causes() {
    let mut info = CloseInfo::new(Initiator::Remote);
    info.received = Some(CloseFrame::new(CloseCode::GOING_AWAY, "restart"));
    info.sent = Some(CloseFrame::new(CloseCode::GOING_AWAY, "ours"));
    assert_eq!(info.to_string(), "closed by the peer: received 1001 \"restart\", sent 1001");

    let mut info = CloseInfo::new(Initiator::Library);
    info.sent = Some(CloseFrame::new(CloseCode::PROTOCOL_ERROR, "protocol error"));
    info.error = Some(ProtocolError::ReservedOpcode(3).into());
    assert_eq!(
        info.to_string(),
        "closed by the library: received no Close, sent 1002; the peer violated the protocol: reserved opcode 3"
    );

    let mut info = CloseInfo::new(Initiator::Local);
    info.received = Some(CloseFrame::default());
    info.error = Some(TimedOut::Close.into());
    assert_eq!(
        info.to_string(),
        "closed by this side: received a Close without a code, sent no Close; a deadline passed: closing handshake not \
         complete within the close timeout"
    );
}

#[test]
fn a_peers_reason_is_printed_escaped_and_shortened() {
    let hostile = CloseFrame::new(CloseCode::NORMAL, "a\"b\r\nforged: line\u{1b}[31m\u{202e}");
    assert_eq!(hostile.to_string(), r#"1000 "a\"b\r\nforged: line\u{1b}[31m\u{202e}""#);
    let long = CloseFrame::new(CloseCode::NORMAL, &"é".repeat(61));
    assert_eq!(long.to_string(), format!("1000 \"{}…\"", "é".repeat(60)));
    let full = CloseFrame::new(CloseCode::NORMAL, &"é".repeat(60));
    assert_eq!(full.to_string(), format!("1000 \"{}\"", "é".repeat(60)));
}
