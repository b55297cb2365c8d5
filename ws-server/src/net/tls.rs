//! TLS for a server's listener, with certificates that can be replaced while it runs.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use ws_tokio::tls::{TlsError, certificates, crypto_provider, private_key};

/// A server's certificate and TLS settings.
///
/// Clones share them: keep one, and [`reload`](Self::reload) the certificate while the server runs. Connections that are
/// open, or in their handshake, go on with what they had.
#[derive(Clone, Debug)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// With a certificate chain, the server's own certificate first, and its private key, both in PEM. TLS 1.2 and 1.3,
    /// ALPN `http/1.1`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Ok(Self::from_config(config(chain.as_ref(), key.as_ref())?))
    }

    /// With settings of the caller's: client certificates, several names, another crypto provider.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Replaces certificate and key, for all handshakes from now on.
    ///
    /// # Errors
    /// [`TlsError`]; then nothing changes.
    pub fn reload(&self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<(), TlsError> {
        self.reload_config(config(chain.as_ref(), key.as_ref())?);
        Ok(())
    }

    /// Replaces all settings, for all handshakes from now on.
    pub fn reload_config(&self, config: Arc<ServerConfig>) {
        // The destructors of the old settings, such as a resolver's, run without the lock.
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), config);
        drop(before);
    }

    /// Does the TLS handshake on a stream that was accepted; for [`Acceptor`](crate::Acceptor), which takes any stream.
    /// It has no deadline of its own.
    ///
    /// # Errors
    /// What the transport or TLS says.
    ///
    /// # Cancel safety
    /// The stream is lost if the future is dropped.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> std::io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(io).await
    }
}

fn config(chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = (certificates(chain)?, private_key(key)?);
    let mut config = ServerConfig::builder_with_provider(crypto_provider()?)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
