//! A certificate authority for tests, and the certificates that it issues.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

/// A certificate authority. A client or server trusts it only if the test adds it to its roots.
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
    /// Makes a new authority.
    ///
    /// # Panics
    /// When the operating system provides no random bytes.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With the same name, a certificate of one authority would look like a forged one of another.
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("test authority {number}"));
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// The authority's own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Issues a certificate for these host names and IP addresses.
    ///
    /// # Panics
    /// When a name is invalid.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { chain, key: key.serialize_pem() }
    }
}

/// PEM files with a new authority's certificate (`ca`), and a certificate for this machine (`cert`) with its key
/// (`key`). Dropping this removes them.
#[derive(Debug)]
pub struct CertificateFiles {
    folder: PathBuf,
    authority: Authority,
}

impl CertificateFiles {
    /// Writes the files to a temporary folder.
    ///
    /// # Panics
    /// When that fails.
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

    /// The folder with the files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// The content of a file.
    ///
    /// # Panics
    /// When it does not exist.
    #[must_use]
    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).expect("a file")
    }

    /// The authority that issued the certificate.
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
