use std::{fmt, ops::Deref, sync::Arc, time::Duration};

#[cfg(feature = "deflate")]
use crate::deflate::SharedDeflate;
use crate::{error::ConfigError, memory::MemoryBudget};

/// Limits on what a peer can make this side hold or do. All connections share them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum payload bytes of one message, all fragments together. It is checked on each frame's header, before the
    /// payload arrives. It does not apply to control frames. Default 16 MiB.
    pub max_message_size: usize,
    /// Maximum payload bytes of one data frame. Default `None`: only `max_message_size` applies.
    pub max_frame_size: Option<usize>,
    /// Maximum frames of one message. Default 131,072.
    pub max_fragments: u32,
    /// Maximum control frames in one read. Default 2,048.
    pub max_control_frames_per_read: u32,
    /// Maximum control frames within one second. A second begins with the first control frame after the previous
    /// second. Default 10,000.
    pub max_control_frames_per_second: u32,
    /// Maximum bytes of a request or response head. Default 8 KiB; a client's connector uses 64 KiB.
    pub max_head_size: usize,
    /// Maximum header lines of a request or response, from 5 to [`MAX_HEADER_LINES`](Self::MAX_HEADER_LINES).
    /// Default 100; a client's connector uses 256.
    pub max_header_lines: usize,
    /// Maximum bytes held for an application that has paused, at least 1. At this limit reading stops. Default 64 KiB.
    pub max_held_bytes: usize,
}

impl Limits {
    /// The largest value of [`max_header_lines`](Self::max_header_lines): an [`http::HeaderMap`] holds no more.
    pub const MAX_HEADER_LINES: usize = 24_576;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 * 1024,
            max_frame_size: None,
            max_fragments: 131_072,
            max_control_frames_per_read: 2_048,
            max_control_frames_per_second: 10_000,
            max_head_size: 8 * 1024,
            max_header_lines: 100,
            max_held_bytes: 64 * 1024,
        }
    }
}

/// Pings a silent peer, and ends the connection if the peer stays silent. Both durations are at least a millisecond: a
/// shorter one would be due again at once, or cause a ping for every received byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// How long the peer may be silent before a ping is sent.
    pub interval: Duration,
    /// How long the peer may stay silent after the ping. Any received byte counts as an answer.
    pub timeout: Duration,
}

impl Keepalive {
    /// A ping after `interval` without a received byte, and the end after `timeout` more.
    #[must_use]
    pub const fn new(interval: Duration, timeout: Duration) -> Self {
        Self { interval, timeout }
    }
}

/// The configuration of a [`Connection`](crate::Connection): plain values, which [`validate`](Self::validate) checks. A
/// duration of more than thirty years counts as thirty years.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Limits on what the peer can make this side hold or do.
    pub limits: Limits,
    /// The longest time from the moment our Close is written, or from a failure, to the end of the transport. Messages
    /// accepted before the Close are written first, as long as the peer accepts them; `write_timeout` limits that time.
    /// If the transport reports its send queue and the peer is still receiving from it, the time counts from the last
    /// byte that the peer received. Default 5 s.
    pub close_timeout: Duration,
    /// Closes the connection with 1001 after this time without traffic in either direction. Keepalive traffic does not
    /// count. Time in which reading has stopped for a paused application does not count, either. Default: off.
    pub idle_timeout: Option<Duration>,
    /// Detects peers that have vanished. A pong may be late while the peer is still receiving what was written before
    /// the ping. While reading has stopped for a paused application, acknowledgements of the peer's system count
    /// instead, if the transport reports them (TCP on Linux); if it does not, the peer is not checked. Default: a ping
    /// after 30 s of silence, and the end 30 s later.
    pub keepalive: Option<Keepalive>,
    /// Ends the connection if the peer receives none of the pending bytes for this time, also after a close. A
    /// transport that reports its send queue (TCP on Linux) is queried 16 times in this time, so the end may come a
    /// sixteenth later. `None`: the connection waits without limit while it is open, and for `close_timeout` after a
    /// close. Two ends without it that both only send then wait for each other, once both hold `max_held_bytes`.
    /// Default 60 s.
    pub write_timeout: Option<Duration>,
    /// Ends the connection with 1008 if a message or a frame is not complete this long after it began. Time in which
    /// reading has stopped for a paused application does not count. This limits how long a peer can make this side hold
    /// memory. Choose it long enough for large messages on slow links. Default 2 minutes.
    pub message_timeout: Option<Duration>,
    /// Whether received text is checked for valid UTF-8. Default: yes.
    ///
    /// Without the check, RFC 6455 section 8.1 does not hold: text that is not UTF-8 does not end the connection. A
    /// [`MessageRef`](crate::MessageRef) then lends the bytes as they came, and
    /// [`Connection::send_received`](crate::Connection::send_received) sends them on as text without a check. An owned
    /// [`Message`](crate::Message) is checked when it is made: it is text if it is valid, and binary if it is not.
    pub validate_utf8: bool,
    /// Whether pings are answered automatically (RFC 6455 section 5.5.3). Default: yes. In `ws-server`, this applies to
    /// async functions and to the default `Handler::on_ping`; an `on_ping` of the application's own replaces it. Turn
    /// it off for an application that receives pings and answers them itself, such as a proxy that passes them on.
    pub auto_pong: bool,
    /// Whether a connection counts what it receives and sends, and measures the round-trip time with the pings of
    /// [`keepalive`](Self::keepalive): [`Connection::stats`](crate::Connection::stats). The counters take about 600
    /// bytes per connection. Default: no.
    pub statistics: bool,
    /// How many of its latest events a connection records, from 1 to 65,536: frames, the write queue, timers, Close
    /// frames and errors, to find out why it closed ([`Connection::recording`](crate::Connection::recording)). An event
    /// takes 16 bytes. The memory does not count against the memory budget. Default `None`: it records nothing.
    pub recorder: Option<usize>,
    /// Maximum data messages that wait to be written. The next one is refused with `Full`. At least 1.
    /// Default 65,536.
    pub write_queue_messages: usize,
    /// Maximum bytes that wait to be written. A message counts its payload, and up to
    /// [`MESSAGE_OVERHEAD`](crate::memory::MESSAGE_OVERHEAD) (64 bytes) of overhead. A single message may be larger if
    /// no other message waits. Default 1 MiB.
    pub write_queue_bytes: usize,
    /// Compresses messages if the peer agrees (RFC 7692). Default: no.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::DeflateConfig>,
}

