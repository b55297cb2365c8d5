//! Options of the backplane.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    RedisBackplane,
    commands::Commands,
    endpoint::{Connecting, Credentials, Endpoint, parse},
    names::Names,
    subscriber::{Context, Subscriber},
    topology::{Source, Topology},
    window::Window,
};
use crate::event::EventQueue;

/// Builds a [`RedisBackplane`]. `Debug` shows no credentials.
#[derive(Clone)]
#[must_use]
pub struct RedisBackplaneBuilder {
    urls: Vec<String>,
    kind: Kind,
    sentinel_password: Option<String>,
    prefix: String,
    probe_interval: Duration,
    probe_timeout: Duration,
    connect_timeout: Duration,
    deadline: Duration,
    window: usize,
    max_event_bytes: usize,
    #[cfg(feature = "redis-tls")]
    roots: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Kind {
    Single,
    Sentinel(String),
    Cluster,
}

/// Why a [`RedisBackplane`] cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// There is no URL.
    #[error("no URL is given")]
    NoUrl,
    /// There are several URLs, but neither [`sentinel`](RedisBackplaneBuilder::sentinel) nor
    /// [`cluster`](RedisBackplaneBuilder::cluster) was called.
    #[error("{count} URLs are given: one server has one")]
    SeveralUrls {
        /// The number of URLs.
        count: usize,
    },
    /// A URL cannot be used. The URL is not shown, because it may have a password.
    #[error("URL number {number} cannot be used: {reason}")]
    Url {
        /// The place in the list, from 1 on.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option has a value that cannot be used.
    #[error("`{option}` is {value}: {reason}")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// The value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no tokio runtime, which the connections need.
    #[error("there is no tokio runtime")]
    NoRuntime,
    /// The certificates for TLS cannot be used.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    #[error("the certificates for TLS cannot be used")]
    Tls {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl RedisBackplaneBuilder {
    pub(super) fn new(urls: Vec<String>) -> Self {
        Self {
            urls,
            kind: Kind::Single,
            sentinel_password: None,
            prefix: "ws".to_owned(),
            probe_interval: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(3),
            deadline: Duration::from_secs(5),
            window: 16 * 1024 * 1024,
            max_event_bytes: 64 * 1024 * 1024,
            #[cfg(feature = "redis-tls")]
            roots: Vec::new(),
        }
    }

    /// The URLs are those of sentinels, which name the master of this service. User, password and database of the first
    /// URL are for the master.
    pub fn sentinel(mut self, service: impl Into<String>) -> Self {
        self.kind = Kind::Sentinel(service.into());
        self
    }

    /// The password of the sentinels, if they have one.
    pub fn sentinel_password(mut self, password: impl Into<String>) -> Self {
        self.sentinel_password = Some(password.into());
        self
    }

    /// The URLs are those of some servers of a cluster, from Redis 7.0 or Valkey on. The others are found. User and
    /// password of the first URL are for all.
    pub fn cluster(mut self) -> Self {
        self.kind = Kind::Cluster;
        self
    }

    /// What the names of all keys and channels begin with. All nodes need the same one. Default: `ws`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How often each connection that subscribes is probed. Default: 10 seconds.
    pub const fn probe_interval(mut self, interval: Duration) -> Self {
        self.probe_interval = interval;
        self
    }

    /// The time in which a probe has to come back, and a subscription has to be confirmed. Default: 3 seconds.
    pub const fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.probe_timeout = timeout;
        self
    }

    /// The time that an attempt to connect may take. Default: 3 seconds.
    pub const fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The deadline of each operation: publications, changes of what is watched, history, presence. Default: 5 seconds.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The most bytes of publications (topics and envelopes) that wait for the broker's answer. Beyond it, publishing
    /// fails with [`Full`](crate::BackplaneError::Full). Default: 16 MiB.
    pub const fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.window = bytes;
        self
    }

    /// The limit of the [`EventQueue`]. Default: 64 MiB.
    pub const fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Trusts this certificate authority (DER) for `rediss://`, and no longer those of the platform. May be called
    /// several times.
    #[cfg(feature = "redis-tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn root_certificate(mut self, der: impl Into<Vec<u8>>) -> Self {
        self.roots.push(der.into());
        self
    }

