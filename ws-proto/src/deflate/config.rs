use std::ops::RangeInclusive;

use crate::error::ConfigError;

use super::{
    codec::{deflater_size, kept_inflater_size},
    pool::CodecPool,
};

/// Window sizes that our compressor can keep to, as powers of two. RFC 7692 also has 8, which zlib has not.
const WINDOW_BITS: RangeInclusive<u8> = 9..=15;

/// How messages are compressed. Shared by all connections of a [`Config`](crate::Config), with the codecs.
///
/// Without context takeover each message is compressed for itself, with a codec that all connections share: an idle
/// connection takes none of their memory. With takeover later messages refer to earlier ones, which makes small, similar messages
/// much smaller, and costs each connection its own codec: [`takeover_price`](Self::takeover_price) says how much.
///
/// Compression makes the length of a message tell something of its content: do not put secrets and what an attacker
/// chose into one message, or, with takeover, on one connection (RFC 7692 section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// From 1 (fast) to 9 (small). Default 1.
    pub level: u8,
    /// Payloads below so many bytes go out as they are. Default 256.
    pub threshold: usize,
    /// Whether what this side sends may refer to earlier messages, if the peer agrees. Default: no; a client's
    /// default is yes.
    pub send_takeover: bool,
    /// Whether what the peer sends may refer to earlier messages. Default: no; a client's default is yes.
    pub receive_takeover: bool,
    /// Window for what this side sends, as a power of two: 9 to 15. Default 15.
    pub send_window_bits: u8,
    /// Largest window that the peer may use, 9 to 15; smaller ones are asked for. Default 15.
    pub receive_window_bits: u8,
    /// Most bytes that the codecs may take together which connections hold on to: those with takeover, of which further
    /// ones get none, and those that send a message over 256 KiB, which is sent as it is beyond that. Default 64 MiB.
    pub codec_budget: usize,
    pub(super) pool: CodecPool,
}

impl DeflateConfig {
    /// For a server: fast, nothing kept between messages.
    #[must_use]
    pub fn server() -> Self {
        Self {
            level: 1,
            threshold: 256,
            send_takeover: false,
            receive_takeover: false,
            send_window_bits: 15,
            receive_window_bits: 15,
            codec_budget: 64 * 1024 * 1024,
            pool: CodecPool::default(),
        }
    }

    /// For a client, which has few connections: with takeover in both directions, unless the server declines.
    #[must_use]
    pub fn client() -> Self {
        Self { send_takeover: true, receive_takeover: true, ..Self::server() }
    }

    /// Bytes that a connection's codecs take with takeover: for what it sends, and for what it receives.
    #[must_use]
    pub fn takeover_price(&self) -> (usize, usize) {
        (deflater_size(self.usable_send_bits()), kept_inflater_size(self.usable_receive_bits()))
    }

    /// The level, within what the library has, whether or not this was [checked](crate::Config::build).
    pub(super) fn usable_level(&self) -> u8 {
        self.level.clamp(1, 9)
    }

    /// The window for what is sent, as [`usable_level`](Self::usable_level).
    pub(super) fn usable_send_bits(&self) -> u8 {
        self.send_window_bits.clamp(*WINDOW_BITS.start(), *WINDOW_BITS.end())
    }

    /// The window for what is received, as [`usable_level`](Self::usable_level).
    pub(super) fn usable_receive_bits(&self) -> u8 {
        self.receive_window_bits.clamp(*WINDOW_BITS.start(), *WINDOW_BITS.end())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let bits = [
            ("deflate.level", self.level, 1..=9, "must be from 1 to 9"),
            ("deflate.send_window_bits", self.send_window_bits, WINDOW_BITS, "must be from 9 to 15"),
            ("deflate.receive_window_bits", self.receive_window_bits, WINDOW_BITS, "must be from 9 to 15"),
        ];
        for (option, value, range, expected) in bits {
            if !range.contains(&value) {
                return Err(ConfigError { option, value: value.to_string(), expected });
            }
        }
        Ok(())
    }

    pub(super) const fn can_compress_with(bits: u8) -> bool {
        *WINDOW_BITS.start() <= bits
    }
}
