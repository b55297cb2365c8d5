use std::fmt;

use crate::{error::ProtocolError, frame::MAX_CONTROL_PAYLOAD};

use super::CloseCode;

/// The longest close reason, in bytes: a control payload without the code.
pub const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// The payload of a Close frame (RFC 6455 section 5.5.1). `code: None` is an empty payload. The RFC defines exactly
/// these two fields, so they are final.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloseFrame {
    /// The status code, if one was given.
    pub code: Option<CloseCode>,
    /// Text for people and logs, at most 123 bytes; empty without a code.
    pub reason: Box<str>,
}

impl CloseFrame {
    /// A Close frame with a code and a reason. A reason longer than 123 bytes is truncated at a character boundary.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        Self { code: Some(code), reason: truncate(reason).into() }
    }

    /// Reads the payload of a Close frame.
    ///
    /// # Errors
    /// A [`ProtocolError`] for a payload of one byte, an invalid code, or a reason that is not UTF-8; checked in this
    /// order.
    pub fn parse(payload: &[u8]) -> Result<Self, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(Self::default()),
            [_] => return Err(ProtocolError::ClosePayloadTooShort),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).map_err(|_| ProtocolError::InvalidCloseCode(code))?;
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Self { code: Some(code), reason: reason.into() })
    }

    /// Writes the payload into `out`; returns its length.
    pub fn encode(&self, out: &mut [u8; MAX_CONTROL_PAYLOAD]) -> usize {
        let Some(code) = self.code else { return 0 };
        let reason = truncate(&self.reason).as_bytes();
        out[..2].copy_from_slice(&code.get().to_be_bytes());
        out[2..2 + reason.len()].copy_from_slice(reason);
        2 + reason.len()
    }
}

/// The most characters of a reason that are printed.
const PRINTED_REASON: usize = 60;

/// Prints the code and the reason in quotes, for logs. Control characters are escaped, and a reason of more than 60
/// characters is shortened.
impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(code) = self.code else { return f.write_str("no code") };
        code.fmt(f)?;
        if self.reason.is_empty() {
            return Ok(());
        }
        let end = self.reason.char_indices().nth(PRINTED_REASON).map_or(self.reason.len(), |(at, _)| at);
        let more = if end < self.reason.len() { "…" } else { "" };
        write!(f, " \"{}{more}\"", self.reason[..end].escape_debug())
    }
}

/// The longest prefix of `reason` that fits a Close frame and ends at a character boundary.
fn truncate(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_CLOSE_REASON);
    // `str::floor_char_boundary` does this since Rust 1.91.
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
