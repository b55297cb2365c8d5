use std::{sync::Arc, time::Duration};

use crate::{error::ConfigError, memory::MemoryBudget};

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
    /// Most bytes of a request or response head. Default 8 KiB; a client's connector has 64 KiB.
    pub max_head_size: usize,
    /// Most header lines of a request or response, from 5 to [`MOST_HEADER_LINES`](Self::MOST_HEADER_LINES). Default 100; a
    /// client's connector has 256.
    pub max_header_lines: usize,
    /// Most payload bytes held for an application that paused reading; from then on nothing more is read. 0 counts as 1.
    /// Default 64 KiB.
    pub max_held_bytes: usize,
}

impl Limits {
    /// The largest [`max_header_lines`](Self::max_header_lines): what an [`http::HeaderMap`] can hold.
    pub const MOST_HEADER_LINES: usize = 24_576;
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

/// Pings a silent peer, and ends the connection if it stays silent. Each of the two counts as a millisecond at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence of the peer after which a ping is sent.
    pub interval: Duration,
    /// How long the peer may stay silent after the ping. Any byte from it counts as life.
    pub timeout: Duration,
}

/// How a [`Connection`](crate::Connection) behaves. Shared by reference count among connections. A duration of more than
/// thirty years counts as thirty years.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What the peer may cost.
    pub limits: Limits,
    /// The longest time from the moment at which our Close is written to the end of the transport, and from a failure. What
    /// was accepted before the Close goes out first, for as long as the peer takes it: `write_timeout` bounds that. A peer
    /// that is still taking what the transport holds, and whose transport can tell, has its time from the last byte that
    /// it took. Default 5 s.
    pub close_timeout: Duration,
    /// Closes with 1001 after so much silence in both directions; keepalive traffic does not count. Default: off.
    pub idle_timeout: Option<Duration>,
    /// Finds peers that vanished. A pong may be late while the peer is still taking what was written before the ping. While
    /// nothing is read for a paused application, the acknowledgements of the peer's system count, if the transport can tell
    /// (TCP on Linux); otherwise the peer is not watched meanwhile. Default: ping after 30 s of silence, give up 30 s later.
    pub keepalive: Option<Keepalive>,
    /// Ends the connection if the peer takes none of the waiting bytes for so long, also behind a close. A transport that can
    /// tell (TCP on Linux) is looked at 16 times in that time, so the end may come a sixteenth later. Without it a peer
    /// that takes nothing is waited for without end while the connection is open, and for `close_timeout` behind a close.
    /// Default 60 s.
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
    /// Most data messages that wait to be written; one more is refused with `WriteBusy`. 0 counts as 1. Default 65,536.
    pub write_queue_messages: usize,
    /// Most bytes that wait to be written; a message counts its payload, and up to
    /// [`MESSAGE_OVERHEAD`](crate::memory::MESSAGE_OVERHEAD) (64 bytes) beside it. A single message may be larger if nothing else
    /// waits. Default 1 MiB.
    pub write_queue_bytes: usize,
    /// Compresses messages, if the peer agrees (RFC 7692). Default: no.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::DeflateConfig>,
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
        if self.limits.max_header_lines > Limits::MOST_HEADER_LINES {
            let value = self.limits.max_header_lines.to_string();
            return Err(ConfigError {
                option: "max_header_lines",
                value,
                expected: "must be at most 24,576",
            });
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
        // With room for no message a sender would wait for ever.
        let most = if self.write_queue_messages == 0 { 1 } else { self.write_queue_messages };
        messages < most && fits
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
