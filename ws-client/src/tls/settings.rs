//! TLS settings of a client: trusted certificate authorities, client certificate and crypto provider.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, pki_types::ServerName};
use tokio_rustls::TlsConnector;
use ws_tokio::tls::{TlsError, certificates, crypto_provider, private_key};

use super::{insecure, stream::TlsStream};

/// TLS settings of a client.
///
/// Clones share the settings and the cache of session tickets, so further connections to the same server can
/// resume a session.
///
/// A [`Connector`](crate::Connector) without TLS settings uses [`Tls::shared`].
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

/// Builds [`Tls`] settings.
#[derive(Default)]
#[must_use]
pub struct TlsBuilder {
    roots: Roots,
    authorities: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    accepts_any_certificate: bool,
    provider: Option<Arc<CryptoProvider>>,
}

/// The set of certificate authorities that are trusted in addition to those of [`TlsBuilder::authority`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Mozilla's authorities, as compiled into the program.
    #[default]
    Bundled,
    /// The operating system's authorities.
    #[cfg(feature = "tls-platform-roots")]
    Platform,
    /// No further authorities.
    None,
}

impl Tls {
    /// The process-wide default settings: Mozilla's authorities and no client certificate. Connectors without
    /// TLS settings share them.
    ///
    /// # Errors
    /// [`TlsError::NoProvider`] if there is no crypto provider.
    pub fn shared() -> Result<Self, TlsError> {
        static SHARED: OnceLock<Tls> = OnceLock::new();
        if let Some(shared) = SHARED.get() {
            return Ok(shared.clone());
        }
        let built = Self::builder().build()?;
        Ok(SHARED.get_or_init(|| built).clone())
    }

    /// Starts with the default settings.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// The same settings with one ALPN protocol.
    #[cfg(feature = "http2")]
    pub(crate) fn with_alpn(&self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(&self.0);
        config.alpn_protocols = vec![protocol.to_vec()];
        Self(Arc::new(config))
    }

    /// Performs the TLS handshake with `host`, a name or an address. A name is sent as SNI.
    pub(crate) async fn connect<S>(&self, host: &str, io: S) -> io::Result<TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, io).await.map(TlsStream::new)
    }
}

/// Uses a complete rustls configuration, including its ALPN protocols. For servers that also support HTTP/2,
/// set them to `http/1.1`.
impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }
}

/// Omits the client certificate and its private key.
impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder")
            .field("roots", &self.roots)
            .field("accepts_any_certificate", &self.accepts_any_certificate)
            .finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Sets which authorities are trusted. Default: [`Roots::Bundled`].
    pub const fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Also trusts these certificate authorities, in PEM.
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Sets the client's certificate chain and private key, in PEM.
    pub fn identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// Accepts any certificate. An attacker on the network path can then read and change all traffic. Use it
    /// only for tests against servers without a trusted certificate.
    pub const fn danger_accept_any_certificate(mut self) -> Self {
        self.accepts_any_certificate = true;
        self
    }

    /// Sets the crypto provider. Default: the provider that the process installed, or *ring* if it installed
    /// none and the feature `tls` is on.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Validates and builds the settings.
    ///
    /// # Errors
    /// [`TlsError`] if PEM data cannot be parsed, if a key does not match its certificate, or if there is no
    /// crypto provider.
    pub fn build(self) -> Result<Tls, TlsError> {
        let provider = self.provider.clone().map_or_else(crypto_provider, Ok)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.accepts_any_certificate {
            builder.dangerous().with_custom_certificate_verifier(insecure::verifier(provider))
        } else {
            builder.with_root_certificates(self.trusted()?)
        };
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(certificates(&chain)?, private_key(&key)?)?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(Arc::new(config)))
    }

    fn trusted(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match self.roots {
            Roots::Bundled => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            #[cfg(feature = "tls-platform-roots")]
            Roots::Platform => add_platform_roots(&mut store)?,
            Roots::None => {}
        }
        for pem in &self.authorities {
            for certificate in certificates(pem)? {
                store.add(certificate)?;
            }
        }
        Ok(store)
    }
}

/// Skips certificates that rustls cannot parse. If none remain, no server could be trusted, so that is an
/// error.
#[cfg(feature = "tls-platform-roots")]
fn add_platform_roots(store: &mut RootCertStore) -> Result<(), TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(loaded.certs);
    if added > 0 {
        return Ok(());
    }
    let reasons: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    Err(TlsError::PlatformRoots(if reasons.is_empty() {
        io::Error::new(io::ErrorKind::NotFound, "none found that can be parsed")
    } else {
        io::Error::other(reasons.join("; "))
    }))
}
