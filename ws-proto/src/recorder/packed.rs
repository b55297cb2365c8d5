use std::time::Duration;

use crate::{close_code::CloseCode, error::ConnectionError, frame::OpCode};

use super::RecordedEvent;

/// An event and its time in 16 bytes: 48 bits of microseconds, 8 bits for the kind, 8 bits of detail, and a value. The
/// error of [`RecordedEvent::Failed`] is kept elsewhere; there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packed {
    head: u64,
    value: u64,
}

const FIN: u8 = 0x80;
const MOST_MICROS: u64 = (1 << 48) - 1;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Kind {
    FrameReceived,
    FrameSent,
    SendRefused,
    WriteBlocked,
    WriteDrained,
    Paused,
    Resumed,
    ReadingStopped,
    ReadingResumed,
    KeepalivePing,
    KeepalivePong,
    KeepaliveLate,
    CloseRequested,
    CloseSent,
    CloseReceived,
    StreamEnded,
    Failed,
    Aborted,
    Ended,
}

const KINDS: [Kind; 19] = [
    Kind::FrameReceived,
    Kind::FrameSent,
    Kind::SendRefused,
    Kind::WriteBlocked,
    Kind::WriteDrained,
    Kind::Paused,
    Kind::Resumed,
    Kind::ReadingStopped,
    Kind::ReadingResumed,
    Kind::KeepalivePing,
    Kind::KeepalivePong,
    Kind::KeepaliveLate,
    Kind::CloseRequested,
    Kind::CloseSent,
    Kind::CloseReceived,
    Kind::StreamEnded,
    Kind::Failed,
    Kind::Aborted,
    Kind::Ended,
];

impl Packed {
    /// Packs an event that happened `age` after the connection began. A time of more than eight years counts as that.
    pub(super) fn new(age: Duration, event: RecordedEvent) -> Self {
        let micros = u64::try_from(age.as_micros()).unwrap_or(MOST_MICROS).min(MOST_MICROS);
        let (kind, detail, value) = parts(event);
        Self { head: micros << 16 | u64::from(kind as u8) << 8 | u64::from(detail), value }
    }

    pub(super) const fn at(self) -> Duration {
        Duration::from_micros(self.head >> 16)
    }

    /// The event; `error` is that of the connection.
    pub(super) fn event(self, error: Option<ConnectionError>) -> RecordedEvent {
        let [.., kind, detail] = self.head.to_be_bytes();
        let value = self.value;
        let opcode = OpCode::from_bits(detail & 0x0f).unwrap_or(OpCode::Continuation);
        let fin = detail & FIN != 0;
        let code = u16::try_from(value).ok().and_then(|code| CloseCode::new(code).ok());
        match KINDS.get(usize::from(kind)).copied().unwrap_or(Kind::Ended) {
            Kind::FrameReceived => RecordedEvent::FrameReceived { opcode, fin, len: value },
            Kind::FrameSent => RecordedEvent::FrameSent { opcode, fin, len: value },
            Kind::SendRefused => RecordedEvent::SendRefused { len: value },
            Kind::WriteBlocked => RecordedEvent::WriteBlocked { waiting: value },
            Kind::WriteDrained => RecordedEvent::WriteDrained,
            Kind::Paused => RecordedEvent::Paused,
            Kind::Resumed => RecordedEvent::Resumed,
            Kind::ReadingStopped => RecordedEvent::ReadingStopped { held: value },
            Kind::ReadingResumed => RecordedEvent::ReadingResumed,
            Kind::KeepalivePing => RecordedEvent::KeepalivePing { number: value },
            Kind::KeepalivePong => RecordedEvent::KeepalivePong { round_trip: Duration::from_nanos(value) },
            Kind::KeepaliveLate => RecordedEvent::KeepaliveLate,
            Kind::CloseRequested => RecordedEvent::CloseRequested { code },
            Kind::CloseSent => RecordedEvent::CloseSent { code },
            Kind::CloseReceived => RecordedEvent::CloseReceived { code },
            Kind::StreamEnded => RecordedEvent::StreamEnded,
            Kind::Failed => RecordedEvent::Failed(error.unwrap_or(ConnectionError::Internal)),
            Kind::Aborted => RecordedEvent::Aborted,
            Kind::Ended => RecordedEvent::Ended,
        }
    }
}

fn parts(event: RecordedEvent) -> (Kind, u8, u64) {
    let frame = |opcode: OpCode, fin: bool| opcode.bits() | if fin { FIN } else { 0 };
    let number = |code: Option<CloseCode>| code.map_or(0, |code| u64::from(code.get()));
    match event {
        RecordedEvent::FrameReceived { opcode, fin, len } => (Kind::FrameReceived, frame(opcode, fin), len),
        RecordedEvent::FrameSent { opcode, fin, len } => (Kind::FrameSent, frame(opcode, fin), len),
        RecordedEvent::SendRefused { len } => (Kind::SendRefused, 0, len),
        RecordedEvent::WriteBlocked { waiting } => (Kind::WriteBlocked, 0, waiting),
        RecordedEvent::WriteDrained => (Kind::WriteDrained, 0, 0),
        RecordedEvent::Paused => (Kind::Paused, 0, 0),
        RecordedEvent::Resumed => (Kind::Resumed, 0, 0),
        RecordedEvent::ReadingStopped { held } => (Kind::ReadingStopped, 0, held),
        RecordedEvent::ReadingResumed => (Kind::ReadingResumed, 0, 0),
        RecordedEvent::KeepalivePing { number } => (Kind::KeepalivePing, 0, number),
        RecordedEvent::KeepalivePong { round_trip } => {
            (Kind::KeepalivePong, 0, u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX))
        }
        RecordedEvent::KeepaliveLate => (Kind::KeepaliveLate, 0, 0),
        RecordedEvent::CloseRequested { code } => (Kind::CloseRequested, 0, number(code)),
        RecordedEvent::CloseSent { code } => (Kind::CloseSent, 0, number(code)),
        RecordedEvent::CloseReceived { code } => (Kind::CloseReceived, 0, number(code)),
        RecordedEvent::StreamEnded => (Kind::StreamEnded, 0, 0),
        RecordedEvent::Failed(_) => (Kind::Failed, 0, 0),
        RecordedEvent::Aborted => (Kind::Aborted, 0, 0),
        RecordedEvent::Ended => (Kind::Ended, 0, 0),
    }
}
