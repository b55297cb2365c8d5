//! What the oracle knows about one side, and the rules for it.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher as _},
};

use ws_proto::{CloseFrame, CloseInfo, Completion, MessageKind};

use crate::{fact::Usage, wire::Walker};

pub(crate) type Law = Result<(), String>;

pub(crate) fn must(holds: bool, law: impl FnOnce() -> String) -> Law {
    if holds { Ok(()) } else { Err(law()) }
}

/// The conditions of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// permessage-deflate is in use.
    pub(crate) compressed: bool,
    /// No fault and no deadline interferes, so both ends must be clean.
    pub(crate) orderly: bool,
}

/// A message that was accepted, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    kind: MessageKind,
    len: usize,
    hash: u64,
}

impl Digest {
    pub(crate) fn of(kind: MessageKind, payload: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        Self { kind, len: payload.len(), hash: hasher.finish() }
    }
}

/// What is known about one side.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) walker: Walker,
    /// Messages that were accepted and not yet delivered to the peer's application.
    pub(crate) on_its_way: VecDeque<Digest>,
    pub(crate) accepted: u64,
    pub(crate) largest: usize,
    /// The number of messages that the peer's application received.
    pub(crate) arrived: u64,
    /// Numbers of the messages whose completions are due, from 1.
    pub(crate) reports_due: VecDeque<u64>,
    /// The first message that was reported as cut off.
    pub(crate) cut_off: Option<u64>,
    pub(crate) pings: VecDeque<Vec<u8>>,
    /// Pings that the peer has received or may still answer.
    pub(crate) unanswered: VecDeque<Vec<u8>>,
    pub(crate) pongs: VecDeque<Vec<u8>>,
    pub(crate) sends_pongs: bool,
    /// The transport has passed on all bytes that it took.
    pub(crate) flushed: bool,
    pub(crate) closes: bool,
    /// The application no longer wants messages.
    pub(crate) drops: bool,
    pub(crate) closed: Option<CloseInfo>,
}

impl Side {
    pub(crate) fn new(by_client: bool, terms: Terms) -> Self {
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
            flushed: true,
            closes: false,
            drops: false,
            closed: None,
        }
    }

    pub(crate) fn complete(&mut self, completion: Completion) -> Law {
        let Some(number) = self.reports_due.pop_front() else {
            return Err("a completion for no send".into());
        };
        let written = self.walker.messages >= number;
        match completion {
            Completion::Written => {
                must(self.cut_off.is_none(), || {
                    "a message is reported as written after one that was cut off".into()
                })?;
                must(written, || format!("message {number} is reported as written but is not"))
            }
            Completion::CutOff => {
                self.cut_off.get_or_insert(number);
                must(!written, || format!("message {number} is reported as cut off but was written"))?;
                must(self.arrived < number, || format!("message {number} was cut off, but it arrived"))
            }
        }
    }

    pub(crate) fn closes(&mut self, info: CloseInfo, peer: &Self) -> Law {
        must(self.reports_due.is_empty(), || "Closed before every completion".into())?;
        let sent = info.sent.as_ref().map(payload_of);
        // The Close is the last frame, so it is among the bytes that are not passed on.
        let on_its_way = self.walker.close.as_ref().filter(|_| self.flushed);
        must(sent.as_ref() == on_its_way, || {
            format!("Closed says {:?} was sent, but it was {on_its_way:?}", info.sent)
        })?;
        if let Some(received) = &info.received {
            must(peer.walker.close.as_ref() == Some(&payload_of(received)), || {
                format!("Closed says {received:?} was received, but {:?} was sent", peer.walker.close)
            })?;
            // A received Close comes after all messages before it.
            must(self.drops || peer.arrived == peer.walker.messages, || {
                format!(
                    "{} messages before the peer's Close, but {} arrived",
                    peer.walker.messages, peer.arrived
                )
            })?;
        }
        self.closed = Some(info);
        Ok(())
    }

    pub(crate) fn stays_within(&self, usage: Usage, peer: &Self) -> Law {
        let Usage { queued, held, unfinished, bounds } = usage;
        // Answers to the pings of one read are queued before the queue is written. A masked answer is at most three
        // times its ping.
        let queue = bounds.write_queue_bytes.max(self.largest + self.largest / 8) + 3 * bounds.read + 2048;
        must(queued <= queue, || format!("{queued} bytes queued, {queue} at most"))?;
        // The messages of one read are kept. A message with an entry of its own, which counts 64 bytes more, has at
        // least 1 KiB; the messages between two such entries share one.
        let entries = 2 * (1 + bounds.read / 1024);
        let inbox = bounds.max_held_bytes + bounds.read + peer.largest + 64 * entries;
        must(held <= inbox, || format!("{held} bytes held, {inbox} at most"))?;
        // The message compressed and inflated, and the bytes after it.
        let message = 2 * peer.largest + peer.largest / 8 + 1024 + 2 * bounds.read;
        must(unfinished <= message, || format!("{unfinished} bytes of a message, {message} at most"))
    }
}

pub(crate) fn deliver(peer: &mut Side, message: Digest) -> Law {
    let next = peer.on_its_way.pop_front();
    must(next == Some(message), || format!("got {message:?}, but the next one is {next:?}"))?;
    peer.arrived += 1;
    let number = peer.arrived;
    must(peer.cut_off.is_none_or(|cut_off| number < cut_off), || {
        format!("message {number} was cut off, but it arrived")
    })
}

/// Checks that a pong was sent by the peer's application or answers a ping. Answers are in order, and some pings have
/// none. A peer that also sends pongs of its own may make them look like answers.
pub(crate) fn pinged(side: &Side, peer: &mut Side, payload: &[u8], early: bool) -> Law {
    // Keepalive pings are also empty.
    if payload.is_empty() {
        return Ok(());
    }
    must(peer.pings.pop_front().as_deref() == Some(payload), || {
        "a ping that was not sent, or is out of order".into()
    })?;
    let Some(before) = peer.walker.pings.pop_front() else {
        return Err("a ping that was not written".into());
    };
    let in_place = peer.arrived == before || (early && peer.arrived < before);
    must(side.drops || in_place, || format!("a ping after {} messages, not {before}", peer.arrived))
}

pub(crate) fn answer(side: &mut Side, peer: &mut Side, payload: &[u8]) -> Law {
    if payload.is_empty() {
        return Ok(());
    }
    if peer.pongs.front().is_some_and(|next| next == payload) {
        peer.pongs.pop_front();
        return Ok(());
    }
    let Some(at) = side.unanswered.iter().position(|ping| ping == payload) else {
        return Err("a pong that was not sent, or that arrives twice".into());
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
