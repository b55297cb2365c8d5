//! Other libraries read this library's output. They must receive what was sent.

use ws_proto::{Config, MessageKind, Notify, PreparedMessage, Role, handshake::Extensions};

use super::{Reader, Told, tokio_websockets, tungstenite};
use crate::{input::Input, machine::Machine};

/// More than the size of any message.
const LIMIT: usize = 1 << 20;

/// The messages and control frames that were accepted. They are kept apart, because control frames may overtake
/// messages.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sent {
    messages: Vec<Told>,
    control: Vec<Told>,
}

impl Sent {
    fn add(&mut self, told: Told) {
        match told {
            Told::Message(..) => self.messages.push(told),
            _ => self.control.push(told),
        }
    }
}

pub fn encode(data: &[u8]) {
    let mut input = Input::new(data);
    let (role, peer) = match input.below(2) {
        0 => (Role::Client, Role::Server),
        _ => (Role::Server, Role::Client),
    };
    let steps = [1 + input.below(8), 1 + input.below(64), 1 + input.number()];
    let config = Config::default().validate().expect("valid");
    let mut machine = Machine::new(role, &config, Extensions::default());
    let mut sent = Sent::default();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        operate(&mut machine, &mut input, &mut sent);
    }
    machine.takes = usize::MAX;
    let code = [1000, 1001, 3000, 4999][input.below(4)];
    let reason = &"gründlich genug"[..[0, 4, 16][input.below(3)]];
    let Machine { connection, tx, now, .. } = &mut machine;
    connection.close(ws_proto::CloseCode::new(code).expect("valid"), reason, *now, tx);
    sent.add(Told::Close(Some((code, reason.to_owned()))));
    machine.drive();
    assert_eq!(received(tungstenite::Peer::with_limit(peer, LIMIT), &machine.written, steps), sent);
    assert_eq!(received(tokio_websockets::Peer::with_limit(peer, LIMIT), &machine.written, steps), sent);
}

fn operate(machine: &mut Machine, input: &mut Input<'_>, sent: &mut Sent) {
    let operation = input.byte();
    let len = match operation >> 6 {
        0 => input.below(8),
        1 => 120 + input.below(12),
        2 => 65_530 + input.below(12),
        _ => input.number() % 10_000,
    };
    let payload: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
    let kind = if operation & 1 == 0 { MessageKind::Text } else { MessageKind::Binary };
    let Machine { connection, tx, .. } = machine;
    let (control, message) = (len.min(125), Told::Message(kind, payload.clone()));
    let accepted = match operation >> 1 & 7 {
        0 | 1 => connection.send(kind, &payload, tx).is_ok().then_some(message),
        2 => connection.send_bytes(kind, payload.into(), Notify::No, tx).is_ok().then_some(message),
        3 => connection.send_prepared(&prepared(kind, payload), Notify::No, tx).is_ok().then_some(message),
        4 => {
            connection.ping(&payload[..control], tx).is_ok().then(|| Told::Ping(payload[..control].to_vec()))
        }
        5 => {
            connection.pong(&payload[..control], tx).is_ok().then(|| Told::Pong(payload[..control].to_vec()))
        }
        6 => {
            machine.takes = len;
            None
        }
        _ => {
            machine.takes = usize::MAX;
            None
        }
    };
    accepted.into_iter().for_each(|told| sent.add(told));
    machine.drive();
}

fn prepared(kind: MessageKind, payload: Vec<u8>) -> PreparedMessage {
    match kind {
        MessageKind::Text => PreparedMessage::new(String::from_utf8(payload).expect("letters")),
        MessageKind::Binary => PreparedMessage::new(payload),
    }
}

/// The pieces that the peer reads. The first are small, so that headers are cut. The rest is large, to save time.
fn received(mut peer: impl Reader, wire: &[u8], steps: [usize; 3]) -> Sent {
    let small = steps.iter().copied().cycle().take(300);
    let (mut rest, mut steps, mut received) = (wire, small.chain(std::iter::repeat(4096)), Sent::default());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(steps.next().unwrap_or(1).min(rest.len()));
        rest = behind;
        let mut told = Vec::new();
        peer.feed(piece, &mut told);
        told.into_iter().for_each(|told| received.add(told));
    }
    received
}
