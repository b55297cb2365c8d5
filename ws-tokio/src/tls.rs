//! TLS for clients and servers: the crypto provider, and certificates from PEM.

use std::sync::Arc;

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _},
};

/// An error in the TLS setup, which the caller or the administrator must fix.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No crypto provider is built in, none was installed for the process, and none was given.
    #[error("no crypto provider: use the feature `tls`, install one for the process, or give one")]
    NoProvider,
    /// A file in PEM cannot be read.
    #[error("invalid PEM for the {what}: {reason}")]
    Pem {
        /// What the file should contain.
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

/// Returns the crypto provider that the process has installed as its default, or the built-in one if there is none.
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

/// Returns the certificates in a PEM file, in their order. There is at least one.
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

/// Returns the first private key in a PEM file.
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
