//! An authority of the tests' own, and the certificates that it issues.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

/// A certificate authority that nobody trusts unless told to.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both in PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub chain: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// Never, unless the operating system has no randomness.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Else one would be taken for another whose signature is wrong.
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these names and addresses.
    ///
    /// # Panics
    /// When a name is none.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { chain, key: key.serialize_pem() }
    }
}

/// Files of a new authority's certificate (`ca`), and of one for this machine (`cert`) with its key (`key`), all in PEM.
/// They go when this is dropped.
#[derive(Debug)]
pub struct CertificateFiles {
    folder: PathBuf,
    authority: Authority,
}

impl CertificateFiles {
    /// In a temporary folder.
    ///
    /// # Panics
    /// When that cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let authority = Authority::new();
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ws-certificates-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let identity = authority.issue(&["localhost", "127.0.0.1"]);
        for (file, pem) in [("ca", authority.pem()), ("cert", &identity.chain), ("key", &identity.key)] {
            std::fs::write(folder.join(file), pem).expect("a file");
        }
        Self { folder, authority }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a file lies.
    #[must_use]
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// What is in it.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).expect("a file")
    }

    /// The authority.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl Default for CertificateFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for CertificateFiles {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}
