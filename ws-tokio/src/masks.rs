use std::io;

use ws_proto::mask::ChaChaMaskSource;

/// Creates a source of mask keys (RFC 6455 section 5.3) with a seed from the operating system.
///
/// # Errors
/// If the operating system has no random bytes.
pub fn seeded_masks() -> io::Result<Box<ChaChaMaskSource>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(Box::new(ChaChaMaskSource::from_seed(seed)))
}
