//! Who sent what, and whether it may be missing.

use ws_proto::Message;

/// What is known of a message that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was accepted.
    Sure,
    /// The sink has it; it is sure once that is flushed.
    Taken,
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

    /// What became of the last message.
    pub(super) fn decide(&mut self, fate: Fate) {
        let arrived = self.arrived == self.sent.len();
        if let Some(last) = self.sent.last_mut() {
            assert!(fate != Fate::Refused || !arrived, "what arrived was not refused");
            last.1 = fate;
        }
    }

    /// The sink was flushed, while the connection was open or too late.
    pub(super) fn flushed(&mut self, open: bool) {
        for (_, fate) in &mut self.sent {
            if *fate == Fate::Taken {
                *fate = if open { Fate::Sure } else { Fate::Maybe };
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
    fn a_flush_makes_sure_of_what_the_sink_has() {
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
