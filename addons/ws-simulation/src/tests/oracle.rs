//! The oracle must accept the true facts of a run, and find each fact that a test falsifies.

use std::{sync::OnceLock, time::Instant};

use crate::*;
use ws_proto::{CloseCode, Completion};

use super::super::{
    fact::{Fact, Usage},
    oracle::Oracle,
    side::Terms,
};

type Facts = Vec<(usize, Fact<'static>)>;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// The facts of an orderly run that the client closed, in which enough of every kind happened.
fn facts() -> Facts {
    static FOUND: OnceLock<Facts> = OnceLock::new();
    FOUND.get_or_init(search).clone()
}

fn search() -> Facts {
    let is_rich = |facts: &Facts| {
        let count = |side: usize, wanted: fn(&Fact<'_>) -> bool| {
            facts.iter().filter(|(at, fact)| *at == side && wanted(fact)).count()
        };
        count(SERVER, is_message) >= 3
            && count(CLIENT, is_message) >= 3
            && count(CLIENT, is_completion) >= 2
            && count(SERVER, |fact| matches!(fact, Fact::Pinged(payload) if !payload.is_empty())) >= 2
            && has_a_ping_behind_a_message(facts)
            && count(CLIENT, |fact| matches!(fact, Fact::Ponged(payload) if !payload.is_empty())) >= 2
            && count(CLIENT, |fact| matches!(fact, Fact::AcceptedPong(_))) == 0
            && count(SERVER, |fact| matches!(fact, Fact::AcceptedPong(_))) == 0
            && count(CLIENT, |fact| matches!(fact, Fact::Closes)) == 1
            && count(SERVER, |fact| matches!(fact, Fact::Closes)) == 0
    };
    (0..5000).map(recorded).find(is_rich).expect("one of the runs has enough facts")
}

fn has_a_ping_behind_a_message(facts: &Facts) -> bool {
    let is_ping = |fact: &Fact<'_>| matches!(fact, Fact::Pinged(payload) if !payload.is_empty());
    let of_server =
        facts.iter().filter(|(side, fact)| *side == SERVER && (is_message(fact) || is_ping(fact)));
    let pings: Vec<bool> = of_server.map(|(_, fact)| is_ping(fact)).collect();
    pings.windows(2).any(|pair| pair == [false, true])
}

fn recorded(seed: u64) -> Facts {
    let simulation = Simulation::new(seed).faults(Faults::NONE).shared_buffer(false);
    #[cfg(feature = "deflate")]
    let simulation = simulation.compressed(false);
    let mut run = simulation.begin(Instant::now()).unwrap();
    run.world.between[0].oracle.record = Some(Vec::new());
    run.run().unwrap();
    run.world.between[0].oracle.record.take().unwrap()
}

fn verdict(facts: Facts) -> Option<String> {
    let mut oracle = Oracle::new(Terms { compressed: false, orderly: true });
    for (side, fact) in facts {
        oracle.note(side, fact);
    }
    oracle.finish();
    oracle.violation
}

const fn is_message(fact: &Fact<'_>) -> bool {
    matches!(fact, Fact::Delivered { .. })
}

const fn is_completion(fact: &Fact<'_>) -> bool {
    matches!(fact, Fact::Completed(_))
}

const fn is_closed(fact: &Fact<'_>) -> bool {
    matches!(fact, Fact::Closed(_))
}

/// The position of the `nth` such fact of `side`.
fn find(facts: &Facts, side: usize, nth: usize, wanted: impl Fn(&Fact<'_>) -> bool) -> usize {
    let mut found = (0..facts.len()).filter(|at| facts[*at].0 == side && wanted(&facts[*at].1));
    found.nth(nth).expect("the fact exists")
}

/// The rule that is violated once `falsify` has changed the facts.
fn broken(falsify: impl FnOnce(&mut Facts)) -> String {
    let mut facts = facts();
    falsify(&mut facts);
    verdict(facts).expect("the oracle finds a violation")
}

#[track_caller]
fn finds(law: &str, falsify: impl FnOnce(&mut Facts)) {
    let found = broken(falsify);
    assert!(found.contains(law), "{found}");
}

#[test]
fn true_facts_violate_no_rule() {
    assert_eq!(verdict(facts()), None);
}

#[test]
fn a_message_that_is_lost_is_found() {
    finds("but the next one is", |facts| drop(facts.remove(find(facts, SERVER, 0, is_message))));
    let loses_the_last = |facts: &mut Facts| {
        let count = facts.iter().filter(|(side, fact)| *side == SERVER && is_message(fact)).count();
        let last = find(facts, SERVER, count - 1, is_message);
        let mut at = 0;
        // Without the pings behind it, which another rule would find first.
        facts.retain(|(side, fact)| {
            at += 1;
            *side != SERVER || at <= last || !(at == last + 1 || matches!(fact, Fact::Pinged(_)))
        });
    };
    finds("messages before the peer's Close", loses_the_last);
    finds("the sender does not learn of it", |facts| {
        facts.insert(0, (SERVER, Fact::Drops));
        loses_the_last(facts);
    });
}

#[test]
fn a_message_that_arrives_twice_or_too_early_is_found() {
    finds("but the next one is", |facts| {
        let at = find(facts, SERVER, 0, is_message);
        facts.insert(at, facts[at].clone());
    });
    finds("but the next one is", |facts| {
        let (first, second) = (find(facts, CLIENT, 0, is_message), find(facts, CLIENT, 1, is_message));
        facts.swap(first, second);
    });
}

#[test]
fn a_message_that_is_altered_is_found() {
    finds("but the next one is", |facts| {
        let long = |fact: &Fact<'_>| matches!(fact, Fact::Delivered { payload, .. } if !payload.is_empty());
        let at = find(facts, SERVER, 0, long);
        let Fact::Delivered { payload, .. } = &mut facts[at].1 else { unreachable!() };
        *payload.to_mut().last_mut().unwrap() ^= 1;
    });
    finds("but the next one is", |facts| {
        let at = find(facts, SERVER, 0, is_message);
        let Fact::Delivered { kind, .. } = &mut facts[at].1 else { unreachable!() };
        *kind = if *kind == ws_proto::MessageKind::Text {
            ws_proto::MessageKind::Binary
        } else {
            ws_proto::MessageKind::Text
        };
    });
}

#[test]
fn a_ping_out_of_its_place_among_the_messages_is_found() {
    // A ping with a message right before or after it, on the same side.
    let swapped = |facts: &mut Facts, early: bool| {
        let of_server: Vec<usize> = (0..facts.len()).filter(|at| facts[*at].0 == SERVER).collect();
        let is_ping = |at: usize| matches!(&facts[at].1, Fact::Pinged(payload) if !payload.is_empty());
        let events: Vec<usize> =
            of_server.into_iter().filter(|at| is_ping(*at) || is_message(&facts[*at].1)).collect();
        let pair = events.windows(2).find(|pair| is_message(&facts[pair[0]].1) && is_ping(pair[1]));
        let &[message, ping] = pair.expect("a ping behind a message") else { unreachable!() };
        let Fact::Pinged(payload) = facts.remove(ping).1 else { unreachable!() };
        let fact = if early { Fact::PingedEarly(payload) } else { Fact::Pinged(payload) };
        facts.insert(message, (SERVER, fact));
    };
    finds("a ping after", |facts| swapped(facts, false));
    let mut facts = facts();
    swapped(&mut facts, true);
    assert_eq!(verdict(facts), None, "a ping may come before messages that are held");
}

#[test]
fn every_fact_after_closed_is_found() {
    for wanted in [is_message as fn(&Fact<'_>) -> bool, is_completion, |fact| matches!(fact, Fact::Pinged(_))]
    {
        let side =
            if facts().iter().any(|(side, fact)| *side == CLIENT && wanted(fact)) { CLIENT } else { SERVER };
        finds("after Closed", |facts| {
            let last = (0..facts.len()).rfind(|at| facts[*at].0 == side && wanted(&facts[*at].1)).unwrap();
            let closed = find(facts, side, 0, is_closed);
            let fact = facts[last].clone();
            facts.insert(closed + 1, fact);
        });
    }
    finds("after Closed: something to write", |facts| facts.push((CLIENT, Fact::Wrote(b"x".into()))));
}

#[test]
fn a_second_closed_and_a_missing_closed_are_found() {
    finds("Closed again", |facts| {
        let at = find(facts, SERVER, 0, is_closed);
        facts.insert(at, facts[at].clone());
    });
    finds("not closed", |facts| drop(facts.remove(find(facts, SERVER, 0, is_closed))));
}

#[test]
fn a_completion_that_is_missing_doubled_or_wrong_is_found() {
    finds("Closed before every completion", |facts| {
        let count = facts.iter().filter(|(side, fact)| *side == CLIENT && is_completion(fact)).count();
        facts.remove(find(facts, CLIENT, count - 1, is_completion));
    });
    finds("a completion for no send", |facts| {
        let at = find(facts, CLIENT, 0, is_closed);
        facts.insert(at, (CLIENT, Fact::Completed(Completion::Written)));
    });
    finds("reported as cut off but was written", |facts| {
        let at = find(facts, CLIENT, 0, is_completion);
        facts[at].1 = Fact::Completed(Completion::CutOff);
    });
    finds("reported as written but is not", |facts| {
        let notified = |fact: &Fact<'_>| matches!(fact, Fact::Accepted { notify: true, .. });
        let (sent, reported) = (find(facts, CLIENT, 0, notified), find(facts, CLIENT, 0, is_completion));
        let report = facts.remove(reported);
        facts.insert(sent + 1, report);
    });
}

#[test]
fn a_byte_after_a_close_is_found() {
    for side in [CLIENT, SERVER] {
        finds("bytes after a Close", |facts| {
            let at = find(facts, side, 0, is_closed);
            facts.insert(at, (side, Fact::Wrote(b"\x8a".into())));
        });
    }
}

#[test]
fn a_closed_event_with_wrong_close_frames_is_found() {
    let change = |side: usize, change: fn(&mut ws_proto::CloseInfo)| {
        move |facts: &mut Facts| {
            let at = find(facts, side, 0, is_closed);
            let Fact::Closed(info) = &mut facts[at].1 else { unreachable!() };
            change(info);
        }
    };
    finds("was sent, but it was", change(CLIENT, |info| info.sent = None));
    finds(
        "was sent, but it was",
        change(SERVER, |info| info.sent.as_mut().unwrap().reason = "another".into()),
    );
    let other =
        |info: &mut ws_proto::CloseInfo| info.received.as_mut().unwrap().code = CloseCode::new(4000).ok();
    finds("was received, but", change(SERVER, other));
    finds("not clean", change(CLIENT, |info| info.received = None));
    finds("wrong initiator", change(SERVER, |info| info.initiator = ws_proto::close::Initiator::Local));
}

#[test]
fn pings_and_pongs_that_were_not_sent_are_found() {
    let ping = |fact: &Fact<'_>| matches!(fact, Fact::Pinged(payload) if !payload.is_empty());
    let pong = |fact: &Fact<'_>| matches!(fact, Fact::Ponged(payload) if !payload.is_empty());
    finds("a ping that was not sent", |facts| drop(facts.remove(find(facts, SERVER, 0, ping))));
    finds("a pong that was not sent", |facts| {
        let at = find(facts, CLIENT, 0, pong);
        facts.insert(at, facts[at].clone());
    });
    finds("a pong that was not sent", |facts| {
        let (first, second) = (find(facts, CLIENT, 0, pong), find(facts, CLIENT, 1, pong));
        facts.swap(first, second);
    });
}

#[test]
fn memory_beyond_the_limits_is_found() {
    let changes: [fn(&mut Usage); 3] =
        [|usage| usage.queued += 1 << 24, |usage| usage.held += 1 << 24, |usage| usage.unfinished += 1 << 24];
    for change in changes {
        finds("at most", |facts| {
            let at = find(facts, CLIENT, 0, |fact| matches!(fact, Fact::Uses(_)));
            let Fact::Uses(usage) = &mut facts[at].1 else { unreachable!() };
            change(usage);
        });
    }
}

#[test]
fn a_close_in_the_buffer_of_a_transport_does_not_count_as_sent() {
    for side in [CLIENT, SERVER] {
        let flushed = |all: bool| {
            move |facts: &mut Facts| facts.insert(find(facts, side, 0, is_closed), (side, Fact::Flushed(all)))
        };
        finds("was sent, but it was None", flushed(false));
        let mut facts = facts();
        flushed(true)(&mut facts);
        assert_eq!(verdict(facts), None);
    }
}
