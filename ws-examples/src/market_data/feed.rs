//! What server and client say to each other, in text messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time between two updates.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);

/// The client's message.
pub(crate) const SUBSCRIBE: &str = "subscribe";

/// A numbered update: `NUMBER SENT_AT PRICE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) number: u64,
    /// Microseconds since 1970.
    pub(crate) sent_at: u64,
    pub(crate) price: u64,
}

impl Update {
    pub(crate) fn encode(&self) -> String {
        format!("{} {} {}", self.number, self.sent_at, self.price)
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut parts = text.split(' ').map(str::parse);
        let (number, sent_at, price) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        parts.next().is_none().then_some(Self { number, sent_at, price })
    }
}

pub(crate) fn micros_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The number of the update that is due now. It comes from the clock, so a server that replaces another one continues
/// with its numbers.
pub(crate) fn number_now() -> u64 {
    micros_since_1970() / INTERVAL.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_decoded_as_it_was_encoded_and_anything_else_is_not() {
        let update = Update { number: 1, sent_at: u64::MAX, price: 0 };
        assert_eq!(Update::decode(&update.encode()), Some(update));
        for text in ["", "1", "1 2", "1 2 3 4", "1 2 x", "-1 2 3", "1  2 3"] {
            assert_eq!(Update::decode(text), None, "{text:?}");
        }
    }
}
