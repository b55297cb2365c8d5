//! A client's machine against a server's, over a virtual network that delays and cuts as it likes.

use std::{collections::VecDeque, io::ErrorKind};

use crate::{CloseInfo, Completion, Config, ConnectionState, Initiator, MessageKind, Role, Transport};

use super::bench::{Endpoint, SECOND, Seen, config};

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// One machine, what it must receive, and what it must be told.
struct Side {
    end: Endpoint,
    /// Bytes of its output that reached the peer.
    delivered: usize,
    hung_up: bool,
    /// Accepted for sending, and not seen by the peer's application yet.
    sent: VecDeque<(MessageKind, Vec<u8>)>,
    reports_due: usize,
    closed_it: bool,
    info: Option<CloseInfo>,
}

/// Narrow, so that the two get in each other's way.
fn narrow(config: &mut Config) {
    config.limits.max_held_bytes = 3000;
    config.write_queue_bytes = 100_000;
    config.write_queue_messages = 40;
}

impl Side {
    const fn new(end: Endpoint) -> Self {
        Self {
            end,
            delivered: 0,
            hung_up: false,
            sent: VecDeque::new(),
            reports_due: 0,
            closed_it: false,
            info: None,
        }
    }

    fn send(&mut self, dice: &mut Dice) {
        let length = match dice.below(10) {
            0 => 0,
            1..7 => dice.below(200),
            7 | 8 => dice.below(5000),
            _ => dice.below(60_000),
        };
        let first = dice.below(26);
        let payload: Vec<u8> = (0..length).map(|at| b'a' + ((first + at) % 26) as u8).collect();
        let kind = if dice.below(2) == 0 { MessageKind::Text } else { MessageKind::Binary };
        let notify = dice.below(2) == 0;
        let Endpoint { connection, tx, .. } = &mut self.end;
        let accepted = if notify {
            connection.send_bytes(kind, payload.clone().into(), true, tx).is_ok()
        } else {
            connection.send(kind, &payload, tx).is_ok()
        };
        if accepted {
            assert_eq!(connection.state(), ConnectionState::Open);
            self.reports_due += usize::from(notify);
            self.sent.push_back((kind, payload));
        }
        self.end.drive();
    }

    /// Up to `limit` bytes reach the peer, and behind the last one the end of the stream.
    fn deliver(&mut self, limit: usize, to: &mut Self) -> bool {
        let until = self.end.outbound.bytes.len().min(self.delivered.saturating_add(limit));
        let bytes = self.end.outbound.bytes[self.delivered..until].to_vec();
        self.delivered = until;
        to.end.receives_bytes(&bytes);
        let all = self.delivered == self.end.outbound.bytes.len();
        let hangs_up = all && !self.hung_up && self.end.transport() != Transport::Open;
        if hangs_up {
            self.hung_up = true;
            to.end.peer_hangs_up();
        }
        !bytes.is_empty() || hangs_up
    }

    /// What its application saw must be what the peer sent, in order, each once.
    fn check(&mut self, peer: &mut Self) {
        while let Some(seen) = self.end.seen.pop_front() {
            assert_eq!(self.info, None, "{seen:?} behind Closed");
            let message = match seen {
                Seen::Text(text) => (MessageKind::Text, text.into_bytes()),
                Seen::Binary(payload) => (MessageKind::Binary, payload),
                Seen::Closed(info) => {
                    self.info = Some(info);
                    continue;
                }
                _ => continue,
            };
            assert!(peer.sent.pop_front() == Some(message), "another message, or out of order");
        }
    }

    /// Reports come for whoever asked, the good ones first.
    fn check_reports(&self) {
        let reports = &self.end.completions;
        assert!(reports.len() <= self.reports_due);
        let written = reports.iter().take_while(|report| **report == Completion::Written).count();
        assert!(reports.iter().skip(written).all(|report| *report == Completion::CutOff));
    }
}

/// How a run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Whoever throws the number.
    Closes,
    Aborts,
    Reset,
}

fn step(dice: &mut Dice, side: &mut Side, peer: &mut Side, ending: Ending) {
    match dice.below(100) {
        0..35 => side.send(dice),
        35..40 => {
            let payload = vec![b'p'; dice.below(126)];
            let _ = side.end.connection.send_ping(&payload, &mut side.end.tx);
            side.end.drive();
        }
        40..65 => {
            let limit = if dice.below(3) == 0 { 1 + dice.below(20) } else { dice.below(50_000) };
            side.deliver(limit, peer);
        }
        65..75 => side.end.transport_takes(dice.below(10_000)),
        75..82 => side.end.transport_flows(),
        82..86 => side.end.pauses(),
        86..92 => side.end.resumes(),
        92..94 => side.end.read_size = 1 + dice.below(3000),
        94..97 => {
            // Long enough for a keepalive ping, too short for any deadline.
            for side in [&mut *side, peer] {
                side.end.passes(SECOND / 2);
            }
        }
        97 => match ending {
            Ending::Closes => {
                side.closed_it |= side.end.connection.state() == ConnectionState::Open;
                side.end.closes(1000, "done");
            }
            Ending::Aborts => {
                side.end.connection.abort(&mut side.end.tx);
                side.end.drive();
            }
            Ending::Reset => {
                for side in [side, peer] {
                    side.end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut side.end.tx);
                    side.end.drive();
                }
            }
        },
        _ => {}
    }
}

