//! Randomness from the caller: mask keys (RFC 6455 section 5.3) and handshake nonces (section 4.1).

/// A source of mask keys and nonces for a client.
///
/// Keys must be unpredictable to the party that chooses the payloads (RFC 6455 section 10.3), so implement this over
/// a cryptographically secure generator only. A server needs no source.
pub trait MaskSource {
    /// Returns a fresh key for one frame.
    fn mask_key(&mut self) -> [u8; 4];

    /// Returns sixteen fresh bytes for one `Sec-WebSocket-Key`.
    fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        for part in nonce.chunks_exact_mut(4) {
            part.copy_from_slice(&self.mask_key());
        }
        nonce
    }
}
