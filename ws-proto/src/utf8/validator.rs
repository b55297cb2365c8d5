use std::str;

/// Below this length, std's own scan is faster than the call into the SIMD validator.
const SIMD_FROM: usize = 64;

/// The bytes are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid UTF-8")]
pub struct InvalidUtf8;

/// Whether `bytes` is valid UTF-8.
#[inline]
#[must_use]
pub fn is_valid_utf8(bytes: &[u8]) -> bool {
    if bytes.len() < SIMD_FROM {
        bytes.is_ascii() || str::from_utf8(bytes).is_ok()
    } else {
        simdutf8::basic::from_utf8(bytes).is_ok()
    }
}

/// Validates UTF-8 that arrives in pieces. It fails at the first byte that makes the text invalid.
///
/// Between pieces it keeps at most the three bytes of an incomplete character.
#[derive(Debug, Clone, Copy, Default)]
pub struct Utf8Validator {
    /// The first bytes of an incomplete character; always a prefix of a valid one.
    pending: [u8; 4],
    pending_len: u8,
}

impl Utf8Validator {
    /// Validates the next piece.
    ///
    /// # Errors
    /// [`InvalidUtf8`] as soon as no continuation could make the text valid.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let rest = self.complete_pending(piece)?;
        let (head, tail) = rest.split_at(rest.len() - unfinished_tail(rest));
        if !is_valid_utf8(head) {
            return Err(InvalidUtf8);
        }
        match prefix_of_character(tail) {
            Prefix::Invalid => Err(InvalidUtf8),
            Prefix::Complete => Ok(()),
            Prefix::Unfinished => {
                self.pending[..tail.len()].copy_from_slice(tail);
                self.pending_len = tail.len() as u8;
                Ok(())
            }
        }
    }

    /// Checks that the text may end here, and resets the validator.
    ///
    /// # Errors
    /// [`InvalidUtf8`] if the last character is unfinished.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        let unfinished = std::mem::take(&mut self.pending_len) != 0;
        if unfinished { Err(InvalidUtf8) } else { Ok(()) }
    }

    /// Completes the character that the last piece started. Returns the rest of `piece` after it.
    fn complete_pending<'a>(&mut self, piece: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        let mut rest = piece;
        while self.pending_len != 0 {
            let [byte, tail @ ..] = rest else { break };
            let len = usize::from(self.pending_len) + 1;
            self.pending[len - 1] = *byte;
            rest = tail;
            match prefix_of_character(&self.pending[..len]) {
                Prefix::Invalid => return Err(InvalidUtf8),
                Prefix::Complete => self.pending_len = 0,
                Prefix::Unfinished => self.pending_len = len as u8,
            }
        }
        Ok(rest)
    }
}

enum Prefix {
    Complete,
    Unfinished,
    Invalid,
}

/// Classifies `bytes`, at most one character. std rejects impossible second bytes, such as F4 90, at once.
fn prefix_of_character(bytes: &[u8]) -> Prefix {
    match str::from_utf8(bytes) {
        Ok(_) => Prefix::Complete,
        Err(error) if error.error_len().is_none() => Prefix::Unfinished,
        Err(_) => Prefix::Invalid,
    }
}

/// The number of bytes at the end of `bytes` that belong to an incomplete character: 0 to 3.
fn unfinished_tail(bytes: &[u8]) -> usize {
    for (back, byte) in bytes.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0x80..=0xbf => continue,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        return if needed > back + 1 { back + 1 } else { 0 };
    }
    0
}