/// Everything that is under way arrives, and if nobody closed, the client does.
fn settle(sides: &mut [Side; 2]) {
    if sides.iter().all(|side| side.end.connection.state() == ConnectionState::Open) {
        sides[0].closed_it = true;
        sides[0].end.closes(1000, "all done");
    }
    let mut moved = true;
    while moved {
        moved = false;
        for _ in 0..2 {
            sides.rotate_left(1);
            let [side, peer] = sides;
            side.end.transport_flows();
            side.end.resumes();
            moved |= side.deliver(usize::MAX, peer);
            side.check(peer);
            peer.check(side);
        }
    }
}

fn run(seed: u64, ending: Ending) -> [Side; 2] {
    let config = config(narrow);
    run_with(seed, ending, |role| Endpoint::with(role, &config))
}

fn run_with(seed: u64, ending: Ending, make: impl Fn(Role) -> Endpoint) -> [Side; 2] {
    let mut dice = Dice(seed);
    let mut sides = [Role::Client, Role::Server].map(|role| Side::new(make(role)));
    for _ in 0..150 {
        if dice.below(2) == 0 {
            sides.rotate_left(1);
        }
        let [side, peer] = &mut sides;
        step(&mut dice, side, peer, ending);
        side.check(peer);
        peer.check(side);
        side.check_reports();
        peer.check_reports();
    }
    sides.sort_by_key(|side| side.end.role() == Role::Server);
    settle(&mut sides);
    for side in &sides {
        assert!(side.info.is_some(), "{:?} is not closed", side.end.role());
        assert_eq!(side.end.completions.len(), side.reports_due);
        side.check_reports();
    }
    sides
}

#[test]
fn two_machines_agree_whatever_the_network_does() {
    let (mut one_closed, mut both_closed) = (0, 0);
    for seed in 0..250 {
        eprintln!("seed {seed}");
        let sides = run(seed, Ending::Closes);
        for side in &sides {
            let info = side.info.as_ref().unwrap();
            assert!(info.is_clean(), "{info:?}");
            let initiator = if side.closed_it { Initiator::Local } else { Initiator::Remote };
            assert_eq!(info.initiator, initiator);
        }
        match sides.each_ref().map(|side| side.closed_it) {
            [true, true] => both_closed += 1,
            [client, _] => {
                one_closed += 1;
                let closer = &sides[usize::from(!client)];
                assert!(closer.sent.is_empty(), "what was sent before a clean close has arrived");
                assert!(closer.end.completions.iter().all(|report| *report == Completion::Written));
            }
        }
    }
    // Otherwise the run proves less than it says.
    assert!(one_closed > 100 && both_closed >= 5, "{one_closed} {both_closed}");
}

#[test]
fn an_abort_on_one_side_ends_the_other() {
    let mut aborted = 0;
    for seed in 0..100 {
        eprintln!("seed {seed}");
        let sides = run(seed, Ending::Aborts);
        aborted += usize::from(sides.iter().any(|side| !side.info.as_ref().unwrap().is_clean()));
    }
    assert!(aborted > 30, "{aborted}");
}

#[test]
fn a_reset_ends_both_sides() {
    let mut reset = 0;
    for seed in 0..100 {
        eprintln!("seed {seed}");
        let sides = run(seed, Ending::Reset);
        reset += usize::from(sides.iter().all(|side| !side.info.as_ref().unwrap().is_clean()));
    }
    assert!(reset > 30, "{reset}");
}

#[cfg(feature = "deflate")]
#[test]
fn two_machines_that_compress_agree_too() {
    use super::compression;

    for keeps_context in [true, false] {
        let config = compression::with_deflate(|config, deflate| {
            narrow(config);
            deflate.send_takeover = keeps_context;
            deflate.receive_takeover = keeps_context;
            deflate.threshold = 100;
        });
        for seed in 0..100 {
            eprintln!("seed {seed}, context: {keeps_context}");
            let sides = run_with(seed, Ending::Closes, |role| compression::endpoint(role, &config));
            for side in &sides {
                assert!(side.info.as_ref().is_some_and(CloseInfo::is_clean));
            }
        }
    }
}
