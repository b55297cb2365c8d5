//! Who sent what, and whether it may be missing.

use ws_proto::Message;

/// What is known of a message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was accepted.
    Sure,
    /// Its future was dropped; it arrives or does not.
    Maybe,
    /// It was refused, or its future was never polled.
    Refused,
}

/// What one handle sent, in this order.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: Vec<(Message, Fate)>,
    arrived: usize,
}

impl Ledger {
    pub(super) fn add(&mut self, message: Message, fate: Fate) {
        self.sent.push((message, fate));
    }

    /// Everything that was handed over so far has been accepted.
    pub(super) fn confirm(&mut self) {
        for (_, fate) in &mut self.sent {
            if *fate == Fate::Maybe {
                *fate = Fate::Sure;
            }
        }
    }

    /// Takes note of a message that arrived; whether it is one of this ledger's.
    pub(super) fn arrive(&mut self, message: &Message) -> bool {
        let Some(at) = self.sent.iter().position(|(sent, _)| sent == message) else { return false };
        assert!(at >= self.arrived, "{at} arrived twice, or too late");
        assert!(self.sent[at].1 != Fate::Refused, "{at} was never sent");
        let missing = self.sent[self.arrived..at].iter().position(|(_, fate)| *fate == Fate::Sure);
        assert_eq!(missing, None, "{at} arrived before one that was sent earlier");
        self.arrived = at + 1;
        true
    }

    /// Whether everything that must arrive has.
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
    fn what_may_be_missing_may_be_missing() {
        use Fate::{Maybe, Refused, Sure};
        assert!(arrive(&[Sure, Maybe, Refused, Sure], &["0", "3"]));
        assert!(arrive(&[Sure, Maybe, Refused, Sure], &["0", "1", "3"]));
        assert!(!arrive(&[Sure, Maybe, Refused, Sure], &["0", "1"]), "3 is lost");
        assert!(!arrive(&[Sure], &["0", "5"]), "nobody sent 5");
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
