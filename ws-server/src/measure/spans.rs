//! The spans of `tracing`. They have no payloads, no queries, no headers and no close reasons.

use tracing::{Span, field::Empty};
use ws_proto::close::Initiator;

use super::{Closed, HandshakeEnd, HandshakeOutcome, Opened, counters::code_of};

pub(crate) fn handshake() -> Span {
    tracing::info_span!(
        "ws.handshake",
        peer.addr = Empty,
        ws.handshake.outcome = Empty,
        http.response.status_code = Empty,
        duration_ms = Empty
    )
}

pub(crate) fn end_handshake(span: &Span, end: &HandshakeEnd) {
    if span.is_disabled() {
        return;
    }
    if let Some(peer) = end.peer {
        span.record("peer.addr", tracing::field::display(peer));
    }
    let (outcome, status) = match end.outcome {
        HandshakeOutcome::Accepted => ("accepted", None),
        HandshakeOutcome::Refused(status) => ("refused", Some(status)),
        HandshakeOutcome::AnsweredHttp(status) => ("answered_http", Some(status)),
        HandshakeOutcome::Failed(failure) => (failure.name(), None),
    };
    span.record("ws.handshake.outcome", outcome);
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
    span.record("duration_ms", millis(end.duration));
}

pub(crate) fn connection(opened: &Opened, handshake: &Span) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "ws.connection",
        ws.connection.id = opened.id,
        peer.addr = Empty,
        url.path = opened.path,
        ws.subprotocol = Empty,
        ws.compression = opened.compression,
        ws.close.code = Empty,
        ws.close.initiator = Empty,
        ws.messages.in = Empty,
        ws.messages.out = Empty,
        ws.bytes.in = Empty,
        ws.bytes.out = Empty,
        duration_ms = Empty
    );
    span.follows_from(handshake);
    if let Some(peer) = opened.peer {
        span.record("peer.addr", tracing::field::display(peer));
    }
    if let Some(subprotocol) = &opened.subprotocol {
        span.record("ws.subprotocol", subprotocol.as_str());
    }
    span
}

pub(crate) fn end_connection(span: &Span, closed: &Closed) {
    if span.is_disabled() {
        return;
    }
    span.record("ws.close.code", code_of(&closed.info));
    span.record("ws.close.initiator", name_of(closed.info.initiator));
    if let Some(stats) = closed.info.stats() {
        span.record("ws.messages.in", stats.received.messages);
        span.record("ws.messages.out", stats.sent.messages);
        span.record("ws.bytes.in", stats.received.wire_bytes);
        span.record("ws.bytes.out", stats.sent.wire_bytes);
    }
    span.record("duration_ms", millis(closed.age));
}

pub(crate) const fn name_of(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Local => "local",
        Initiator::Remote => "remote",
        _ => "library",
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
