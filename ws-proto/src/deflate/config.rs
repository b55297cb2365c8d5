use std::ops::{Deref, RangeInclusive};

use crate::error::ConfigError;

use super::{
    codec::{deflater_size, kept_inflater_size},
    pool::CodecPool,
};

/// Window sizes that the compressor supports, as powers of two. RFC 7692 also allows 8, which zlib does not support.
const WINDOW_BITS: RangeInclusive<u8> = 9..=15;

/// How messages are compressed. All connections of a [`ValidConfig`](crate::ValidConfig) share it, together with the
/// codecs.
///
/// Without context takeover, each message is compressed independently, with a codec that all connections share: an idle
/// connection holds no codec. With takeover, later messages refer to earlier ones. That makes small, similar messages
/// much smaller, and costs each connection a codec of its own:
/// [`ValidConfig::takeover_price`](crate::ValidConfig::takeover_price) has its size.
///
/// With compression, the length of a message reveals something about its content. Do not put a secret and data chosen
/// by an attacker into one message or, with takeover, on one connection (RFC 7692 section 8).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateConfig {
    /// The compression level, from 1 (fast) to 9 (small). Default 1.
    pub level: u8,
    /// Payloads shorter than this, in bytes, are sent uncompressed. Default 256.
    pub threshold: usize,
    /// Whether messages that this side sends may refer to earlier ones, if the peer agrees. Default: no for a server,
    /// yes for a client.
    pub send_takeover: bool,
    /// Whether messages that the peer sends may refer to earlier ones. Default: no for a server, yes for a client.
    pub receive_takeover: bool,
    /// The window for messages that this side sends, as a power of two: 9 to 15. Default 15.
    pub send_window_bits: u8,
    /// The largest window that the peer may use, as a power of two: 9 to 15. A smaller one than 15 is requested from
    /// the peer. Default 15.
    pub receive_window_bits: u8,
    /// The most bytes for codecs that connections hold. There are two kinds: codecs with takeover, which further
    /// connections do not get beyond this limit, and codecs that send a message over 256 KiB, which is sent
    /// uncompressed beyond it. Default 64 MiB.
    pub codec_budget: usize,
}

impl DeflateConfig {
    /// The defaults for a server: fast, without context takeover.
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
        }
    }

    /// The defaults for a client, which has few connections: with takeover in both directions, unless the server
    /// declines.
    #[must_use]
    pub fn client() -> Self {
        Self { send_takeover: true, receive_takeover: true, ..Self::server() }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let bits = [
            ("deflate.level", self.level, 1..=9, "must be from 1 to 9"),
            ("deflate.send_window_bits", self.send_window_bits, WINDOW_BITS, "must be from 9 to 15"),
            ("deflate.receive_window_bits", self.receive_window_bits, WINDOW_BITS, "must be from 9 to 15"),
        ];
        for (option, value, range, expected) in bits {
            if !range.contains(&value) {
                return Err(ConfigError::new(option, value, expected));
            }
        }
        Ok(())
    }

    pub(super) const fn can_compress_with(bits: u8) -> bool {
        *WINDOW_BITS.start() <= bits
    }
}

/// The memory of the codecs that a connection keeps with context takeover, from
/// [`ValidConfig::takeover_price`](crate::ValidConfig::takeover_price).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TakeoverPrice {
    /// For messages that this side sends, in bytes.
    pub sending: usize,
    /// For messages that this side receives, in bytes.
    pub receiving: usize,
}

/// The settings of compression, which are checked, and the codecs that all connections with them share. Clones share
/// the codecs.
#[derive(Debug, Clone)]
pub(crate) struct SharedDeflate {
    config: DeflateConfig,
    pub(super) pool: CodecPool,
}

impl SharedDeflate {
    pub(crate) fn new(config: DeflateConfig) -> Self {
        Self { config, pool: CodecPool::default() }
    }

    pub(crate) const fn takeover_price(&self) -> TakeoverPrice {
        TakeoverPrice {
            sending: deflater_size(self.config.send_window_bits),
            receiving: kept_inflater_size(self.config.receive_window_bits),
        }
    }

    /// Other settings with the same codecs.
    pub(crate) fn with_config(&self, config: DeflateConfig) -> Self {
        Self { config, pool: self.pool.clone() }
    }
}

impl Deref for SharedDeflate {
    type Target = DeflateConfig;

    fn deref(&self) -> &DeflateConfig {
        &self.config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_option_and_the_value_out_of_range() {
        let error = |change: fn(&mut DeflateConfig)| {
            let mut config = DeflateConfig::server();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        let low = error(|config| config.level = 0);
        assert!(low.starts_with("deflate.level = 0: "), "{low}");
        let high = error(|config| config.level = 10);
        assert!(high.starts_with("deflate.level = 10: "), "{high}");
        let sent = error(|config| config.send_window_bits = 8);
        assert!(sent.starts_with("deflate.send_window_bits = 8: "), "{sent}");
        let received = error(|config| config.receive_window_bits = 16);
        assert!(received.starts_with("deflate.receive_window_bits = 16: "), "{received}");
    }
}
