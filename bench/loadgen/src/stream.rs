//! A connection to the server, with or without TLS. It never blocks.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, crypto::ring, version};
use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// The maximum size of one read of encrypted bytes.
const READ: usize = 64 * 1024;

/// The name in the server's certificate.
const NAME: &str = "localhost";

thread_local! {
    static ENCRYPTED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

/// A connection to the server.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A connection with TLS, before and after its handshake.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
}

/// The settings of all TLS connections.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings(Arc<ClientConfig>);

impl TlsSettings {
    /// Trusts the certificate in this file, and no other.
    pub(crate) fn trusting(file: &str) -> Result<Self, String> {
        let explain = |error: &dyn std::fmt::Display| format!("--tls {file}: {error}");
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(file).map_err(|error| explain(&error))?;
        roots.add(certificate).map_err(|error| explain(&error))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).map_err(|error| explain(&error))?;
        Ok(Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }
}

impl Stream {
    pub(crate) fn new(socket: TcpStream, tls: Option<&TlsSettings>) -> io::Result<Self> {
        let Some(settings) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(settings.0.clone(), name).map_err(io::Error::other)?;
        // What the kernel does not accept waits in the session. See `flush`.
        session.set_buffer_limit(None);
        Ok(Self::Tls(Box::new(Tls { socket, session })))
    }

    /// Takes and clears the socket's error.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Plain(socket) => socket.take_error(),
            Self::Tls(tls) => tls.socket.take_error(),
        }
    }

    /// Continues the TLS handshake. Returns true when it is complete, and without TLS.
    pub(crate) fn handshake(&mut self) -> io::Result<bool> {
        let Self::Tls(tls) = self else { return Ok(true) };
        tls.flush()?;
        if tls.session.is_handshaking() {
            match tls.receive(&mut []) {
                // A part of the handshake may have arrived. The kernel reports when there is more.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) => return Err(error),
            }
            tls.flush()?;
        }
        Ok(!tls.session.is_handshaking())
    }

    /// Sends what the kernel has not accepted so far. Returns whether nothing is left.
    pub(crate) fn send_rest(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Tls {
    fn flush(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                result => result?,
            };
        }
        Ok(true)
    }

    /// Reads encrypted bytes once, and decrypts all of them into `buffer`. `WouldBlock` also means that no message's
    /// bytes were among them.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        ENCRYPTED.with_borrow_mut(|encrypted| {
            let count = self.socket.read(encrypted)?;
            let mut rest = &encrypted[..count];
            let mut done = 0;
            while !rest.is_empty() {
                self.session.read_tls(&mut rest)?;
                self.session.process_new_packets().map_err(io::Error::other)?;
                while done < buffer.len() {
                    match self.session.reader().read(&mut buffer[done..]) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Ok(0) => return Ok(done),
                        result => done += result?,
                    }
                }
            }
            if count > 0 && done == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(done) }
        })
    }
}

impl Read for Stream {
    /// With TLS, `buffer` must have room for all that one read decrypts, because the kernel does not report what stays
    /// in the session.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.receive(buffer),
        }
    }
}

impl Write for Stream {
    /// With TLS, all bytes are accepted. [`Stream::send_rest`] sends what the kernel does not take.
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buffer),
            Self::Tls(tls) => {
                let count = tls.session.writer().write(buffer)?;
                tls.flush()?;
                Ok(count)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Plain(socket) => socket.as_raw_fd(),
            Self::Tls(tls) => tls.socket.as_raw_fd(),
        }
    }
}