/// The most events that a connection can record.
const LONGEST_RECORDER: usize = 65_536;

impl Default for Config {
    fn default() -> Self {
        const KEEPALIVE: Duration = Duration::from_secs(30);
        Self {
            limits: Limits::default(),
            close_timeout: Duration::from_secs(5),
            idle_timeout: None,
            keepalive: Some(Keepalive::new(KEEPALIVE, KEEPALIVE)),
            write_timeout: Some(Duration::from_secs(60)),
            message_timeout: Some(Duration::from_secs(120)),
            validate_utf8: true,
            auto_pong: true,
            statistics: false,
            recorder: None,
            write_queue_messages: 65_536,
            write_queue_bytes: 1024 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

impl Config {
    /// Checks the values, and makes them shareable.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the option and its value: a duration of zero, or a limit outside its range.
    pub fn validate(self) -> Result<ValidConfig, ConfigError> {
        self.check()?;
        Ok(ValidConfig::of(self))
    }

    fn check(&self) -> Result<(), ConfigError> {
        let durations = [
            ("close_timeout", Some(self.close_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("message_timeout", self.message_timeout),
        ];
        for (option, value) in durations {
            if value == Some(Duration::ZERO) {
                return Err(ConfigError::duration(option, Duration::ZERO));
            }
        }
        const SHORTEST_KEEPALIVE: Duration = Duration::from_millis(1);
        if let Some(Keepalive { interval, timeout }) = self.keepalive {
            for (option, value) in [("keepalive.interval", interval), ("keepalive.timeout", timeout)] {
                if value < SHORTEST_KEEPALIVE {
                    return Err(ConfigError::new(option, format_args!("{value:?}"), "must be at least 1 ms"));
                }
            }
        }
        let minima = [
            ("max_head_size", self.limits.max_head_size, 64, "must be at least 64 bytes"),
            ("max_header_lines", self.limits.max_header_lines, 5, "must be at least 5"),
            ("max_held_bytes", self.limits.max_held_bytes, 1, "must be at least 1"),
            ("write_queue_messages", self.write_queue_messages, 1, "must be at least 1"),
        ];
        for (option, value, least, expected) in minima {
            if value < least {
                return Err(ConfigError::new(option, value, expected));
            }
        }
        if self.limits.max_header_lines > Limits::MAX_HEADER_LINES {
            let value = self.limits.max_header_lines;
            return Err(ConfigError::new("max_header_lines", value, "must be at most 24,576"));
        }
        if let Some(events) = self.recorder.filter(|events| !(1..=LONGEST_RECORDER).contains(events)) {
            return Err(ConfigError::new("recorder", events, "must be from 1 to 65,536"));
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate {
            deflate.check()?;
        }
        Ok(())
    }

    /// A message of the maximum size must fit. A single connection gets at least half of the budget. A message may take
    /// twice its size while it arrives, and a little more than its size again while it is inflated.
    fn check_budget(&self, budget: &MemoryBudget) -> Result<(), ConfigError> {
        if budget.limit() / 8 >= self.limits.max_message_size {
            return Ok(());
        }
        let expected = "must be at least eight times max_message_size";
        Err(ConfigError::new("memory_budget", budget.limit(), expected))
    }
}

/// A [`Config`] whose values are checked, from [`Config::validate`], and the state that all its connections share: the
/// memory budget and the idle codecs. Clones share both.
#[derive(Clone)]
pub struct ValidConfig(Arc<Inner>);

struct Inner {
    config: Config,
    memory_budget: Option<MemoryBudget>,
    #[cfg(feature = "deflate")]
    deflate: Option<SharedDeflate>,
}

impl ValidConfig {
    /// `config` is checked.
    fn of(config: Config) -> Self {
        Self(Arc::new(Inner {
            #[cfg(feature = "deflate")]
            deflate: config.deflate.clone().map(SharedDeflate::new),
            config,
            memory_budget: None,
        }))
    }

    /// Sets the memory that all connections with this budget may hold together. Default: no limit. `ws-server` sets a
    /// budget of its own.
    ///
    /// # Errors
    /// A [`ConfigError`] if the budget is smaller than eight messages of `max_message_size`.
    pub fn with_memory_budget(self, budget: MemoryBudget) -> Result<Self, ConfigError> {
        self.check_budget(&budget)?;
        Ok(Self(Arc::new(Inner {
            config: self.0.config.clone(),
            memory_budget: Some(budget),
            #[cfg(feature = "deflate")]
            deflate: self.0.deflate.clone(),
        })))
    }

    /// Returns a configuration with other values that shares the memory budget and the codecs of this one.
    ///
    /// # Errors
    /// As [`Config::validate`] and [`with_memory_budget`](Self::with_memory_budget).
    pub fn derive(&self, change: impl FnOnce(&mut Config)) -> Result<Self, ConfigError> {
        let mut config = self.0.config.clone();
        change(&mut config);
        config.check()?;
        let memory_budget = self.0.memory_budget.clone();
        memory_budget.as_ref().map_or(Ok(()), |budget| config.check_budget(budget))?;
        Ok(Self(Arc::new(Inner {
            #[cfg(feature = "deflate")]
            deflate: config.deflate.clone().map(|config| match &self.0.deflate {
                Some(shared) => shared.with_config(config),
                None => SharedDeflate::new(config),
            }),
            config,
            memory_budget,
        })))
    }

    /// The memory budget that the connections share.
    #[inline]
    #[must_use]
    pub fn memory_budget(&self) -> Option<&MemoryBudget> {
        self.0.memory_budget.as_ref()
    }

    /// Whether a further message of `len` payload bytes fits a queue of `messages` that count `bytes` together: the
    /// rule of `write_queue_messages` and `write_queue_bytes`. For `ws-server`, whose handlers have a queue of their
    /// own.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn has_room_for(&self, len: usize, messages: usize, bytes: usize) -> bool {
        let fits = bytes == 0 || bytes.saturating_add(len) <= self.write_queue_bytes;
        messages < self.write_queue_messages && fits
    }

    /// Bytes in the write queue from which on other queues keep their messages. Without it, as many bytes as the limit
    /// allows could wait in both.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn transfer_until(&self) -> usize {
        (self.write_queue_bytes / 16).clamp(4 * 1024, 64 * 1024)
    }

    /// The memory that a connection's codecs take with context takeover; `None` without compression.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn takeover_price(&self) -> Option<crate::deflate::TakeoverPrice> {
        self.shared_deflate().map(SharedDeflate::takeover_price)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn shared_deflate(&self) -> Option<&SharedDeflate> {
        self.0.deflate.as_ref()
    }
}

/// The default [`Config`], which is valid.
impl Default for ValidConfig {
    fn default() -> Self {
        Self::of(Config::default())
    }
}

impl Deref for ValidConfig {
    type Target = Config;

    #[inline]
    fn deref(&self) -> &Config {
        &self.0.config
    }
}

impl fmt::Debug for ValidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValidConfig")
            .field("config", &self.0.config)
            .field("memory_budget", &self.0.memory_budget)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
