/// The checksum of RFC 9260 appendix A (Castagnoli), bit by bit: a header is short.
pub(super) struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Crc32c {
    pub(super) fn update(mut self, bytes: &[u8]) -> Self {
        const POLYNOMIAL: u32 = 0x82F6_3B78;
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                let carry = if self.0 & 1 == 1 { POLYNOMIAL } else { 0 };
                self.0 = self.0 >> 1 ^ carry;
            }
        }
        self
    }

    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}
