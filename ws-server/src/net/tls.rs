//! TLS for a server, with certificates that can be replaced while it runs.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use ws_tokio::tls::{TlsError, certificates, crypto_provider, private_key};

use super::tls_stream::TlsStream;

/// A server's certificate and TLS settings.
///
/// Clones share them: keep a clone to [`reload`](Self::reload) the certificate while the server runs. Open
/// connections and handshakes in progress keep the settings that they began with.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Arc<ServerConfig>>>);

impl Tls {
    /// Uses a certificate chain and its private key, both in PEM. The chain begins with the server's own certificate.
    /// TLS 1.2 and 1.3, ALPN `http/1.1`.
    ///
    /// # Errors
    /// [`TlsError`] if the certificates or the key cannot be read or used.
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Ok(Self::from_config(config(chain.as_ref(), key.as_ref())?))
    }

    /// Uses settings of the caller, for client certificates, several names or another crypto provider. ALPN, if it is
    /// used, must offer `http/1.1` only.
    ///
    /// Only clients with a certificate of this authority may connect:
    ///
    /// ```no_run
    /// use std::{error::Error, sync::Arc};
    /// use ws_server::{
    ///     Tls,
    ///     rustls::{
    ///         RootCertStore, ServerConfig,
    ///         pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    ///         server::WebPkiClientVerifier,
    ///     },
    /// };
    ///
    /// fn mutual_tls(chain: &[u8], key: &[u8], authority: &[u8]) -> Result<Tls, Box<dyn Error>> {
    ///     let mut roots = RootCertStore::empty();
    ///     for certificate in CertificateDer::pem_slice_iter(authority) {
    ///         roots.add(certificate?)?;
    ///     }
    ///     let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    ///     let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
    ///     let mut config = ServerConfig::builder()
    ///         .with_client_cert_verifier(verifier)
    ///         .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key)?)?;
    ///     config.alpn_protocols = vec![b"http/1.1".to_vec()];
    ///     Ok(Tls::from_config(Arc::new(config)))
    /// }
    /// ```
    ///
    /// rustls finds the crypto provider by itself if its feature `ring` is the only one that is on, or if the process
    /// has installed one.
    #[must_use]
    pub fn from_config(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Replaces the certificate and the key for all later handshakes.
    ///
    /// # Errors
    /// [`TlsError`]; the previous certificate and key then stay in use.
    pub fn reload(&self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<(), TlsError> {
        self.reload_config(config(chain.as_ref(), key.as_ref())?);
        Ok(())
    }

    /// Replaces all settings for all later handshakes.
    pub fn reload_config(&self, config: Arc<ServerConfig>) {
        // Destructors of the old settings, such as a certificate resolver's, run without the lock.
        let before = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), config);
        drop(before);
    }

    /// Does the TLS handshake on an accepted stream, for use with [`Acceptor`](crate::Acceptor). There is no deadline:
    /// use [`tokio::time::timeout`]. A [`Server`](crate::Server) with
    /// [`ServerBuilder::tls`](crate::ServerBuilder::tls) does all of this by itself.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use ws_server::{Acceptor, Tls};
    ///
    /// # async fn example(tls: Tls, tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    /// let stream = tokio::time::timeout(Duration::from_secs(10), tls.accept(tcp)).await??;
    /// let mut ws = Acceptor::new().over_tls(true).accept(stream).await?;
    /// ws.send("hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Errors of the stream, and failed TLS handshakes.
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, io: S) -> io::Result<TlsStream<S>> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(io).await.map(TlsStream::new)
    }
}

/// Omits the settings, because they contain the private key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
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
