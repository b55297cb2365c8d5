//! TLS for a client: whom it trusts, and who it is.

use std::{
    fmt, io,
    sync::{Arc, OnceLock},
};

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, pki_types::ServerName};
use tokio_rustls::{TlsConnector, client::TlsStream};
use ws_tokio::tls::{TlsError, certificates, crypto_provider, private_key};

mod insecure;

/// A client's TLS settings. Clones share them, and the session tickets of the servers that were talked to, so that a
/// further connection to one of them takes a round trip less.
///
/// [`Connector`](crate::Connector) without any uses [`Tls::shared`].
#[derive(Clone, Debug)]
pub struct Tls(Arc<ClientConfig>);

/// Makes [`Tls`] settings.
#[derive(Default)]
#[must_use]
pub struct TlsBuilder {
    roots: Roots,
    authorities: Vec<Vec<u8>>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    accepts_anybody: bool,
    provider: Option<Arc<CryptoProvider>>,
}

/// Which authorities are trusted beside those that are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roots {
    /// Mozilla's, as of when this was built.
    #[default]
    Bundled,
    /// Those of the operating system.
    #[cfg(feature = "tls-platform-roots")]
    Platform,
    /// None.
    None,
}

impl Tls {
    /// The settings that all connectors of the process share unless they have their own: Mozilla's authorities, no client
    /// certificate.
    ///
    /// # Errors
    /// [`TlsError::NoProvider`].
    pub fn shared() -> Result<Self, TlsError> {
        static SHARED: OnceLock<Tls> = OnceLock::new();
        if let Some(shared) = SHARED.get() {
            return Ok(shared.clone());
        }
        let built = Self::builder().build()?;
        Ok(SHARED.get_or_init(|| built).clone())
    }

    /// Other settings.
    pub fn builder() -> TlsBuilder {
        TlsBuilder::default()
    }

    /// The TLS handshake with the server that is called `host`: a name, which goes along as SNI, or an address.
    pub(crate) async fn connect<S>(&self, host: &str, io: S) -> io::Result<TlsStream<S>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(Arc::clone(&self.0)).connect(name, io).await
    }
}

/// Settings of the caller's own. ALPN is theirs too: a server that speaks HTTP/2 needs `http/1.1` there.
impl From<Arc<ClientConfig>> for Tls {
    fn from(config: Arc<ClientConfig>) -> Self {
        Self(config)
    }
}

/// Without the private key.
impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsBuilder")
            .field("roots", &self.roots)
            .field("accepts_anybody", &self.accepts_anybody)
            .finish_non_exhaustive()
    }
}

impl TlsBuilder {
    /// Which authorities are trusted. Default: [`Roots::Bundled`].
    pub const fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Trusts these authorities too, in PEM.
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// The client's own certificate chain and private key, in PEM.
    pub fn identity(mut self, chain: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some((chain.into(), key.into()));
        self
    }

    /// Accepts any certificate, whoever it belongs to: anybody on the way can read and change everything. For tests
    /// against servers that have no real one.
    pub const fn danger_accept_any_certificate(mut self) -> Self {
        self.accepts_anybody = true;
        self
    }

    /// Uses this crypto provider. Default: the one that the process installed, else the one that is built in.
    pub fn provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// The settings, checked.
    ///
    /// # Errors
    /// [`TlsError`] for a PEM that cannot be read, a key that does not belong to its certificate, a missing provider.
    pub fn build(self) -> Result<Tls, TlsError> {
        let provider = self.provider.clone().map_or_else(crypto_provider, Ok)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.accepts_anybody {
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

/// Some may be of a kind that rustls does not know; without a single one nothing could ever be trusted.
#[cfg(feature = "tls-platform-roots")]
fn add_platform_roots(store: &mut RootCertStore) -> Result<(), TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(loaded.certs);
    if added > 0 {
        return Ok(());
    }
    let reasons: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
    Err(TlsError::PlatformRoots(if reasons.is_empty() {
        "there are none".to_owned()
    } else {
        reasons.join("; ")
    }))
}
