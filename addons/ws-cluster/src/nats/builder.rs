use std::{fmt, time::Duration};

use async_nats::{ConnectOptions, ServerAddr};

use super::{
    NatsBackplane,
    connect::Server,
    subject::{LONGEST_PREFIX, Subjects},
};
use crate::LogOptions;

/// Options of a [`NatsBackplane`]. All nodes of a cluster need the same prefix, stream and number of groups.
#[derive(Clone)]
#[must_use]
pub struct NatsBackplaneBuilder {
    urls: Vec<String>,
    options: ConnectOptions,
    config: Config,
}

#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) prefix: String,
    pub(super) groups: u16,
    pub(super) stream: Option<String>,
    pub(super) domain: Option<String>,
    pub(super) replicas: usize,
    pub(super) in_memory: bool,
    pub(super) log: LogOptions,
    pub(super) deadline: Duration,
    pub(super) in_flight: usize,
    pub(super) event_queue: usize,
    pub(super) subscription_capacity: usize,
    pub(super) probe_interval: Duration,
    pub(super) probe_timeout: Duration,
}

/// Why a [`NatsBackplane`] cannot be made of its options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NatsConfigError {
    /// An option has a value that cannot be used.
    #[error("`{option}` is {value}: {reason}")]
    #[non_exhaustive]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
    /// A server's address is not a URL of NATS. The address is not repeated, since it may hold a password.
    #[error(
        "`url` number {number} is not the address of a NATS server, such as `nats://host:4222` or `tls://host`"
    )]
    #[non_exhaustive]
    Url {
        /// Which address, from 1 on.
        number: usize,
    },
    /// There is no tokio runtime, which the connection needs.
    #[error("there is no tokio runtime")]
    NoRuntime,
}

impl NatsBackplaneBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            urls: vec![url],
            options: ConnectOptions::new(),
            config: Config {
                prefix: "ws".into(),
                groups: 256,
                stream: None,
                domain: None,
                replicas: 1,
                in_memory: false,
                log: LogOptions::default(),
                deadline: Duration::from_secs(5),
                in_flight: 16 << 20,
                event_queue: 64 << 20,
                subscription_capacity: 64 * 1024,
                probe_interval: Duration::from_secs(10),
                probe_timeout: Duration::from_secs(5),
            },
        }
    }

    /// Another server of the same NATS cluster. Servers that a server names are found without it.
    pub fn server(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// How to connect: credentials, TLS, a name. Default: [`ConnectOptions::new`].
    ///
    /// A user and password in the URL win over those here. This backplane sets the callbacks for events and
    /// reconnecting, the number of reconnects, and the capacity of subscriptions itself. `no_echo` must not be set:
    /// the probes would never come back.
    pub fn connect_options(mut self, options: ConnectOptions) -> Self {
        self.options = options;
        self
    }

    /// The first tokens of all subjects. Default: `ws`. The server must allow to publish and subscribe to `PREFIX.>`
    /// and, for logged topics and presence, to publish to `$JS.API.>`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// The stream that holds the logged topics. Presence is in a stream of this name and `_presence`. Defaults: the
    /// prefix, with `_` for each `.`, and `_log` or `_presence`. Streams that do not exist are created.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.config.stream = Some(name.into());
        self
    }

    /// The JetStream domain of the streams. Default: that of the server.
    pub fn jetstream_domain(mut self, domain: impl Into<String>) -> Self {
        self.config.domain = Some(domain.into());
        self
    }

    /// How many servers hold a copy of the streams that this node creates, from 1 to 5. Default: 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.config.replicas = replicas;
        self
    }

    /// Holds the log in the server's memory, for a stream that this node creates. Default: in files.
    pub fn in_memory(mut self) -> Self {
        self.config.in_memory = true;
        self
    }

    /// How long logs are kept. One stream holds all topics, so this applies to all of them. A publication that asks
    /// for more raises the stream's limits; nothing lowers them. Default: [`LogOptions::default`].
    pub fn log(mut self, options: LogOptions) -> Self {
        self.config.log = options;
        self
    }

    /// In how many groups topics are subscribed, from 1 to 4,096. A node gets what is published to the groups of its
    /// topics, and takes its topics from it. Each group costs about 7 KiB of memory per kind of topic. Default: 256.
    pub fn groups(mut self, groups: u16) -> Self {
        self.config.groups = groups;
        self
    }

    /// The deadline of each operation: publishing, watching, reading. Default: 5 s.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.config.deadline = deadline;
        self
    }

    /// Most bytes of publications that wait for the broker. Default: 16 MiB.
    pub fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.config.in_flight = bytes;
        self
    }

    /// Most bytes of events that wait to be taken; see [`EventQueue::new`](crate::EventQueue::new). Default: 64 MiB.
    pub fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.config.event_queue = bytes;
        self
    }

    /// How many messages of one group may wait inside the client. Beyond it, messages are dropped and a
    /// [`Gap`](crate::BackplaneEvent::Gap) is reported. They are moved at once into the queue of events, which is
    /// limited in bytes. Default: 65,536.
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        self.config.subscription_capacity = messages;
        self
    }

    /// How often this node publishes to itself if nothing else shows that it hears the broker. Default: 10 s.
    pub fn probe_interval(mut self, interval: Duration) -> Self {
        self.config.probe_interval = interval;
        self
    }

    /// After which time without an answer this node counts as [`Deaf`](crate::Health::Deaf). After twice that time it
    /// connects again. Default: 5 s.
    pub fn probe_timeout(mut self, timeout: Duration) -> Self {
        self.config.probe_timeout = timeout;
        self
    }

    /// Starts to connect, and returns at once. [`Up`](crate::BackplaneEvent::Up) reports that it is connected.
    ///
    /// # Errors
    /// [`NatsConfigError`] if an option cannot be used, or outside a tokio runtime.
    pub fn start(self) -> Result<NatsBackplane, NatsConfigError> {
        self.config.validate()?;
        let mut servers = Vec::new();
        for (index, url) in self.urls.iter().enumerate() {
            servers.push(server(url).ok_or(NatsConfigError::Url { number: index + 1 })?);
        }
        tokio::runtime::Handle::try_current().map_err(|_| NatsConfigError::NoRuntime)?;
        let options = self.options.subscription_capacity(self.config.subscription_capacity);
        Ok(NatsBackplane::start(self.config, servers, options))
    }
}

