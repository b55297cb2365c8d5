//! Masking (RFC 6455 section 5.3): the payload is XORed with a repeating key of four bytes. Masking twice restores
//! the payload. A client takes its keys from a [`MaskSource`].
//!
//! The safe functions in `body` work in words, and the compiler turns them into vector code. `arch` compiles them
//! again for the vectors of the machine. A payload may be masked in pieces: [`Mask`] keeps the position in the key.

mod arch;
mod body;
#[cfg(feature = "chacha")]
mod chacha;
mod source;

#[cfg(feature = "chacha")]
pub use chacha::ChaChaMaskSource;
pub use source::MaskSource;

/// The length from which CPU feature detection is worthwhile.
const DISPATCH_FROM: usize = 64;

/// A mask key, and the position in it for the next payload byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// The key, rotated so that its first byte applies to the next payload byte.
    key: [u8; 4],
}

impl Mask {
    /// The mask for a payload's first byte.
    #[must_use]
    pub const fn new(key: [u8; 4]) -> Self {
        Self { key }
    }

    /// Masks or unmasks the next `data.len()` bytes of the payload in place.
    #[inline]
    pub fn apply(&mut self, data: &mut [u8]) {
        apply_mask(self.key, data);
        self.key.rotate_left(data.len() % 4);
    }

    /// Appends a masked copy of the next `source.len()` bytes of the payload to `target`.
    pub(crate) fn append(&mut self, source: &[u8], target: &mut Vec<u8>) {
        append_masked(self.key, source, target);
        self.key.rotate_left(source.len() % 4);
    }
}

/// Masks or unmasks `data`, starting at the first byte of `key`.
#[inline]
pub fn apply_mask(key: [u8; 4], data: &mut [u8]) {
    if data.len() < DISPATCH_FROM {
        body::apply(key, data);
    } else {
        arch::apply(key, data);
    }
}

/// As [`apply_mask`]. Returns whether all bytes are ASCII afterwards, which shows in the same pass.
#[inline]
pub(crate) fn apply_mask_and_test(key: [u8; 4], data: &mut [u8]) -> bool {
    if data.len() < DISPATCH_FROM { body::apply_and_test(key, data) } else { arch::apply_and_test(key, data) }
}

/// Appends a masked copy of `source` to `target`.
#[inline]
pub(crate) fn append_masked(key: [u8; 4], source: &[u8], target: &mut Vec<u8>) {
    let start = target.len();
    if source.len() < DISPATCH_FROM {
        target.extend_from_slice(source);
        body::apply(key, &mut target[start..]);
    } else {
        target.resize(start + source.len(), 0);
        arch::copy(key, source, &mut target[start..]);
    }
}

#[cfg(test)]
mod tests;
