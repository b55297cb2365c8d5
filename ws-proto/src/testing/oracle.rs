//! The laws that hold whatever the network, the clock and the applications do. It sees facts, not machines, so that it
//! can itself be tested: with facts that are not so.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher as _},
};

use crate::{
    buffer::Completion,
    close::{CloseFrame, CloseInfo, Initiator},
    message::MessageKind,
};

use super::{fact::Fact, wire::Walker};

/// What may hold in this run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// permessage-deflate was agreed upon.
    pub(super) compressed: bool,
    /// No fault and no deadline gets in the way, so both ends must be clean.
    pub(super) orderly: bool,
}

/// What a side holds, in bytes, and what it may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) queued: usize,
    pub(super) held: usize,
    pub(super) unfinished: usize,
    pub(super) bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) write_queue_bytes: usize,
    pub(super) max_held_bytes: usize,
    /// The most that one read gives.
    pub(super) read: usize,
}

type Law = Result<(), String>;

fn must(holds: bool, law: impl FnOnce() -> String) -> Law {
    if holds { Ok(()) } else { Err(law()) }
}

/// A message that was accepted, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digest {
    kind: MessageKind,
    len: usize,
    hash: u64,
}

impl Digest {
    fn of(kind: MessageKind, payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        Self { kind, len: payload.len(), hash: hasher.finish() }
    }
}

/// What is known of one side.
#[derive(Debug)]
struct Side {
    walker: Walker,
    /// Accepted, and not seen by the peer's application.
    on_its_way: VecDeque<Digest>,
    accepted: u64,
    largest: usize,
    /// Messages that the peer's application got.
    arrived: u64,
    /// Numbers of the messages whose reports are due, from 1.
    reports_due: VecDeque<u64>,
    /// The first message that was reported as cut off.
    cut_off: Option<u64>,
    pings: VecDeque<Vec<u8>>,
    /// Those that the peer has seen or may yet answer.
    unanswered: VecDeque<Vec<u8>>,
    pongs: VecDeque<Vec<u8>>,
    sends_pongs: bool,
    closes: bool,
    closed: Option<CloseInfo>,
}

impl Side {
    fn new(by_client: bool, terms: Terms) -> Self {
        Self {
            walker: Walker::new(by_client, terms.compressed),
            on_its_way: VecDeque::new(),
            accepted: 0,
            largest: 0,
            arrived: 0,
            reports_due: VecDeque::new(),
            cut_off: None,
            pings: VecDeque::new(),
            unanswered: VecDeque::new(),
            pongs: VecDeque::new(),
            sends_pongs: false,
            closes: false,
            closed: None,
        }
    }

    fn complete(&mut self, completion: Completion) -> Law {
        let Some(number) = self.reports_due.pop_front() else {
            return Err("a completion for no send".into());
        };
        let written = self.walker.messages >= number;
        match completion {
            Completion::Written => {
                must(self.cut_off.is_none(), || "written, behind one that was cut off".into())?;
                must(written, || format!("message {number} is reported as written and is not"))
            }
            Completion::CutOff => {
                self.cut_off.get_or_insert(number);
                must(!written, || format!("message {number} is reported as cut off and was written"))?;
                must(self.arrived < number, || format!("message {number} was cut off, and it arrived"))
            }
        }
    }

    fn closes(&mut self, info: CloseInfo, peer: &Self) -> Law {
        must(self.reports_due.is_empty(), || "Closed before every completion".into())?;
        let sent = info.sent.as_ref().map(payload_of);
        must(sent == self.walker.close, || {
            format!("Closed says {:?} was sent, and it was {:?}", info.sent, self.walker.close)
        })?;
        if let Some(received) = &info.received {
            must(peer.walker.close.as_ref() == Some(&payload_of(received)), || {
                format!("Closed says {received:?} was received, and {:?} was sent", peer.walker.close)
            })?;
        }
        self.closed = Some(info);
        Ok(())
    }

    fn stays_within(&self, usage: Usage, peer: &Self) -> Law {
        let Usage { queued, held, unfinished, bounds } = usage;
        // Answers to the pings of one read go into the queue before it is written; a masked one is thrice its ping at most.
        let queue = bounds.write_queue_bytes.max(self.largest + self.largest / 8) + 3 * bounds.read + 2048;
        must(queued <= queue, || format!("{queued} bytes queued, {queue} at most"))?;
        let inbox = bounds.max_held_bytes + bounds.read + peer.largest + 64;
        must(held <= inbox, || format!("{held} bytes held, {inbox} at most"))?;
        // Compressed, as it is, and what came behind it.
        let message = 2 * peer.largest + peer.largest / 8 + 1024 + 2 * bounds.read;
        must(unfinished <= message, || format!("{unfinished} bytes of a message, {message} at most"))
    }
}

