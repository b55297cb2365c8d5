//! The start of the measured servers that run on tokio: `--listen ADDR`, `--workers N`, and TLS.

use bench_common::args::Args;
use bench_common::server;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
pub use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

/// Whether the runtime has timers. Without them it reads the clock less often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The library sets timers.
    On,
    /// The library sets no timers.
    Off,
}

/// A server's command line, and the runtime that follows from it.
#[derive(Debug)]
pub struct Start {
    listen: SocketAddr,
    rest: Args,
    workers: usize,
}

impl Start {
    /// Reads `--listen ADDR` and `--workers N`, and raises the limit of open files. Without `--workers`, the server has
    /// a runtime of one thread. Ends the program with status 2 at an invalid option.
    pub fn from_env() -> Self {
        let server::Options { listen, mut rest } = server::options();
        let workers = rest.take("workers", 0).unwrap_or_else(|message| server::refuse(&message));
        Self { listen, rest, workers }
    }

    /// Removes a flag and returns whether it was given.
    pub fn flag(&mut self, name: &str) -> bool {
        self.rest.take_flag(name)
    }

    /// Removes an option and returns its value, or the default. Ends the program with status 2 at an invalid value.
    pub fn option<T: FromStr>(&mut self, name: &str, default: T) -> T {
        self.rest.take(name, default).unwrap_or_else(|message| server::refuse(&message))
    }

    /// Removes `--tls-cert PEM` and `--tls-key PEM`. Without them there is no TLS. Ends the program with status 2 if a
    /// file cannot be used.
    pub fn tls(&mut self) -> Option<TlsAcceptor> {
        let (chain, key) = (self.option("tls-cert", String::new()), self.option("tls-key", String::new()));
        if chain.is_empty() && key.is_empty() {
            return None;
        }
        let acceptor = acceptor(&chain, &key);
        Some(acceptor.unwrap_or_else(|error| server::refuse(&format!("{chain}, {key}: {error}"))))
    }

    /// Listens and serves until `serve` ends. Ends the program with status 2 if an option is left.
    ///
    /// # Errors
    /// That of the runtime, the listener or the server.
    pub fn run<F, Served>(self, clock: Clock, serve: F) -> io::Result<()>
    where
        F: FnOnce(TcpListener) -> Served,
        Served: Future<Output = io::Result<()>>,
    {
        self.rest.finish().unwrap_or_else(|message| server::refuse(&message));
        runtime(self.workers, clock)?.block_on(async {
            let listener = TcpListener::from_std(server::listen(self.listen)?)?;
            serve(listener).await
        })
    }
}

fn runtime(workers: usize, clock: Clock) -> io::Result<Runtime> {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if workers > 0 {
        builder.worker_threads(workers);
    }
    if clock == Clock::On {
        builder.enable_time();
    }
    builder.enable_io().build()
}

fn acceptor(chain: &str, key: &str) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&version::TLS13, &version::TLS12])?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
