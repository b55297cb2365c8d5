//! The command line, and the socket from the service manager.

use std::{error::Error, net::TcpListener, time::Duration};

use lexopt::{ValueExt as _, prelude::Long};
use listenfd::ListenFd;

pub(crate) struct Options {
    /// The address of the health check.
    pub(crate) health: String,
    /// The broker of the topics.
    pub(crate) redis: Option<String>,
    /// Threads of the server's own. 0: connections are tasks.
    pub(crate) shards: usize,
    pub(crate) ready_delay: Duration,
    pub(crate) spread: Duration,
    pub(crate) grace: Duration,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            health: "127.0.0.1:0".to_owned(),
            redis: None,
            shards: 0,
            ready_delay: Duration::ZERO,
            spread: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            let seconds = |value: f64| Duration::try_from_secs_f64(value);
            match argument {
                Long("health") => options.health = parser.value()?.string()?,
                Long("redis") => options.redis = Some(parser.value()?.string()?),
                Long("shards") => options.shards = parser.value()?.parse()?,
                Long("ready-delay") => options.ready_delay = seconds(parser.value()?.parse()?)?,
                Long("spread") => options.spread = seconds(parser.value()?.parse()?)?,
                Long("grace") => options.grace = seconds(parser.value()?.parse()?)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// The first socket that was passed (`sd_listen_fds(3)`).
pub(crate) fn listener() -> Result<TcpListener, Box<dyn Error>> {
    let listener =
        ListenFd::from_env().take_tcp_listener(0)?.ok_or("no socket was passed to this process")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
