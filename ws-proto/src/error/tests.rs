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

/// One value of each variant. It does not compile if a variant is missing.
macro_rules! each_variant {
    ($error:ident: $($variant:ident $(($value:expr))? $({ $field:ident: $set:expr })?),+ $(,)?) => {{
        let _is_complete = |error: &$error| match error { $($error::$variant { .. } => {})+ };
        [$($error::$variant $(($value))? $({ $field: $set })?),+]
    }};
}

fn boxed<E: Error + 'static>(errors: impl IntoIterator<Item = E>) -> impl Iterator<Item = Box<dyn Error>> {
    errors.into_iter().map(|error| Box::new(error) as Box<dyn Error>)
}

/// One value of each variant of each error of the crate.
fn all_errors() -> Vec<Box<dyn Error>> {
    let protocol = each_variant!(
        ProtocolError: ReservedOpcode(3), ReservedBits(0x20), UnmaskedFrame, MaskedFrame, FragmentedControlFrame,
        ControlFrameTooLong, NonMinimalLength, LengthTopBitSet, UnexpectedContinuation, NestedMessage, InvalidUtf8,
        InvalidDeflate, ClosePayloadTooShort, InvalidCloseCode(1005), InvalidCloseReason,
    );
    let limits = each_variant!(
        LimitExceeded: MessageSize { limit: 1 }, FrameSize { limit: 1 }, Fragments { limit: 1 },
        ControlFrames { limit: 1 }, ControlRate { limit: 1 },
    );
    let deadlines = each_variant!(TimedOut: Idle, Keepalive, Close, Write, Message);
    let connection = each_variant!(
        ConnectionError: Protocol(protocol[0]), Limit(limits[0]), TimedOut(deadlines[0]), Eof,
        Transport(io::ErrorKind::BrokenPipe), MemoryBudget, Internal,
    );
    let mut all = Vec::new();
    all.extend(boxed(protocol).chain(boxed(protocol.map(ConnectionError::from))));
    all.extend(boxed(limits).chain(boxed(limits.map(ConnectionError::from))));
    all.extend(boxed(deadlines).chain(boxed(deadlines.map(ConnectionError::from))));
    all.extend(boxed(connection));
    all.extend(boxed(each_variant!(SendError: Closed(()), Full(()))));
    all.extend(boxed(each_variant!(ControlError: Closed, Full, TooLong { len: 126 })));
    all.extend(boxed(each_variant!(CloseError: InvalidCode(1005))));
    all.extend(boxed([ConfigError::duration("close_timeout", Duration::ZERO)]));
    all.extend(boxed([InvalidUtf8]).chain(boxed([Full])));
    all.extend(handshake_errors());
    all
}

fn handshake_errors() -> impl Iterator<Item = Box<dyn Error>> {
    let text = || "a b".to_owned();
    let request = each_variant!(
        RequestError: Malformed, HeadTooLarge, TooManyHeaders, Version, Http10, Method, Target, Host, Body, Upgrade,
        Connection, Key, WebSocketVersion, Header("sec-websocket-protocol"), NotConnect, Protocol, ConnectVersion,
    );
    let response = each_variant!(
        ResponseError: Malformed, HeadTooLarge, TooManyHeaders, Refused(StatusCode::FORBIDDEN), Version, Upgrade,
        Connection, AcceptMissing, AcceptMismatch, Subprotocol, Extension,
    );
    let client_request = each_variant!(
        ClientRequestError: Host(text()), Path(text()), ReservedHeader(text()), Subprotocol(text()),
    );
    let response_parts =
        each_variant!(ResponsePartsError: Subprotocol(text()), ReservedHeader(text()), ExtendedConnect);
    boxed(request).chain(boxed(response)).chain(boxed(client_request)).chain(boxed(response_parts))
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
