use std::error::Error as _;

use http::StatusCode;

use super::*;
use crate::{
    frame::Full,
    handshake::{ClientRequestError, RequestError, ResponseError, ResponsePartsError},
    utf8::InvalidUtf8,
};

#[test]
fn each_fault_has_its_close_code() {
    let cases: [(ConnectionError, Option<u16>); 10] = [
        (ProtocolError::UnmaskedFrame.into(), Some(1002)),
        (ProtocolError::InvalidUtf8.into(), Some(1007)),
        (ProtocolError::InvalidCloseReason.into(), Some(1007)),
        (LimitExceeded::MessageSize { limit: 1 }.into(), Some(1009)),
        (LimitExceeded::Fragments { limit: 1 }.into(), Some(1008)),
        (TimedOut::Idle.into(), Some(1001)),
        (TimedOut::Message.into(), Some(1008)),
        (ConnectionError::MemoryBudget, Some(1013)),
        (ConnectionError::Eof, None),
        (ConnectionError::Internal, Some(1011)),
    ];
    for (error, code) in cases {
        assert_eq!(error.close_code().map(CloseCode::get), code, "{error}");
    }
}

#[test]
fn errors_stay_small() {
    assert!(size_of::<ConnectionError>() <= 24);
    assert!(size_of::<SendError>() <= 2);
}

/// One value of every variant of every error of the crate.
fn all_errors() -> Vec<Box<dyn Error>> {
    let mut all: Vec<Box<dyn Error>> = Vec::new();
    let protocol = [
        ProtocolError::ReservedOpcode(3),
        ProtocolError::ReservedBits(0x20),
        ProtocolError::UnmaskedFrame,
        ProtocolError::MaskedFrame,
        ProtocolError::FragmentedControlFrame,
        ProtocolError::ControlFrameTooLong,
        ProtocolError::NonMinimalLength,
        ProtocolError::LengthTopBitSet,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::NestedMessage,
        ProtocolError::InvalidUtf8,
        ProtocolError::InvalidDeflate,
        ProtocolError::ClosePayloadTooShort,
        ProtocolError::InvalidCloseCode(1005),
        ProtocolError::InvalidCloseReason,
    ];
    let limits = [
        LimitExceeded::MessageSize { limit: 1 },
        LimitExceeded::FrameSize { limit: 1 },
        LimitExceeded::Fragments { limit: 1 },
        LimitExceeded::ControlFrames { limit: 1 },
        LimitExceeded::ControlRate { limit: 1 },
    ];
    let deadlines =
        [TimedOut::Idle, TimedOut::Keepalive, TimedOut::Close, TimedOut::Write, TimedOut::Message];
    for error in protocol {
        all.extend([Box::new(error) as Box<dyn Error>, Box::new(ConnectionError::from(error))]);
    }
    for error in limits {
        all.extend([Box::new(error) as Box<dyn Error>, Box::new(ConnectionError::from(error))]);
    }
    for error in deadlines {
        all.extend([Box::new(error) as Box<dyn Error>, Box::new(ConnectionError::from(error))]);
    }
    let transport = ConnectionError::Transport(io::ErrorKind::BrokenPipe);
    for error in [ConnectionError::Eof, transport, ConnectionError::MemoryBudget, ConnectionError::Internal] {
        all.push(Box::new(error));
    }
    all.extend([SendError::Closed(()), SendError::Full(())].map(|error| Box::new(error) as Box<dyn Error>));
    for error in [ControlError::Closed, ControlError::Full, ControlError::TooLong { len: 126 }] {
        all.push(Box::new(error));
    }
    all.push(Box::new(ConfigError::duration("close_timeout", Duration::ZERO)));
    all.push(Box::new(CloseError::InvalidCode(1005)));
    all.extend([Box::new(InvalidUtf8) as Box<dyn Error>, Box::new(Full)]);
    all.extend(handshake_errors());
    all
}

fn handshake_errors() -> Vec<Box<dyn Error>> {
    let mut all: Vec<Box<dyn Error>> = Vec::new();
    for error in [
        RequestError::Malformed,
        RequestError::HeadTooLarge,
        RequestError::TooManyHeaders,
        RequestError::Version,
        RequestError::Http10,
        RequestError::Method,
        RequestError::Target,
        RequestError::Host,
        RequestError::Body,
        RequestError::Upgrade,
        RequestError::Connection,
        RequestError::Key,
        RequestError::WebSocketVersion,
        RequestError::Header("sec-websocket-protocol"),
    ] {
        all.push(Box::new(error));
    }
    for error in [
        ResponseError::Malformed,
        ResponseError::HeadTooLarge,
        ResponseError::TooManyHeaders,
        ResponseError::Refused(StatusCode::FORBIDDEN),
        ResponseError::Version,
        ResponseError::Upgrade,
        ResponseError::Connection,
        ResponseError::AcceptMissing,
        ResponseError::AcceptMismatch,
        ResponseError::Subprotocol,
        ResponseError::Extension,
    ] {
        all.push(Box::new(error));
    }
    for error in [
        ClientRequestError::Host("a b".to_owned()),
        ClientRequestError::Path("a b".to_owned()),
        ClientRequestError::ReservedHeader("host".to_owned()),
        ClientRequestError::Subprotocol("a b".to_owned()),
    ] {
        all.push(Box::new(error));
    }
    for error in [
        ResponsePartsError::Subprotocol("chat".to_owned()),
        ResponsePartsError::ReservedHeader("upgrade".to_owned()),
    ] {
        all.push(Box::new(error));
    }
    all
}

#[test]
fn no_error_repeats_its_cause() {
    for error in all_errors() {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'), "{error:?}");
        if let Some(source) = error.source() {
            assert!(!text.contains(&source.to_string()), "{text:?} repeats {source:?}");
        }
    }
}

#[test]
fn a_connection_error_has_the_fault_as_its_source() {
    let fault = ProtocolError::ReservedOpcode(3);
    let source = |error: &ConnectionError| error.source().map(ToString::to_string);
    assert_eq!(source(&fault.into()), Some(fault.to_string()));
    assert_eq!(source(&TimedOut::Idle.into()), Some(TimedOut::Idle.to_string()));
    let limit = LimitExceeded::FrameSize { limit: 7 };
    assert_eq!(source(&limit.into()), Some(limit.to_string()));
    assert_eq!(source(&ConnectionError::Eof), None);
}

#[test]
fn a_log_line_has_every_cause_once() {
    let error = ConnectionError::from(ProtocolError::ReservedOpcode(3));
    assert_eq!(WithCauses(&error).to_string(), "the peer violated the protocol: reserved opcode 3");
    assert_eq!(
        WithCauses(&io::Error::other(error)).to_string(),
        "the peer violated the protocol: reserved opcode 3"
    );

    #[derive(Debug, thiserror::Error)]
    #[error("bad request: {0}")]
    struct Repeats(#[source] RequestError);
    let repeats = Repeats(RequestError::Malformed);
    assert_eq!(WithCauses(&repeats).to_string(), "bad request: malformed HTTP request");
}
