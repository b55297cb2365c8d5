use std::io;

use ws_proto::mask::ChaChaMaskSource;

/// Creates a source of mask keys (RFC 6455 section 5.3) with a seed from the operating system.
///
/// # Errors
/// If the operating system has no random bytes.
pub fn seeded_masks() -> io::Result<Box<ChaChaMaskSource>> {
    Ok(Box::new(ChaChaMaskSource::from_seed(random_seed()?)))
}

/// Takes a seed from the operating system.
///
/// # Errors
/// If the operating system has no random bytes.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(seed)
}
