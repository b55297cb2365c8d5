//! The certificate of the cases with TLS: made for one run, and deleted after it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

/// A certificate for `localhost` and its key, as PEM files in a folder that only this user can read.
#[derive(Debug)]
pub(crate) struct Certificate {
    folder: PathBuf,
}

impl Certificate {
    pub(crate) fn new() -> io::Result<Self> {
        let names = vec![String::from("localhost"), String::from("127.0.0.1")];
        let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("ws-bench-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let certificate = Self { folder };
        fs::write(certificate.chain(), made.cert.pem())?;
        fs::write(certificate.key(), made.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    /// The path of the certificate.
    pub(crate) fn chain(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    /// The path of its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // An error leaves a certificate that no program trusts any more.
        let _ = fs::remove_dir_all(&self.folder);
    }
}