    /// Starts the backplane. It connects in the background: [`Up`](crate::BackplaneEvent::Up) is its first event. Call
    /// it within a tokio runtime.
    ///
    /// # Errors
    /// [`RedisConfigError`]. That no server can be reached is no error here.
    pub fn start(self) -> Result<RedisBackplane, RedisConfigError> {
        self.check()?;
        let (endpoints, credentials) = self.endpoints()?;
        let connecting = |credentials| -> Result<Connecting, RedisConfigError> {
            Ok(Connecting {
                credentials,
                timeout: self.connect_timeout,
                #[cfg(feature = "redis-tls")]
                tls: super::tls::Tls::new(&self.roots)
                    .map_err(|source| RedisConfigError::Tls { source: source.into() })?,
            })
        };
        let source = match &self.kind {
            Kind::Single => Source::Single(endpoints.into_iter().next().ok_or(RedisConfigError::NoUrl)?),
            Kind::Cluster => Source::Cluster { seeds: endpoints },
            Kind::Sentinel(service) => {
                let credentials =
                    self.sentinel_password.as_ref().map_or_else(Credentials::default, |password| {
                        Credentials(::redis::RedisConnectionInfo::default().set_password(password))
                    });
                let connecting = connecting(credentials)?;
                Source::Sentinel { sentinels: endpoints, service: service.clone(), connecting }
            }
        };
        tokio::runtime::Handle::try_current().map_err(|_| RedisConfigError::NoRuntime)?;
        let connecting = connecting(credentials)?;
        let topology = Arc::new(Topology::new(source, connecting.clone()));
        let commands = Arc::new(Commands::new(Arc::clone(&topology), connecting.clone()));
        let (queue, events) = EventQueue::new(self.max_event_bytes);
        let names = Names::new(&self.prefix);
        let subscriber = Subscriber::start(Context {
            topology: Arc::clone(&topology),
            commands: Arc::clone(&commands),
            connecting,
            names: names.clone(),
            events: queue,
            probe_interval: self.probe_interval,
            probe_timeout: self.probe_timeout,
        });
        Ok(RedisBackplane {
            names,
            sharded: topology.is_sharded(),
            commands,
            subscriber,
            window: Window::new(self.window),
            deadline: self.deadline,
            events: Mutex::new(Some(events)),
        })
    }

    fn check(&self) -> Result<(), RedisConfigError> {
        let option = |option, value: &dyn fmt::Debug, reason| {
            Err(RedisConfigError::Option { option, value: format!("{value:?}"), reason })
        };
        if self.prefix.contains(['{', '}']) {
            return option(
                "prefix",
                &self.prefix,
                "must not have a brace, which chooses the slots in a cluster",
            );
        }
        let times = [
            ("probe_interval", self.probe_interval),
            ("probe_timeout", self.probe_timeout),
            ("connect_timeout", self.connect_timeout),
            ("deadline", self.deadline),
        ];
        for (name, time) in times {
            if time.is_zero() || time > Duration::from_secs(24 * 60 * 60) {
                return option(name, &time, "must be above zero and at most one day");
            }
        }
        match (&self.kind, self.urls.len()) {
            (_, 0) => Err(RedisConfigError::NoUrl),
            (Kind::Single, count @ 2..) => Err(RedisConfigError::SeveralUrls { count }),
            _ => Ok(()),
        }
    }

    fn endpoints(&self) -> Result<(Vec<Endpoint>, Credentials), RedisConfigError> {
        let mut endpoints = Vec::new();
        let mut credentials = None;
        for (index, url) in self.urls.iter().enumerate() {
            let (endpoint, own) =
                parse(url).map_err(|reason| RedisConfigError::Url { number: index + 1, reason })?;
            if matches!(endpoint, Endpoint::Unix(_)) && !matches!(self.kind, Kind::Single) {
                let reason = "a Unix socket does not lead to the other servers";
                return Err(RedisConfigError::Url { number: index + 1, reason });
            }
            endpoints.push(endpoint);
            credentials.get_or_insert(own);
        }
        Ok((endpoints, credentials.unwrap_or_default()))
    }
}

impl fmt::Debug for RedisBackplaneBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplaneBuilder")
            .field("urls", &self.urls.len())
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .field("probe_interval", &self.probe_interval)
            .field("probe_timeout", &self.probe_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("deadline", &self.deadline)
            .field("max_in_flight_bytes", &self.window)
            .field("max_event_bytes", &self.max_event_bytes)
            .finish_non_exhaustive()
    }
}
