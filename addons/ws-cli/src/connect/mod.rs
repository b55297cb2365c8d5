//! Connecting, as the options of the command line say.

mod headers;
mod heads;
mod link;
mod resolve;
mod tls;

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use ws_client::{
    Connected, Connector, DeflateConfig, Proxy, ProxyUrl, WebSocket, error::ConnectError, protocol::Parts,
};

use crate::{
    cli::ConnectionArgs,
    console, escape,
    exit::{Code, Failure, Outcome},
};
pub(crate) use link::{Link, News, NotSent, Outgoing};
pub(crate) use tls::read as read_file;

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Io for S {}

/// An open connection. Its transport has one type for TCP, TLS and Unix sockets.
pub(crate) type Socket = WebSocket<Box<dyn Io>>;

/// Everything that is needed to connect, once or many times.
#[derive(Clone)]
pub(crate) struct Target {
    url: String,
    connector: Connector,
    #[cfg(unix)]
    socket: Option<std::path::PathBuf>,
    verbose: u8,
}

impl Target {
    /// Reads the files that the options name, and checks the options.
    pub(crate) fn new(url: &str, subprotocols: &[String], args: &ConnectionArgs) -> Outcome<Self> {
        let url = with_scheme(url)?;
        let mut connector = Connector::new()
            .handshake_timeout(args.connect_timeout)
            .close_timeout(args.close_timeout)
            .max_message_size(args.max_size)
            .redirects(if args.location { 5 } else { 0 });
        if !args.no_compress {
            connector = connector.deflate(DeflateConfig::client());
        }
        connector = headers::add(connector, args)?;
        for name in subprotocols {
            connector = connector.subprotocol(name);
        }
        match args.proxy.as_deref() {
            None => {}
            Some("none") => connector = connector.proxy(Proxy::None),
            Some(proxy) => {
                let proxy = ProxyUrl::parse(proxy).map_err(|error| Failure::usage(error.to_string()))?;
                connector = connector.proxy(Proxy::Through(proxy));
            }
        }
        if !args.resolve.is_empty() {
            connector = resolve::with_addresses(connector, &args.resolve)?;
        }
        if url.starts_with("wss:") || args.location || !args.cacert.is_empty() || args.cert.is_some() {
            connector = connector.tls(tls::settings(args)?);
        }
        Ok(Self {
            url,
            connector,
            #[cfg(unix)]
            socket: args.unix.clone(),
            verbose: args.verbose,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Connects. With `--verbose`, shows both heads on stderr.
    pub(crate) async fn connect(&self) -> Outcome<Socket> {
        let opened = tokio::select! {
            opened = self.attempt() => opened,
            () = interrupted() => return Err(Failure::interrupted()),
        };
        opened
            .map_err(Failure::from)?
            .ok_or_else(|| Failure::new(Code::Abnormal, "the connection ended during the handshake"))
    }

    /// Connects, and shows what `--verbose` asks for. `None` if the connection is over already.
    async fn attempt(&self) -> Result<Option<Socket>, ConnectError> {
        if self.verbose == 0 {
            return self.open(&self.connector).await;
        }
        // The request that is shown has the nonce of the one that is sent.
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| ConnectError::Randomness(error.into()))?;
        let connector = self.connector.clone().mask_seed(seed);
        heads::show_request(&connector, &self.url, self.verbose > 1).await;
        let opened = self.open(&connector).await;
        if let Err(ConnectError::Refused(refusal)) = &opened {
            heads::show_response(refusal.status(), refusal.headers(), self.verbose > 1);
        }
        opened
    }

    /// `None` if the connection is over already.
    async fn open(&self, connector: &Connector) -> Result<Option<Socket>, ConnectError> {
        #[cfg(unix)]
        if let Some(path) = &self.socket {
            let host = path.display().to_string();
            let socket = tokio::net::UnixStream::connect(path).await;
            let socket = socket.map_err(|source| unix_error(&host, source))?;
            return Ok(if self.url.starts_with("wss:") {
                let connected = connector.connect_tls_on(&self.url, socket).await?;
                self.show(&connected, |stream| heads::tls(Some(stream.tls())));
                boxed(connected)
            } else {
                let connected = connector.connect_on(&self.url, socket).await?;
                self.show(&connected, |_| Vec::new());
                boxed(connected)
            });
        }
        let connected = connector.open(&self.url).await?;
        self.show(&connected, heads::of_stream);
        Ok(boxed(connected))
    }

    fn show<S>(&self, connected: &Connected<S>, describe: impl FnOnce(&S) -> Vec<String>) {
        if self.verbose > 0 {
            for line in connected.ws.with_io(describe).unwrap_or_default() {
                console::err(format!("* {}", escape::line(&line)));
            }
            let response = &connected.response;
            heads::show_response(response.status(), response.headers(), self.verbose > 1);
        }
    }
}

/// The error of a connection to a Unix socket has the same form as that of one to a host.
#[cfg(unix)]
fn unix_error(path: &str, source: std::io::Error) -> ConnectError {
    ConnectError::Io(std::io::Error::new(source.kind(), format!("cannot connect to {path}: {source}")))
}

/// Boxes the transport. `None` if the connection is over already.
fn boxed<S: Io + 'static>(connected: Connected<S>) -> Option<Socket> {
    let subprotocol = connected.ws.subprotocol().map(str::to_owned);
    let Parts { io, connection, received, .. } = connected.ws.into_parts()?;
    let ws = WebSocket::new(Box::new(io) as _, connection);
    Some(ws.with_received(&received).with_subprotocol(subprotocol))
}

/// Adds `ws://` to a URL without a scheme. A word without a dot, a colon or a slash is more likely a command with a
/// typing error.
fn with_scheme(url: &str) -> Outcome<String> {
    if url.contains("://") || url.starts_with("ws+unix:") {
        return Ok(url.to_owned());
    }
    if url != "localhost" && !url.contains(['.', ':', '/']) {
        return Err(Failure::usage(format!("{url:?} is neither a URL nor a command; see ws --help")));
    }
    Ok(format!("ws://{url}"))
}

/// Waits for a duration that may be unlimited.
pub(crate) async fn sleep(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Waits until the user or the system ends the program.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
