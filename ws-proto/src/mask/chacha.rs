//! The generator that comes with this crate.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::MaskSource;

/// A [`MaskSource`] based on ChaCha with 8 rounds, seeded by the caller.
///
/// Do not seed two sources alike: they would produce the same keys.
pub struct ChaChaMaskSource(ChaCha8Rng);

impl ChaChaMaskSource {
    /// Creates a source. Take the seed from the operating system.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }
}

impl MaskSource for ChaChaMaskSource {
    fn mask_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

impl std::fmt::Debug for ChaChaMaskSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The state is a secret.
        f.write_str("ChaChaMaskSource")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn equal_seeds_give_equal_keys_and_different_seeds_different_keys() {
        let keys = |seed: u8| {
            let mut source = ChaChaMaskSource::from_seed([seed; 32]);
            [source.mask_key(), source.mask_key(), source.mask_key()]
        };
        assert_eq!(keys(1), keys(1));
        assert_ne!(keys(1), keys(2));
    }

    #[test]
    fn keys_repeat_only_by_chance_and_half_of_their_bits_are_set() {
        const COUNT: usize = 1 << 16;
        let mut source = ChaChaMaskSource::from_seed([7; 32]);
        let mut seen = HashSet::new();
        let mut ones = 0_u64;
        for _ in 0..COUNT {
            let key = source.mask_key();
            ones += u64::from(u32::from_ne_bytes(key).count_ones());
            seen.insert(key);
        }
        // Expected repeats are COUNT² / 2^33, about 0.5; the seed is fixed, so the count is always the same.
        assert!(COUNT - seen.len() <= 4);
        let expected = COUNT as f64 * 16.0;
        assert!((ones as f64 - expected).abs() < expected * 0.01);
    }

    #[test]
    fn a_nonce_is_sixteen_fresh_bytes() {
        let mut source = ChaChaMaskSource::from_seed([9; 32]);
        assert_ne!(source.nonce(), source.nonce());
    }
}
