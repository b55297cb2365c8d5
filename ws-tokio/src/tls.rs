//! TLS for clients and servers: the crypto provider, and certificates from PEM.

use std::{io, sync::Arc};

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
    #[error("invalid PEM for the {what}")]
    #[non_exhaustive]
    Pem {
        /// What the file should contain.
        what: &'static str,
        /// What is wrong with it. [`pem::Error::NoItemsFound`] if it has none of what it should contain.
        source: pem::Error,
    },
    /// Certificate and key do not belong together, or rustls does not support them.
    #[error("unusable certificate, key or TLS setting")]
    Rustls(#[from] rustls::Error),
    /// The platform's certificates cannot be read. [`io::ErrorKind::NotFound`] if it has none that can be parsed.
    #[error("no trusted certificates from the platform")]
    PlatformRoots(#[source] io::Error),
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
        Ok(certificates) if certificates.is_empty() => Err(bad_pem("certificates", pem::Error::NoItemsFound)),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad_pem("certificates", error)),
    }
}

/// Returns the first private key in a PEM file.
///
/// # Errors
/// [`TlsError::Pem`].
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| bad_pem("private key", error))
}

fn bad_pem(what: &'static str, source: pem::Error) -> TlsError {
    TlsError::Pem { what, source }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_names_what_is_not_valid_pem_and_its_source_says_why() {
        let cut = b"-----BEGIN CERTIFICATE-----\nAAAA\n";
        for (error, text, cause) in [
            (certificates(b"nonsense").unwrap_err(), "invalid PEM for the certificates", "no items found"),
            (
                certificates(cut).unwrap_err(),
                "invalid PEM for the certificates",
                "missing section end marker",
            ),
            (private_key(b"").unwrap_err(), "invalid PEM for the private key", "no items found"),
        ] {
            assert_eq!(error.to_string(), text);
            let source = error.source().unwrap().to_string();
            assert!(source.starts_with(cause), "{source}");
        }
    }

    #[test]
    fn no_error_repeats_its_source() {
        let errors = [
            TlsError::NoProvider,
            private_key(b"").unwrap_err(),
            rustls::Error::DecryptError.into(),
            TlsError::PlatformRoots(io::Error::other("the store is locked")),
        ];
        for error in errors {
            let source = error.source().map(ToString::to_string);
            assert!(source.is_none_or(|source| !error.to_string().contains(&source)), "{error}");
        }
    }
}
