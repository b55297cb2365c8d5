//! tokio-websockets, and its known differences.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use tokio_websockets::{
    ClientBuilder, Error, Limits, Message, ServerBuilder, WebSocketStream, proto::ProtocolError as TheirError,
};
use ws_proto::{
    MessageKind, Role,
    error::{ConnectionError, LimitExceeded, ProtocolError},
};

use super::{Class, Reader, Told, compare::Difference, pipe::Pipe, scenario::Scenario};

pub(super) struct Peer {
    socket: WebSocketStream<Pipe>,
    over: bool,
}

impl Peer {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self::with_limit(scenario.role, scenario.limit)
    }

    pub(super) fn with_limit(role: Role, limit: usize) -> Self {
        let limits = Limits::default().max_payload_len(Some(limit));
        let socket = match role {
            Role::Server => ServerBuilder::new().limits(limits).serve(Pipe::default()),
            Role::Client => ClientBuilder::new().limits(limits).take_over(Pipe::default()),
        };
        Self { socket, over: false }
    }

    fn read(&mut self, told: &mut Vec<Told>) {
        let mut cx = Context::from_waker(Waker::noop());
        while !self.over {
            let next = match Pin::new(&mut self.socket).poll_next(&mut cx) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(message))) => heard(&message),
                Poll::Ready(Some(Err(error))) => failed(&error),
                Poll::Ready(None) => Told::Cut,
            };
            self.over = next.is_end();
            told.push(next);
        }
    }
}

fn heard(message: &Message) -> Told {
    let payload = message.as_payload().to_vec();
    if let Some((code, reason)) = message.as_close() {
        return Told::Close((!payload.is_empty()).then(|| (code.into(), reason.to_owned())));
    }
    match message {
        _ if message.is_ping() => Told::Ping(payload),
        _ if message.is_pong() => Told::Pong(payload),
        _ if message.is_text() => Told::Message(MessageKind::Text, payload),
        _ => Told::Message(MessageKind::Binary, payload),
    }
}

fn failed(error: &Error) -> Told {
    match error {
        Error::Protocol(TheirError::InvalidUtf8) => Told::Violation(Class::Payload),
        Error::Protocol(_) => Told::Violation(Class::Protocol),
        Error::PayloadTooLong { .. } => Told::Violation(Class::TooBig),
        // Its codec's error for a stream that ends inside a frame.
        Error::Io(_) => Told::Cut,
        other => panic!("{other:?}"),
    }
}

impl Reader for Peer {
    fn feed(&mut self, piece: &[u8], told: &mut Vec<Told>) {
        self.socket.get_mut().incoming.extend(piece);
        self.read(told);
    }

    fn end(&mut self, told: &mut Vec<Told>) {
        self.socket.get_mut().ended = true;
        self.read(told);
    }
}

/// The known differences of tokio-websockets 0.13.
pub(super) fn is_known(difference: &Difference<'_>) -> bool {
    match (difference.violation, difference.theirs) {
        // It reports a length with the top bit set as over the limit.
        (
            Some(ConnectionError::Protocol(ProtocolError::LengthTopBitSet)),
            Some(Told::Violation(Class::TooBig)),
        ) => true,
        // It adds a fragment to its message only when the fragment is complete, and checks its text before that.
        (
            Some(ConnectionError::Limit(LimitExceeded::MessageSize { .. })),
            Some(Told::Violation(Class::Payload)),
        ) => difference.announced <= difference.limit as u64,
        // It does not check an empty fragment, so it accepts text that ends inside a character before such a fragment.
        (
            Some(ConnectionError::Protocol(ProtocolError::InvalidUtf8)),
            Some(Told::Message(MessageKind::Text, payload)),
        ) => {
            difference.announced == 0
                && std::str::from_utf8(payload).is_err_and(|error| error.error_len().is_none())
        }
        _ => false,
    }
}
