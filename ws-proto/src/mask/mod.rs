//! Masking (RFC 6455 section 5.3): the payload XORed with a repeating key of four bytes, its own inverse. A client takes
//! its keys from a [`MaskSource`].
//!
//! One safe body works in words, and the compiler turns it into vector code; `arch` compiles the same body again
//! for the vectors that the machine has. A payload may be masked in pieces: [`Mask`] remembers where in the key the
//! next piece begins.

mod arch;
mod body;
mod source;

pub use source::{ChaChaMaskSource, MaskSource};

/// From this length on it pays to ask what the machine can do.
const DISPATCH_FROM: usize = 128;

/// A mask key and the position in it that the next byte meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask {
    /// The key, rotated so that its first byte meets the next payload byte.
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

/// Masks or unmasks `data`, whose first byte meets the first byte of `key`.
#[inline]
pub fn apply_mask(key: [u8; 4], data: &mut [u8]) {
    if data.len() < DISPATCH_FROM {
        body::apply(key, data);
    } else {
        arch::apply(key, data);
    }
}

/// Appends `source`, masked, to `target`.
#[inline]
pub(crate) fn append_masked(key: [u8; 4], source: &[u8], target: &mut Vec<u8>) {
    let start = target.len();
    target.resize(start + source.len(), 0);
    if source.len() < DISPATCH_FROM {
        body::copy(key, source, &mut target[start..]);
    } else {
        arch::copy(key, source, &mut target[start..]);
    }
}

#[cfg(test)]
mod tests;
