//! The rules that hold for any behavior of the network, the clock and the applications. The oracle gets facts rather
//! than connections, so that it can be tested with false facts.

use ws_proto::{close::Initiator, error::ConnectionError};

use crate::{
    fact::Fact,
    side::{Digest, Law, Side, Terms, answer, deliver, must, pinged},
};

/// Checks one pair of connections; side 0 is the client, side 1 the server.
#[derive(Debug)]
pub(crate) struct Oracle {
    terms: Terms,
    sides: [Side; 2],
    /// The first violated rule.
    pub(crate) violation: Option<String>,
    #[cfg(test)]
    pub(crate) record: Option<Vec<(usize, Fact<'static>)>>,
}

/// The statistics of one pair.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) compressed: u64,
    pub(crate) clean: u64,
    pub(crate) not_clean: u64,
    pub(crate) over_budget: u64,
}

impl Oracle {
    pub(crate) fn new(terms: Terms) -> Self {
        Self {
            terms,
            sides: [true, false].map(|by_client| Side::new(by_client, terms)),
            violation: None,
            #[cfg(test)]
            record: None,
        }
    }

    /// Records a fact about `side` and checks it.
    pub(crate) fn note(&mut self, side: usize, fact: Fact<'_>) {
        #[cfg(test)]
        if let Some(record) = &mut self.record {
            record.push((side, fact.clone().into_owned()));
        }
        let verdict = self.judge(side, fact);
        self.accuse(side, verdict);
    }

    pub(crate) fn accuse(&mut self, side: usize, verdict: Law) {
        if let Err(law) = verdict {
            let who = ["client", "server"][side];
            self.violation.get_or_insert_with(|| format!("{who}: {law}"));
        }
    }

    fn judge(&mut self, side: usize, fact: Fact<'_>) -> Law {
        let [client, server] = &mut self.sides;
        let (side, peer) = if side == 0 { (client, server) } else { (server, client) };
        must(side.closed.is_none() || matches!(fact, Fact::Uses(_) | Fact::Drops), || {
            format!("after Closed: {}", name(&fact))
        })?;
        match fact {
            Fact::Accepted { kind, payload, notify } => {
                must(!side.closes, || "a message is accepted after close".into())?;
                side.accepted += 1;
                side.largest = side.largest.max(payload.len());
                side.on_its_way.push_back(Digest::of(kind, &payload));
                if notify {
                    side.reports_due.push_back(side.accepted);
                }
            }
            // Keepalive pings and their answers are also empty.
            Fact::AcceptedPing(payload) | Fact::AcceptedPong(payload) if payload.is_empty() => {}
            Fact::AcceptedPing(payload) => {
                side.unanswered.push_back(payload.to_vec());
                side.pings.push_back(payload.into_owned());
            }
            Fact::AcceptedPong(payload) => {
                side.sends_pongs = true;
                side.pongs.push_back(payload.into_owned());
            }
            Fact::Closes => side.closes = true,
            Fact::Drops => side.drops = true,
            Fact::Wrote(bytes) => return side.walker.feed(&bytes),
            Fact::Flushed(all) => side.flushed = all,
            Fact::Completed(completion) => return side.complete(completion),
            Fact::Delivered { kind, payload } => return deliver(peer, Digest::of(kind, &payload)),
            Fact::Pinged(payload) => return pinged(side, peer, &payload, false),
            Fact::PingedEarly(payload) => return pinged(side, peer, &payload, true),
            Fact::Ponged(payload) => return answer(side, peer, &payload),
            Fact::Closed(info) => return side.closes(info, peer),
            Fact::Uses(usage) => return side.stays_within(usage, peer),
        }
        Ok(())
    }

    /// Checks, once both sides are done and no byte is in transit, that senders were notified of lost messages.
    pub(crate) fn finish(&mut self) -> Tally {
        let mut tally = Tally::default();
        for side in 0..2 {
            let verdict = self.judge_end(side, &mut tally);
            self.accuse(side, verdict);
        }
        tally
    }

    fn judge_end(&self, at: usize, tally: &mut Tally) -> Law {
        let (side, peer) = (&self.sides[at], &self.sides[1 - at]);
        let (Some(info), Some(other)) = (&side.closed, &peer.closed) else { return Err("not closed".into()) };
        tally.delivered += side.arrived;
        tally.lost += side.on_its_way.len() as u64;
        tally.compressed += side.walker.compressed;
        tally.clean += u64::from(info.is_clean());
        tally.not_clean += u64::from(!info.is_clean());
        tally.over_budget += u64::from(info.error == Some(ConnectionError::MemoryBudget));
        // The peer did not start the end, and received the Close after everything before it.
        let orderly = info.is_clean() && other.initiator == Initiator::Remote && other.error.is_none();
        must(!orderly || side.on_its_way.is_empty(), || {
            format!("{} messages are lost, and the sender does not learn of it", side.on_its_way.len())
        })?;
        if self.terms.orderly {
            must(info.is_clean(), || format!("not clean: {info:?}"))?;
            let local = info.initiator == Initiator::Local;
            must(local == side.closes, || format!("wrong initiator: {info:?}"))?;
            must(side.closes || peer.closes, || "closed, although neither side closed".into())?;
        }
        Ok(())
    }
}

const fn name(fact: &Fact<'_>) -> &'static str {
    match fact {
        Fact::Accepted { .. } => "a message is accepted",
        Fact::AcceptedPing(_) | Fact::AcceptedPong(_) => "a control frame is accepted",
        Fact::Closes => "closes",
        Fact::Drops => "drops",
        Fact::Wrote(_) | Fact::Flushed(_) => "something to write",
        Fact::Completed(_) => "a completion",
        Fact::Delivered { .. } => "a message",
        Fact::Pinged(_) | Fact::PingedEarly(_) | Fact::Ponged(_) => "a control frame",
        Fact::Closed(_) => "Closed again",
        Fact::Uses(_) => "memory",
    }
}
