//! Names of channels and keys. All names of one topic share a hash tag, so a cluster keeps them in one slot.

use std::fmt;

/// The number of slots of a Redis cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Makes the names below a prefix.
#[derive(Clone)]
pub(super) struct Names {
    prefix: String,
    channel: String,
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.prefix, f)
    }
}

impl Names {
    /// `prefix` has no braces: they would change the hash tag.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), channel: format!("{prefix}:channel:{{t:") }
    }

    /// The channel of a topic's publications. The `t:` keeps the tag from being empty: Redis ignores an empty one.
    pub(super) fn channel(&self, topic: &str) -> String {
        format!("{}{topic}}}", self.channel)
    }

    /// The topic of a channel.
    pub(super) fn topic<'a>(&self, channel: &'a [u8]) -> Option<&'a str> {
        let topic = channel.strip_prefix(self.channel.as_bytes())?.strip_suffix(b"}")?;
        std::str::from_utf8(topic).ok()
    }

    /// The hash with the epoch and the newest offset of a topic's log.
    pub(super) fn meta(&self, topic: &str) -> String {
        self.key("meta", topic)
    }

    /// The stream with the entries of a topic's log.
    pub(super) fn log(&self, topic: &str) -> String {
        self.key("log", topic)
    }

    /// The hash with the presence of a topic, by node.
    pub(super) fn presence(&self, topic: &str) -> String {
        self.key("presence", topic)
    }

    /// The sorted set with the nodes of [`presence`](Self::presence) by the time when their values expire.
    pub(super) fn presence_expiry(&self, topic: &str) -> String {
        self.key("presence-expiry", topic)
    }

    /// The channel on which a connection expects its probes. `tag` chooses the slot.
    pub(super) fn probe_channel(&self, tag: &str, link: u64) -> String {
        format!("{}:probe:{{{tag}}}:{link:016x}", self.prefix)
    }

    /// The key that a probe removes. It never exists.
    pub(super) fn probe_key(&self, tag: &str) -> String {
        format!("{}:probe-key:{{{tag}}}", self.prefix)
    }

    fn key(&self, kind: &str, topic: &str) -> String {
        format!("{}:{kind}:{{t:{topic}}}", self.prefix)
    }
}

/// The slot of a key or channel: CRC-16 (XMODEM) of its hash tag, or of all of it without one.
pub(super) fn slot(name: &str) -> u16 {
    let name = name.as_bytes();
    let tag = || {
        let open = name.iter().position(|&byte| byte == b'{')? + 1;
        let length = name[open..].iter().position(|&byte| byte == b'}')?;
        (length > 0).then(|| &name[open..open + length])
    };
    crc16(tag().unwrap_or(name)) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc: u16, &byte| {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot("123456789"), 12_739);
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
        assert_eq!(slot("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot("foo{{bar}}zap"), slot("{bar"));
    }

    #[test]
    fn all_names_of_a_topic_share_a_slot() {
        let names = Names::new("ws");
        for topic in ["room:1", "", "}", "{", "{}", "a}b", "{a}{b}", "ü", " "] {
            let slot_of_channel = slot(&names.channel(topic));
            for name in
                [names.meta(topic), names.log(topic), names.presence(topic), names.presence_expiry(topic)]
            {
                assert_eq!(slot(&name), slot_of_channel, "{topic:?}");
            }
            assert_eq!(names.topic(names.channel(topic).as_bytes()), Some(topic));
        }
    }

    #[test]
    fn a_foreign_channel_has_no_topic() {
        let names = Names::new("ws");
        for channel in ["", "ws", "wx:channel:{t:a}", "ws:channel:{t:a", "ws:probe:{1}:2"] {
            assert_eq!(names.topic(channel.as_bytes()), None, "{channel:?}");
        }
    }
}
