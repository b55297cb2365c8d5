//! Command-line options.

use std::{io, path::PathBuf, time::Duration};

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};
use ws_examples::site;
use ws_server::{DeflateConfig, Keepalive, Server, Tls, topics::Topics};

use crate::page::FILES;

pub(crate) const USAGE: &str = "\
usage: chat-server [ADDR] [--tls-cert PEM --tls-key PEM] [--history MESSAGES]
                   [--redis URL | --nats URL]";

/// The longest command, in bytes. A message of the longest text fits, even if JSON escapes each character.
const MAX_COMMAND: usize = 32 * 1024;

/// The most messages of a room that can be kept.
const MAX_HISTORY: usize = 100_000;

pub(crate) struct Options {
    addr: String,
    /// The paths of the certificate and the key.
    tls: Option<(PathBuf, PathBuf)>,
    /// The messages of a room that are kept.
    pub(crate) history: usize,
    /// Connects the rooms with those of other processes.
    pub(crate) broker: Option<Broker>,
}

/// What carries messages between processes, and its URL.
pub(crate) enum Broker {
    Redis(String),
    Nats(String),
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut addr = "127.0.0.1:9002".to_owned();
        let (mut cert, mut key) = (None, None);
        let (mut history, mut broker) = (300, None);
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("tls-cert") => cert = Some(parser.value()?.into()),
                Long("tls-key") => key = Some(parser.value()?.into()),
                Long("redis") if broker.is_none() => broker = Some(Broker::Redis(parser.value()?.string()?)),
                Long("nats") if broker.is_none() => broker = Some(Broker::Nats(parser.value()?.string()?)),
                Long("redis" | "nats") => return Err("--redis or --nats may be used once".into()),
                Long("history") => history = parser.value()?.parse_with(messages)?,
                Value(value) => addr = value.string()?,
                other => return Err(other.unexpected()),
            }
        }
        if cert.is_some() != key.is_some() {
            return Err("--tls-cert and --tls-key must be used together".into());
        }
        Ok(Some(Self { addr, tls: cert.zip(key), history, broker }))
    }

    /// Starts a server with these options.
    pub(crate) async fn bind(&self, topics: &Topics) -> io::Result<Server> {
        let addr = &self.addr;
        let keepalive = Keepalive::new(Duration::from_secs(20), Duration::from_secs(10));
        let mut builder = Server::builder()
            .topics(topics.clone())
            .http(|request| site::respond(&FILES, request))
            .max_message_size(MAX_COMMAND)
            .keepalive(keepalive)
            .deflate(DeflateConfig::server());
        let mut scheme = "http";
        if let Some((cert, key)) = &self.tls {
            let tls = Tls::from_pem(std::fs::read(cert)?, std::fs::read(key)?).map_err(io::Error::other)?;
            (builder, scheme) = (builder.tls(tls), "https");
        }
        let server = builder
            .bind(addr)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
        println!("listening on {scheme}://{}/", server.local_addr()?);
        Ok(server)
    }
}

fn messages(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=MAX_HISTORY).contains(&count) => Ok(count),
        Ok(count) => Err(format!("{count} is not from 1 to {MAX_HISTORY}")),
        Err(error) => Err(error.to_string()),
    }
}