impl Config {
    pub(super) fn subjects(&self) -> Subjects {
        Subjects { prefix: self.prefix.clone(), groups: self.groups }
    }

    pub(super) fn log_stream(&self) -> String {
        self.stream.clone().unwrap_or_else(|| format!("{}_log", self.prefix.replace('.', "_")))
    }

    pub(super) fn presence_stream(&self) -> String {
        let name = self.stream.clone().unwrap_or_else(|| self.prefix.replace('.', "_"));
        format!("{name}_presence")
    }

    fn validate(&self) -> Result<(), NatsConfigError> {
        let tokens =
            "must be tokens of letters, digits, `-` and `_`, with dots between them, of at most 128 bytes";
        if !self.prefix.split('.').all(is_word) || self.prefix.len() > LONGEST_PREFIX {
            return Err(wrong("prefix", &self.prefix, tokens));
        }
        for (option, name) in [("stream", &self.stream), ("jetstream_domain", &self.domain)] {
            if let Some(name) = name
                && (!is_word(name) || name.len() > LONGEST_PREFIX)
            {
                return Err(wrong(option, name, "must be at most 128 letters, digits, `-` and `_`"));
            }
        }
        if !(1..=4_096).contains(&self.groups) {
            return Err(wrong("groups", self.groups, "must be from 1 to 4,096"));
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(wrong("replicas", self.replicas, "must be from 1 to 5"));
        }
        at_least_one("log.max_entries", self.log.max_entries)?;
        at_least_one("max_in_flight_bytes", self.in_flight)?;
        at_least_one("subscription_capacity", self.subscription_capacity)?;
        let times = [
            ("log.max_age", self.log.max_age),
            ("deadline", self.deadline),
            ("probe_interval", self.probe_interval),
            ("probe_timeout", self.probe_timeout),
        ];
        for (option, time) in times {
            if time < Duration::from_millis(100) {
                return Err(wrong(option, format_args!("{time:?}"), "must be at least 100 ms"));
            }
        }
        Ok(())
    }
}

fn at_least_one(option: &'static str, value: usize) -> Result<(), NatsConfigError> {
    if value == 0 { Err(wrong(option, value, "must be at least 1")) } else { Ok(()) }
}

fn wrong(option: &'static str, value: impl fmt::Display, reason: &'static str) -> NatsConfigError {
    NatsConfigError::Option { option, value: value.to_string(), reason }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Takes the user and password out of the URL, so that the client library, which may log the URL, does not see them.
fn server(url: &str) -> Option<Server> {
    let address: ServerAddr = url.parse().ok()?;
    let host = address.host();
    if host.is_empty() || !matches!(address.scheme(), "nats" | "tls") {
        return None;
    }
    let login =
        address.username().map(|user| (user.to_owned(), address.password().unwrap_or_default().to_owned()));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{}://{host}:{}", address.scheme(), address.port()).parse().ok()?;
    Some(Server { address, login })
}

impl fmt::Debug for NatsBackplaneBuilder {
    /// Prints neither the servers' addresses nor the connect options, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBackplaneBuilder")
            .field("servers", &self.urls.len())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_error_names_the_option_and_its_value() {
        let error = NatsBackplaneBuilder::new("localhost".into()).prefix("a b").start().unwrap_err();
        assert!(error.to_string().starts_with("`prefix` is a b: "), "{error}");
        let error = NatsBackplaneBuilder::new("localhost".into()).groups(5_000).start().unwrap_err();
        assert_eq!(error.to_string(), "`groups` is 5000: must be from 1 to 4,096");
        let error =
            NatsBackplaneBuilder::new("localhost".into()).deadline(Duration::ZERO).start().unwrap_err();
        assert_eq!(error.to_string(), "`deadline` is 0ns: must be at least 100 ms");
    }

    #[test]
    fn outside_of_a_runtime_there_is_an_error() {
        let error = NatsBackplaneBuilder::new("localhost".into()).start().unwrap_err();
        assert!(matches!(error, NatsConfigError::NoRuntime), "{error}");
    }

    #[tokio::test]
    async fn no_secret_is_printed() {
        for url in ["nats://user:hunter2@host", "http://user:hunter2@host", "nats://user:hunter2@[host"] {
            let options = ConnectOptions::new().user_and_password("user".into(), "hunter2".into());
            let builder = NatsBackplaneBuilder::new(url.into()).server(url).connect_options(options);
            let mut printed = format!("{builder:?}");
            match builder.start() {
                Ok(backplane) => printed += &format!("{backplane:?}"),
                Err(error) => printed += &format!("{error} {error:?}"),
            }
            assert!(!printed.contains("hunter2"), "{printed}");
        }
    }

    #[test]
    fn a_login_is_taken_out_of_the_url() {
        let found = server("tls://user:word@[::1]").unwrap();
        assert_eq!(found.login, Some(("user".into(), "word".into())));
        assert_eq!((found.address.as_url_str(), found.address.host()), ("tls://[::1]:4222", "::1"));
        assert_eq!(server("host:1234").unwrap().address.as_url_str(), "nats://host:1234");
    }
}
