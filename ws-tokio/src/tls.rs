//! What TLS needs on both sides: a crypto provider that was chosen, and certificates from PEM.

use std::sync::Arc;

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

/// Why TLS cannot be set up. The caller's or the administrator's fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No crypto provider is built in, none was installed for the process, and none was given.
    #[error("no crypto provider: use the feature `tls`, install one for the process, or give one")]
    NoProvider,
    /// A file in PEM cannot be read.
    #[error("invalid PEM for the {what}: {reason}")]
    Pem {
        /// What it should have been.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not belong together, or rustls does not support them.
    #[error("unusable certificate, key or setting: {0}")]
    Rustls(#[from] rustls::Error),
    /// The platform's certificates cannot be read.
    #[error("no trusted certificates from the platform: {0}")]
    PlatformRoots(String),
}

/// The provider that the process installed as its default, else the one that is built in.
///
/// # Errors
/// [`TlsError::NoProvider`] if there is neither.
pub fn crypto_provider() -> Result<Arc<CryptoProvider>, TlsError> {
    CryptoProvider::get_default().cloned().or_else(built_in).ok_or(TlsError::NoProvider)
}

#[cfg(feature = "tls")]
fn built_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(feature = "tls"))]
const fn built_in() -> Option<Arc<CryptoProvider>> {
    None
}

/// The certificates in a PEM file, in their order; at least one.
///
/// # Errors
/// [`TlsError::Pem`].
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError::Pem { what: "certificates", reason: "it has none".to_owned() })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_pem("certificates", &error)),
    }
}

/// The first private key in a PEM file.
///
/// # Errors
/// [`TlsError::Pem`].
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| bad_pem("private key", &error))
}

fn bad_pem(what: &'static str, error: &pem::Error) -> TlsError {
    TlsError::Pem { what, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_is_not_valid_pem() {
        let error = certificates(b"nonsense").unwrap_err().to_string();
        assert_eq!(error, "invalid PEM for the certificates: it has none");
        let error = private_key(b"").unwrap_err().to_string();
        assert!(error.starts_with("invalid PEM for the private key"), "{error}");
        let cut = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        assert!(certificates(cut).unwrap_err().to_string().starts_with("invalid PEM for the certificates"));
    }
}
