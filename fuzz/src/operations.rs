//! Two machines, a network and a clock, driven by the fuzzer. Each accepted message arrives once and in order, or its
//! sender gets a report that it may not have arrived.

use std::{collections::VecDeque, time::Duration};

use ws_proto::{
    CloseCode, Completion, Config, ConnectionState, MessageKind, Notify, Role, ValidConfig,
    deflate::DeflateConfig,
};

use crate::{
    inflate::agreement,
    input::Input,
    machine::{Machine, Seen},
};

struct Side {
    machine: Machine,
    /// The number of bytes of its output that reached the peer.
    delivered: usize,
    /// Messages that were accepted and have not reached the peer's application.
    sent: VecDeque<(MessageKind, Vec<u8>)>,
    reports_due: usize,
    checked: usize,
    hung_up: bool,
}

impl Side {
    fn new(role: Role, config: &ValidConfig, deflate: bool) -> Self {
        let extensions = if deflate { agreement(role, config) } else { Default::default() };
        Self {
            machine: Machine::new(role, config, extensions),
            delivered: 0,
            sent: VecDeque::new(),
            reports_due: 0,
            checked: 0,
            hung_up: false,
        }
    }

    fn send(&mut self, input: &mut Input<'_>) {
        let shape = input.byte();
        let len = match shape & 3 {
            0 => usize::from(input.byte()),
            1 => input.number() % 3000,
            2 => input.number(),
            // Seldom, because it is slow.
            _ if shape >> 5 == 0 => 300_000 + input.number(),
            _ => 0,
        };
        let start = input.byte();
        let payload: Vec<u8> = (0..len).map(|at| b'a' + start.wrapping_add((at / 3) as u8) % 26).collect();
        let kind = if shape & 4 == 0 { MessageKind::Text } else { MessageKind::Binary };
        let notify = shape & 8 != 0;
        let Machine { connection, tx, .. } = &mut self.machine;
        connection.set_compression(shape & 16 == 0);
        let accepted = if notify {
            connection.send_bytes(kind, payload.clone().into(), Notify::Yes, tx).is_ok()
        } else {
            connection.send(kind, &payload, tx).is_ok()
        };
        if accepted {
            assert_eq!(connection.state(), ConnectionState::Open);
            self.reports_due += usize::from(notify);
            self.sent.push_back((kind, payload));
        }
    }

    /// Passes up to `limit` bytes to the peer, and after the last one the end of the stream.
    fn deliver(&mut self, limit: usize, to: &mut Self) -> bool {
        let end = self.machine.written.len().min(self.delivered.saturating_add(limit));
        let taken = to.machine.receive(&self.machine.written[self.delivered..end]);
        self.delivered += taken;
        let all = self.delivered == self.machine.written.len();
        let hangs_up = all && !self.hung_up && self.machine.hangs_up();
        if hangs_up {
            self.hung_up = true;
            to.machine.end_of_stream();
        }
        taken > 0 || hangs_up
    }

    /// Checks that its application has received what the peer sent.
    fn check(&mut self, peer: &mut Self) {
        for seen in &self.machine.seen[self.checked..] {
            if let Seen::Message(kind, payload) = seen {
                let (sent_kind, sent) = peer.sent.pop_front().expect("a message that was not sent");
                assert!(sent_kind == *kind && sent == *payload, "another message");
            }
        }
        self.checked = self.machine.seen.len();
    }
}

pub fn operations(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let deflate = choice & 1 != 0;
    let mut config = Config::default();
    config.limits.max_held_bytes = 3000;
    config.write_queue_bytes = 100_000;
    config.write_queue_messages = 40;
    config.deflate = deflate.then(|| {
        let mut deflate = DeflateConfig::server();
        deflate.threshold = usize::from(choice);
        deflate
    });
    let config = config.validate().expect("valid");
    let mut client = Side::new(Role::Client, &config, deflate);
    let mut server = Side::new(Role::Server, &config, deflate);
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let operation = input.byte();
        let (side, peer) =
            if operation & 0x80 == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
        operate(operation & 0x7f, side, peer, &mut input);
        side.machine.drive();
        side.check(peer);
        peer.check(side);
    }
    end(&mut client, &mut server);
}

fn operate(operation: u8, side: &mut Side, peer: &mut Side, input: &mut Input<'_>) {
    let machine = &mut side.machine;
    match operation {
        120..=121 => return machine.receive_of_run(input.below(5)),
        122..=123 => return machine.put_back_run(),
        124..=127 => return machine.sets_aside = operation & 1 != 0,
        _ => {}
    }
    match operation % 12 {
        0..=2 => side.send(input),
        3 => {
            let payload = vec![b'p'; input.below(126)];
            let _ = machine.connection.ping(&payload, &mut machine.tx);
        }
        4 => machine.connection.pause(),
        5 => machine.connection.hold(),
        6 => machine.resume(),
        7 => machine.takes = input.number(),
        8 => machine.takes = usize::MAX,
        9 => drop(side.deliver(input.number(), peer)),
        10 => {
            machine.now += Duration::from_millis(input.number() as u64);
            if machine.connection.poll_timeout(&machine.tx).is_some_and(|due| due <= machine.now) {
                machine.connection.handle_timeout(machine.now, &mut machine.tx);
            }
        }
        _ => match input.below(8) {
            0 => machine.connection.close(CloseCode::NORMAL, "done", machine.now, &mut machine.tx),
            1 => machine.connection.abort(&mut machine.tx),
            _ => drop(side.deliver(usize::MAX, peer)),
        },
    }
}

/// Passes all bytes and closes both sides. Checks that each message has arrived or is reported.
fn end(client: &mut Side, server: &mut Side) {
    for side in [&mut *client, &mut *server] {
        side.machine.takes = usize::MAX;
        side.machine.resume();
        side.machine.drive();
    }
    settle(client, server);
    let machine = &mut client.machine;
    machine.connection.close(CloseCode::NORMAL, "", machine.now, &mut machine.tx);
    machine.drive();
    settle(client, server);
    for side in [&mut *client, &mut *server] {
        side.machine.finish();
    }
    client.check(server);
    server.check(client);
    for side in [&*client, &*server] {
        assert_eq!(side.machine.completions.len(), side.reports_due, "one report for each that asked");
        let first_lost = side.machine.completions.iter().position(|done| *done == Completion::CutOff);
        let lost = first_lost.map_or(0, |at| side.machine.completions.len() - at);
        assert!(
            side.machine.completions.iter().rev().take(lost).all(|done| *done == Completion::CutOff),
            "behind what was cut off nothing was written"
        );
        let closed = side.machine.seen.iter().filter(|seen| matches!(seen, Seen::Closed(_))).count();
        assert_eq!(closed, 1);
        assert!(matches!(side.machine.seen.last(), Some(Seen::Closed(_))));
    }
}

fn settle(client: &mut Side, server: &mut Side) {
    while client.deliver(usize::MAX, server) | server.deliver(usize::MAX, client) {
        client.check(server);
        server.check(client);
    }
}
