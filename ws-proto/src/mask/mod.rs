//! Masking (RFC 6455 section 5.3): the payload XORed with a repeating key of four bytes, its own inverse.
//!
//! One safe body works in words; the compiler turns it into vector code. A payload may be masked in pieces:
//! [`Mask`] remembers where in the key the next piece begins.

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
}

/// Masks or unmasks `data`, whose first byte meets the first byte of `key`.
#[inline]
pub fn apply_mask(key: [u8; 4], data: &mut [u8]) {
    let word = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut words = data.chunks_exact_mut(8);
    for chunk in &mut words {
        let Some(bytes) = chunk.first_chunk_mut::<8>() else { break };
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key_byte) in words.into_remainder().iter_mut().zip(key.iter().cycle()) {
        *byte ^= key_byte;
    }
}

#[cfg(test)]
mod tests;
