use std::fmt::Write as _;

use crate::BackplaneError;

/// The longest token that a topic's name may become, in bytes. A server reads lines of at most 4,096 bytes, and a
/// line holds a subject, a reply subject and numbers.
const LONGEST_TOKEN: usize = 3_072;
/// The longest prefix, in bytes.
pub(super) const LONGEST_PREFIX: usize = 128;

/// The subjects of one cluster.
///
/// | subject | holds |
/// |---|---|
/// | `PREFIX.live.GROUP.TOPIC` | live publications |
/// | `PREFIX.log.GROUP.TOPIC` | logged publications, for the stream |
/// | `PREFIX.out.GROUP.TOPIC` | the same, with their sequences, republished by the stream |
/// | `PREFIX.presence.TOPIC.NODE` | what a node knows about who is in a topic |
/// | `PREFIX.node.ID.>` | probes of one node, and answers to it |
#[derive(Debug, Clone)]
pub(super) struct Subjects {
    pub(super) prefix: String,
    pub(super) groups: u16,
}

/// A topic's name as one token of a subject, and the group that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) token: String,
    pub(super) group: u16,
}

/// Which of a topic's subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Live,
    Log,
    Out,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Log => "log",
            Self::Out => "out",
        }
    }
}

impl Subjects {
    pub(super) fn name(&self, topic: &str) -> Result<Name, BackplaneError> {
        let token = escape(topic).ok_or_else(|| BackplaneError::TopicName {
            name: topic.to_owned(),
            reason: "it is longer than 3,072 bytes; bytes other than letters, digits and `-_/:` count as 3",
        })?;
        let group = (hash(topic) % u64::from(self.groups)) as u16;
        Ok(Name { token, group })
    }

    pub(super) fn of(&self, kind: Kind, name: &Name) -> String {
        format!("{}.{}.{}.{}", self.prefix, kind.as_str(), name.group, name.token)
    }

    /// All topics of a group.
    pub(super) fn group(&self, kind: Kind, group: u16) -> String {
        format!("{}.{}.{group}.*", self.prefix, kind.as_str())
    }

    pub(super) fn all(&self, kind: Kind) -> String {
        format!("{}.{}.>", self.prefix, kind.as_str())
    }

    pub(super) fn presence(&self, name: &Name, node: u64) -> String {
        format!("{}.presence.{}.{node:016x}", self.prefix, name.token)
    }

    pub(super) fn all_presence(&self, name: &Name) -> String {
        format!("{}.presence.{}.*", self.prefix, name.token)
    }

    pub(super) fn every_presence(&self) -> String {
        format!("{}.presence.>", self.prefix)
    }

    pub(super) fn node(&self, id: u64) -> String {
        format!("{}.node.{id:016x}", self.prefix)
    }
}

/// The last token of a subject.
pub(super) fn last_token(subject: &str) -> &str {
    subject.rsplit_once('.').map_or(subject, |(_, token)| token)
}

/// Makes one token of a topic's name. Different names become different tokens: letters, digits and `-_/:` stay, each
/// other byte becomes `=` and two hexadecimal digits, and the empty name becomes `=`. `None`: it would be too long.
fn escape(topic: &str) -> Option<String> {
    if topic.is_empty() {
        return Some("=".to_owned());
    }
    if topic.len() > LONGEST_TOKEN {
        return None;
    }
    let mut token = String::with_capacity(topic.len());
    for byte in topic.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/:".contains(&byte) {
            token.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(token, "={byte:02x}");
        }
    }
    (token.len() <= LONGEST_TOKEN).then_some(token)
}

/// FNV-1a: all nodes of a cluster, of every version, must compute the same groups.
fn hash(topic: &str) -> u64 {
    topic
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unescape(token: &str) -> Option<String> {
        if token == "=" {
            return Some(String::new());
        }
        let mut bytes = Vec::new();
        let mut rest = token.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'=' {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            } else {
                bytes.push(byte);
            }
        }
        String::from_utf8(bytes).ok()
    }

    proptest! {
        #[test]
        fn a_name_can_be_read_back_from_its_token(topic in any::<String>()) {
            let token = escape(&topic).unwrap();
            prop_assert_eq!(unescape(&token), Some(topic));
        }

        #[test]
        fn different_names_have_different_tokens(a in "[a.= *>\\PC]{0,4}", b in "[a.= *>\\PC]{0,4}") {
            prop_assert_eq!(a == b, escape(&a) == escape(&b));
        }

        #[test]
        fn a_token_holds_nothing_that_means_something_in_a_subject(topic in any::<String>()) {
            let token = escape(&topic).unwrap();
            prop_assert!(!token.is_empty());
            prop_assert!(token.bytes().all(|byte| byte.is_ascii_graphic() && !b".*>$".contains(&byte)));
        }

        #[test]
        fn names_of_up_to_1024_bytes_always_fit(topic in "\\PC{0,256}") {
            prop_assume!(topic.len() <= 1_024);
            prop_assert!(escape(&topic).is_some());
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let subjects = Subjects { prefix: "ws".into(), groups: 16 };
        assert!(subjects.name(&"a".repeat(3_072)).is_ok());
        assert!(subjects.name(&".".repeat(1_024)).is_ok());
        for long in ["a".repeat(3_073), ".".repeat(1_025)] {
            assert!(
                matches!(subjects.name(&long), Err(BackplaneError::TopicName { name, .. }) if name == long)
            );
        }
    }

    #[test]
    fn groups_never_change() {
        let subjects = Subjects { prefix: "ws".into(), groups: 256 };
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
        let name = subjects.name("room:1").unwrap();
        assert_eq!(subjects.of(Kind::Live, &name), format!("ws.live.{}.room:1", name.group));
    }
}
