//! The same bytes, cut in the same way, to this library and to others that were written without it: they must tell the
//! same, in the same order and after the same piece. Where they differ and both may, the difference is listed, one by
//! one, with the peer.

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

/// What a library told about the bytes that it was given.
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

/// A violation, by the code that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// 1002.
    Protocol,
    /// 1007.
    Payload,
    /// 1009.
    TooBig,
}

/// A library, open and in one role, that is fed piece by piece.
trait Reader {
    /// Takes a piece, all of it unless it is at its end; what it tells goes to `told`, nothing behind an end.
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
