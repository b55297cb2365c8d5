use std::fmt;

use crate::{
    error::{ConnectionError, TimedOut, WithCauses},
    recorder::Recording,
    stats::ConnectionStats,
};

use super::{CloseCode, CloseFrame, trace::Trace};

/// Which side started the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Initiator {
    /// This side's application called `close`.
    Local,
    /// The peer: its Close frame arrived first, or its stream ended or failed.
    Remote,
    /// This library: a deadline passed, a limit was exceeded, or the peer violated the protocol.
    Library,
}

/// How a connection ended.
///
/// It prints as one line for logs: which side closed, the codes, the peer's reason, and the error with its causes. For
/// example: `closed by the peer: received 1001 "restart", sent 1001`.
///
/// Two of them are equal if their public fields are; [`stats`](Self::stats) and [`recording`](Self::recording) do not
/// count.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The Close frame that the peer sent, if any.
    pub received: Option<CloseFrame>,
    /// The Close frame that this side sent, if one was handed to the transport.
    pub sent: Option<CloseFrame>,
    /// Which side started the end.
    pub initiator: Initiator,
    /// What went wrong; `None` after a clean closing handshake. A failed write is reported here even if the peer's
    /// Close was read afterwards, because no answer to it could be sent: then `received` has that Close, and `sent`
    /// is `None`.
    pub error: Option<ConnectionError>,
    pub(crate) trace: Trace,
}

impl CloseInfo {
    /// An end without Close frames and without an error. The fields can be set afterwards.
    #[must_use]
    pub const fn new(initiator: Initiator) -> Self {
        Self { received: None, sent: None, initiator, error: None, trace: Trace::NONE }
    }

    /// Whether the closing handshake was completed (`wasClean` in the browsers' API): both sides sent a Close frame,
    /// and the connection ended without an error or by the idle timeout.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let orderly = matches!(self.error, None | Some(ConnectionError::TimedOut(TimedOut::Idle)));
        self.received.is_some() && self.sent.is_some() && orderly
    }

    /// The code as the browsers' API reports it: the received code, 1005 if the Close frame had no code, 1006 if no
    /// Close frame was received.
    #[must_use]
    pub fn code(&self) -> u16 {
        match &self.received {
            Some(frame) => frame.code.map_or(1005, CloseCode::get),
            None => 1006,
        }
    }

    /// The peer's close reason; empty if it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.received.as_ref().map_or("", |frame| &frame.reason)
    }

    /// The statistics of the connection at its end. `None` without
    /// [`Config::statistics`](crate::Config::statistics), and if the connection was dropped before its end.
    #[must_use]
    pub fn stats(&self) -> Option<&ConnectionStats> {
        self.trace.stats()
    }

    /// The latest events before the end, the last one of them: why did it close? `None` without
    /// [`Config::recorder`](crate::Config::recorder), and if the connection was dropped before its end.
    #[must_use]
    pub fn recording(&self) -> Option<&Recording> {
        self.trace.recording()
    }

    /// `Ok` after a clean close, or the error that ended the connection, for use with `?`.
    ///
    /// # Errors
    /// The [`ConnectionError`] that ended the connection.
    pub fn result(&self) -> Result<(), ConnectionError> {
        self.error.map_or(Ok(()), Err)
    }
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.initiator {
            Initiator::Local => "closed by this side: ",
            Initiator::Remote => "closed by the peer: ",
            Initiator::Library => "closed by the library: ",
        })?;
        match &self.received {
            Some(CloseFrame { code: None, .. }) => f.write_str("received a Close without a code")?,
            Some(frame) => write!(f, "received {frame}")?,
            None => f.write_str("received no Close")?,
        }
        match &self.sent {
            Some(CloseFrame { code: Some(code), .. }) => write!(f, ", sent {code}")?,
            Some(_) => f.write_str(", sent a Close without a code")?,
            None => f.write_str(", sent no Close")?,
        }
        self.error.as_ref().map_or(Ok(()), |error| write!(f, "; {}", WithCauses(error)))
    }
}
