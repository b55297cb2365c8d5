//! tungstenite, and its known differences.

use tungstenite::{
    Error, Message, WebSocket,
    error::ProtocolError as TheirError,
    protocol::{Role as TheirRole, WebSocketConfig},
};
use ws_proto::{
    MessageKind, Role,
    error::{ConnectionError, ProtocolError},
};

use super::{Class, Reader, Told, compare::Difference, pipe::Pipe, scenario::Scenario};

pub(super) struct Peer {
    socket: WebSocket<Pipe>,
    over: bool,
}

impl Peer {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self::with_limit(scenario.role, scenario.limit)
    }

    pub(super) fn with_limit(role: Role, limit: usize) -> Self {
        let role = match role {
            Role::Server => TheirRole::Server,
            Role::Client => TheirRole::Client,
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
            .read_buffer_size(1024)
            .write_buffer_size(0);
        Self { socket: WebSocket::from_raw_socket(Pipe::default(), role, Some(config)), over: false }
    }

    fn read(&mut self, told: &mut Vec<Told>) {
        while !self.over {
            let next = match self.socket.read() {
                Ok(message) => heard(message),
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => failed(&error),
            };
            self.over = next.is_end();
            told.push(next);
        }
    }
}

fn heard(message: Message) -> Told {
    match message {
        Message::Text(text) => Told::Message(MessageKind::Text, text.as_bytes().to_vec()),
        Message::Binary(payload) => Told::Message(MessageKind::Binary, payload.to_vec()),
        Message::Ping(payload) => Told::Ping(payload.to_vec()),
        Message::Pong(payload) => Told::Pong(payload.to_vec()),
        Message::Close(frame) => {
            Told::Close(frame.map(|frame| (frame.code.into(), frame.reason.to_string())))
        }
        Message::Frame(_) => unreachable!("it is never read"),
    }
}

fn failed(error: &Error) -> Told {
    match error {
        Error::Protocol(TheirError::ResetWithoutClosingHandshake) => Told::Cut,
        Error::Protocol(_) => Told::Violation(Class::Protocol),
        Error::Utf8(_) => Told::Violation(Class::Payload),
        Error::Capacity(_) => Told::Violation(Class::TooBig),
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

/// The known differences of tungstenite 0.30.
pub(super) fn is_known(difference: &Difference<'_>) -> bool {
    let Some(ConnectionError::Protocol(error)) = difference.violation else {
        return misses_a_code(difference);
    };
    match (error, difference.theirs) {
        // It accepts lengths in any encoding (RFC 6455 section 5.2 requires the shortest). The bytes after that are
        // read differently, so nothing more can be compared.
        (ProtocolError::NonMinimalLength, _) => true,
        // The same for a control frame, whose length is only valid in the shortest encoding.
        (ProtocolError::ControlFrameTooLong, _) if difference.announced <= 125 => true,
        // It checks the length against its limit first: before the top bit, which makes it larger than any limit, and
        // before everything except the opcode.
        (ProtocolError::LengthTopBitSet, Some(Told::Violation(Class::TooBig))) => true,
        (_, Some(Told::Violation(Class::TooBig))) => difference.announced > difference.limit as u64,
        // It reports a Close with such a code as one with 1002, and answers with that.
        (ProtocolError::InvalidCloseCode(_), Some(Told::Close(Some((1002, reason))))) => {
            reason == "Protocol violation"
        }
        // It checks the reason first.
        (ProtocolError::InvalidCloseCode(_), Some(Told::Violation(Class::Payload))) => true,
        _ => false,
    }
}

/// It does not know the registered code 1014 and treats it as one that must not be sent.
fn misses_a_code(difference: &Difference<'_>) -> bool {
    matches!(difference.ours, Told::Close(Some((1014, _))))
        && matches!(difference.theirs, Some(Told::Close(Some((1002, reason)))) if reason == "Protocol violation")
}
