//! Gives the same bytes, cut in the same way, to this library and to independent ones. They must report the same, in
//! the same order and after the same piece. Each difference that RFC 6455 permits is listed in the module of the other
//! library.

mod compare;
mod encode;
mod ours;
mod pipe;
mod scenario;
mod tokio_websockets;
mod tungstenite;

use ws_proto::MessageKind;

pub use encode::encode;

use scenario::Scenario;

/// A report of a library about the bytes that it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The peer's Close, with its code and reason; `None` if it has none.
    Close(Option<(u16, String)>),
    Violation(Class),
    /// The stream ended without a Close.
    Cut,
}

impl Told {
    const fn is_end(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Violation(_) | Self::Cut)
    }
}

/// A violation, by the close code for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// 1002.
    Protocol,
    /// 1007.
    Payload,
    /// 1009.
    TooBig,
}

/// A connection of one library, in one role, that is fed piece by piece.
trait Reader {
    /// Reads a piece, all of it unless the connection ends. Appends its reports to `told`, and none after the end.
    fn feed(&mut self, piece: &[u8], told: &mut Vec<Told>);

    /// The stream ends.
    fn end(&mut self, told: &mut Vec<Told>);
}

pub fn differential_tungstenite(data: &[u8]) {
    let scenario = Scenario::read(data);
    compare::compare(&scenario, tungstenite::Peer::new(&scenario), tungstenite::is_known);
}

pub fn differential_tokio_websockets(data: &[u8]) {
    let scenario = Scenario::read(data);
    compare::compare(&scenario, tokio_websockets::Peer::new(&scenario), tokio_websockets::is_known);
}