/// Watches one pair; 0 is the client, 1 the server.
#[derive(Debug)]
pub(super) struct Oracle {
    terms: Terms,
    sides: [Side; 2],
    /// The first law that was broken.
    pub(super) violation: Option<String>,
    #[cfg(test)]
    pub(super) record: Option<Vec<(usize, Fact<'static>)>>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) lost: u64,
    pub(super) compressed: u64,
    pub(super) clean: u64,
    pub(super) not_clean: u64,
}

impl Oracle {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            sides: [true, false].map(|by_client| Side::new(by_client, terms)),
            violation: None,
            #[cfg(test)]
            record: None,
        }
    }

    /// Notes a fact about `side`, and whether it may be one.
    pub(super) fn note(&mut self, side: usize, fact: Fact<'_>) {
        #[cfg(test)]
        if let Some(record) = &mut self.record {
            record.push((side, fact.clone().into_owned()));
        }
        let verdict = self.judge(side, fact);
        self.accuse(side, verdict);
    }

    pub(super) fn accuse(&mut self, side: usize, verdict: Law) {
        if let Err(law) = verdict {
            let who = ["client", "server"][side];
            self.violation.get_or_insert_with(|| format!("{who}: {law}"));
        }
    }

    fn judge(&mut self, side: usize, fact: Fact<'_>) -> Law {
        let [client, server] = &mut self.sides;
        let (side, peer) = if side == 0 { (client, server) } else { (server, client) };
        must(side.closed.is_none() || matches!(fact, Fact::Uses(_)), || {
            format!("behind Closed: {}", name(&fact))
        })?;
        match fact {
            Fact::Accepted { kind, payload, notify } => {
                must(!side.closes, || "a message accepted behind close".into())?;
                side.accepted += 1;
                side.largest = side.largest.max(payload.len());
                side.on_its_way.push_back(Digest::of(kind, &payload));
                if notify {
                    side.reports_due.push_back(side.accepted);
                }
            }
            // Keepalive pings, and their answers, are empty too.
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
            Fact::Wrote(bytes) => return side.walker.feed(&bytes),
            Fact::Completed(completion) => return side.complete(completion),
            Fact::Delivered { kind, payload } => return deliver(peer, Digest::of(kind, &payload)),
            Fact::Pinged(payload) => {
                let expected = payload.is_empty() || peer.pings.pop_front().as_deref() == Some(&payload);
                return must(expected, || "a ping that was not sent, or not then".into());
            }
            Fact::Ponged(payload) => return answer(side, peer, &payload),
            Fact::Closed(info) => return side.closes(info, peer),
            Fact::Uses(usage) => return side.stays_within(usage, peer),
        }
        Ok(())
    }

    /// Both sides are done, and nothing is under way: what was lost, and did its sender learn of it?
    pub(super) fn finish(&mut self) -> Tally {
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
        // The peer did not begin the end, and found the Close behind all that came before it.
        let orderly = info.is_clean() && other.initiator == Initiator::Remote && other.error.is_none();
        must(!orderly || side.on_its_way.is_empty(), || {
            format!("{} messages are lost, and it does not learn of it", side.on_its_way.len())
        })?;
        if self.terms.orderly {
            must(info.is_clean(), || format!("not clean: {info:?}"))?;
            let local = info.initiator == Initiator::Local;
            must(local == side.closes, || format!("who began? {info:?}"))?;
            must(side.closes || peer.closes, || "closed, and nobody closed it".into())?;
        }
        Ok(())
    }
}

fn deliver(peer: &mut Side, message: Digest) -> Law {
    let next = peer.on_its_way.pop_front();
    must(next == Some(message), || format!("got {message:?}, and the next one is {next:?}"))?;
    peer.arrived += 1;
    let number = peer.arrived;
    must(peer.cut_off.is_none_or(|cut_off| number < cut_off), || {
        format!("message {number} was cut off, and it arrived")
    })
}

/// A pong is one that the peer's application sent, or the answer to a ping. Answers come in order, and some pings have none;
/// but whoever sends pongs of its own too may make them look like answers.
fn answer(side: &mut Side, peer: &mut Side, payload: &[u8]) -> Law {
    if payload.is_empty() {
        return Ok(());
    }
    if peer.pongs.front().is_some_and(|next| next == payload) {
        peer.pongs.pop_front();
        return Ok(());
    }
    let Some(at) = side.unanswered.iter().position(|ping| ping == payload) else {
        return Err("a pong that nobody sent, or that comes twice".into());
    };
    if peer.sends_pongs {
        side.unanswered.remove(at);
    } else {
        side.unanswered.drain(..=at);
    }
    Ok(())
}

fn payload_of(close: &CloseFrame) -> Vec<u8> {
    let code = close.code.map(|code| code.get().to_be_bytes());
    code.map_or_else(Vec::new, |code| [&code, close.reason.as_bytes()].concat())
}

const fn name(fact: &Fact<'_>) -> &'static str {
    match fact {
        Fact::Accepted { .. } => "a message is accepted",
        Fact::AcceptedPing(_) | Fact::AcceptedPong(_) => "a control frame is accepted",
        Fact::Closes => "closes",
        Fact::Wrote(_) => "something to write",
        Fact::Completed(_) => "a completion",
        Fact::Delivered { .. } => "a message",
        Fact::Pinged(_) | Fact::Ponged(_) => "a control frame",
        Fact::Closed(_) => "Closed again",
        Fact::Uses(_) => "memory",
    }
}
