use std::{sync::Arc, time::Duration};

use crate::{budget::MemoryBudget, error::ConfigError};

/// What a peer may make this side hold or do. One struct, shared by all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most payload bytes of one message, all fragments together. Checked on each frame's header, before its payload
    /// arrives; never applied to control frames. Default 16 MiB.
    pub max_message_size: usize,
    /// Most payload bytes of one data frame. Default: no limit of its own, the message's holds.
    pub max_frame_size: usize,
    /// Most frames that one message may come in. Default 131,072.
    pub max_fragments: u32,
    /// Most control frames that may come in one read. Default 2,048.
    pub max_control_frames_per_read: u32,
    /// Most control frames that may come within a second, counted from the first one behind the second before. Default
    /// 10,000.
    pub max_control_frames_per_second: u32,
    /// Most bytes of a request or response head. Default 8 KiB.
    pub max_head_size: usize,
    /// Most header lines of a request or response. Default 100.
    pub max_header_lines: usize,
    /// Most payload bytes held for an application that paused reading; above it nothing more is read. Default 64 KiB.
    pub max_held_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_size: 16 * 1024 * 1024,
            max_frame_size: usize::MAX,
            max_fragments: 131_072,
            max_control_frames_per_read: 2_048,
            max_control_frames_per_second: 10_000,
            max_head_size: 8 * 1024,
            max_header_lines: 100,
            max_held_bytes: 64 * 1024,
        }
    }
}

/// Pings a silent peer, and ends the connection if it stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence of the peer after which a ping is sent.
    pub interval: Duration,
    /// How long the peer may stay silent after the ping. Any byte from it counts as life.
    pub timeout: Duration,
}

/// How a [`Connection`](super::Connection) behaves. Shared by reference count among connections. A duration of more than
/// thirty years counts as thirty years.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the peer may cost.
    pub limits: Limits,
    /// The longest time from the first Close frame, or the failure, to the end of the transport. Default 5 s.
    pub close_timeout: Duration,
    /// Closes with 1001 after so much silence in both directions; keepalive traffic does not count. Default: off.
    pub idle_timeout: Option<Duration>,
    /// Finds peers that vanished. Default: ping after 30 s of silence, give up 30 s later.
    pub keepalive: Option<Keepalive>,
    /// Ends the connection if the peer takes none of the waiting bytes for so long. Default 60 s.
    pub write_timeout: Option<Duration>,
    /// Ends the connection with 1008 if a message that has begun is not complete after so long, or a frame; time in which
    /// nothing is read for the application has paused does not count. It is what bounds how long a peer can make this
    /// side hold memory, so give large messages on slow lines enough of it. Default 2 minutes.
    pub message_timeout: Option<Duration>,
    /// What all connections that share it may hold together. Default: no limit; a server has one of its own.
    pub memory_budget: Option<MemoryBudget>,
    /// Whether text is checked to be UTF-8 (RFC 6455 section 8.1). Default: yes.
    pub validate_utf8: bool,
    /// Whether pings are answered without being asked. Default: yes.
    pub auto_pong: bool,
    /// Most data messages that wait to be written; one more is refused with `WriteBusy`. Default 65,536.
    pub write_queue_messages: usize,
    /// Most bytes that wait to be written; a message counts its payload, and up to
    /// [`MESSAGE_OVERHEAD`](crate::MESSAGE_OVERHEAD) (64 bytes) beside it. A single message may be larger if nothing else
    /// waits. Default 1 MiB.
    pub write_queue_bytes: usize,
    /// Compresses messages, if the peer agrees (RFC 7692). Default: no.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::DeflateConfig>,
}

impl Default for Config {
    fn default() -> Self {
        const KEEPALIVE: Duration = Duration::from_secs(30);
        Self {
            limits: Limits::default(),
            close_timeout: Duration::from_secs(5),
            idle_timeout: None,
            keepalive: Some(Keepalive { interval: KEEPALIVE, timeout: KEEPALIVE }),
            write_timeout: Some(Duration::from_secs(60)),
            message_timeout: Some(Duration::from_secs(120)),
            memory_budget: None,
            validate_utf8: true,
            auto_pong: true,
            write_queue_messages: 65_536,
            write_queue_bytes: 1024 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

impl Config {
    /// Checks the values and makes them shareable.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the option and its value: a duration of zero, or a limit that nothing could pass.
    pub fn build(self) -> Result<Arc<Self>, ConfigError> {
        let durations = [
            ("close_timeout", Some(self.close_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("keepalive.interval", self.keepalive.map(|keepalive| keepalive.interval)),
            ("keepalive.timeout", self.keepalive.map(|keepalive| keepalive.timeout)),
            ("write_timeout", self.write_timeout),
            ("message_timeout", self.message_timeout),
        ];
        for (option, value) in durations {
            if value == Some(Duration::ZERO) {
                return Err(ConfigError::duration(option, Duration::ZERO));
            }
        }
        let minima = [
            ("max_head_size", self.limits.max_head_size, 64, "must be at least 64 bytes"),
            ("max_header_lines", self.limits.max_header_lines, 5, "must be at least 5"),
            ("write_queue_messages", self.write_queue_messages, 1, "must be at least 1"),
        ];
        for (option, value, least, expected) in minima {
            if value < least {
                return Err(ConfigError { option, value: value.to_string(), expected });
            }
        }
        if let Some(budget) = &self.memory_budget {
            self.check_budget(budget)?;
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = &self.deflate {
            deflate.check()?;
        }
        Ok(Arc::new(self))
    }

    /// Whether another message of `len` payload bytes may wait behind `messages` that count `bytes` together: the rule of
    /// `write_queue_messages` and `write_queue_bytes`.
    #[inline]
    #[must_use]
    pub const fn has_room_for(&self, len: usize, messages: usize, bytes: usize) -> bool {
        let fits = bytes == 0 || bytes.saturating_add(len) <= self.write_queue_bytes;
        messages < self.write_queue_messages && fits
    }

    /// A single message of the limit must find room: one connection alone gets half of the budget at least, and a message
    /// may take twice its size while it arrives, and its size once more, and some, while it is inflated.
    fn check_budget(&self, budget: &MemoryBudget) -> Result<(), ConfigError> {
        if budget.limit() / 8 >= self.limits.max_message_size {
            return Ok(());
        }
        Err(ConfigError {
            option: "memory_budget",
            value: budget.limit().to_string(),
            expected: "must be at least eight times max_message_size",
        })
    }
}
