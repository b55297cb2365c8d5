//! The messages that each handle sent, and whether they may be missing.

use ws_proto::Message;

/// The state of a message that was passed to a handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was accepted.
    Sure,
    /// The sink has accepted it. It is sure after a flush.
    Taken,
    /// Its future was dropped. It may arrive or not.
    Maybe,
    /// It was refused, or its future was never polled.
    Refused,
}

/// The messages of one handle, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Vec<(Message, Fate)>,
    arrived: usize,
}

impl Ledger {
    pub(super) fn add(&mut self, message: Message, fate: Fate) {
        self.sent.push((message, fate));
    }

    /// Sets the fate of the last message.
    pub(super) fn decide(&mut self, fate: Fate) {
        let arrived = self.arrived == self.sent.len();
        if let Some(last) = self.sent.last_mut() {
            assert!(fate != Fate::Refused || !arrived, "a refused message has arrived");
            last.1 = fate;
        }
    }

    /// Records a flush of the sink. `open`: the connection was still open.
    pub(super) fn flushed(&mut self, open: bool) {
        for (_, fate) in &mut self.sent {
            if *fate == Fate::Taken {
                *fate = if open { Fate::Sure } else { Fate::Maybe };
            }
        }
    }

    /// Records a message that arrived. Returns whether this ledger has it.
    pub(super) fn arrive(&mut self, message: &Message) -> bool {
        let Some(at) = self.sent.iter().position(|(sent, _)| sent == message) else { return false };
        assert!(at >= self.arrived, "{at} arrived twice, or too late");
        assert!(self.sent[at].1 != Fate::Refused, "{at} was never sent");
        let missing = self.sent[self.arrived..at].iter().position(|(_, fate)| *fate == Fate::Sure);
        assert_eq!(missing, None, "{at} arrived before one that was sent earlier");
        self.arrived = at + 1;
        true
    }

    /// Whether all messages that must arrive have arrived.
    pub(super) fn is_settled(&self) -> bool {
        self.sent[self.arrived..].iter().all(|(_, fate)| *fate != Fate::Sure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(fates: &[Fate]) -> Ledger {
        let mut ledger = Ledger::default();
        fates.iter().enumerate().for_each(|(at, fate)| ledger.add(at.to_string().into(), *fate));
        ledger
    }

    fn arrive(fates: &[Fate], order: &[&str]) -> bool {
        let mut ledger = ledger(fates);
        let all_known = order.iter().all(|message| ledger.arrive(&Message::text(*message)));
        all_known && ledger.is_settled()
    }

    #[test]
    fn only_uncertain_messages_may_be_missing() {
        use Fate::{Maybe, Refused, Sure};
        assert!(arrive(&[Sure, Maybe, Refused, Sure], &["0", "3"]));
        assert!(arrive(&[Sure, Maybe, Refused, Sure], &["0", "1", "3"]));
        assert!(!arrive(&[Sure, Maybe, Refused, Sure], &["0", "1"]), "3 is lost");
        assert!(!arrive(&[Sure], &["0", "5"]), "5 was not sent");
    }

    #[test]
    fn a_flush_makes_accepted_messages_sure() {
        let mut ledger = ledger(&[Fate::Maybe, Fate::Taken]);
        assert!(ledger.is_settled());
        ledger.flushed(true);
        assert!(!ledger.is_settled());
        assert!(ledger.arrive(&Message::text("1")) && ledger.is_settled());
    }

    #[test]
    #[should_panic(expected = "arrived before")]
    fn a_gap_is_found() {
        arrive(&[Fate::Sure, Fate::Sure], &["1"]);
    }

    #[test]
    #[should_panic(expected = "twice")]
    fn a_double_is_found() {
        arrive(&[Fate::Sure], &["0", "0"]);
    }

    #[test]
    #[should_panic(expected = "twice, or too late")]
    fn a_wrong_order_is_found() {
        arrive(&[Fate::Maybe, Fate::Maybe], &["1", "0"]);
    }

    #[test]
    #[should_panic(expected = "never sent")]
    fn a_refused_one_is_found() {
        arrive(&[Fate::Refused], &["0"]);
    }
}
