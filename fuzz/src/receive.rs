//! Arbitrary bytes, cut in arbitrary ways, with and without breaks between the events of a read. The events must not
//! depend on that.

use ws_proto::{Config, Role, ValidConfig, deflate::DeflateConfig, handshake::Extensions};

use crate::{
    inflate::agreement,
    input::Input,
    machine::{Machine, Seen},
};

pub fn receive(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    let deflate = choice & 2 != 0;
    let mut config = Config::default();
    config.limits.max_message_size = 16 + input.number() % 5000;
    // The number of control frames in one read depends on the cuts.
    config.limits.max_control_frames_per_read = u32::MAX;
    config.limits.max_fragments = 1 + u32::from(input.byte()) % 20;
    config.validate_utf8 = choice & 4 == 0;
    config.auto_pong = choice & 8 == 0;
    config.deflate = deflate.then(DeflateConfig::server);
    let config = config.validate().expect("valid");
    let steps = [1 + input.below(8), 1 + input.below(64), 1 + input.number() % 2000];
    let wire = input.rest();
    let events = |steps: &[usize], sets_aside| {
        let mut machine = Machine::new(role, &config, agreed(role, &config, deflate));
        machine.sets_aside = sets_aside;
        receive_all(machine, wire, steps)
    };
    let at_once = events(&[usize::MAX], false);
    assert_eq!(at_once, events(&steps, false));
    assert_eq!(at_once, events(&[1], false));
    assert_eq!(at_once, events(&[usize::MAX], true), "what is set aside comes next");
    assert_eq!(at_once, events(&steps, true));
    for seen in &at_once {
        if let Seen::Message(_, payload) = seen {
            assert!(payload.len() <= config.limits.max_message_size);
        }
    }
}

fn agreed(role: Role, config: &ValidConfig, deflate: bool) -> Extensions {
    if deflate { agreement(role, config) } else { Extensions::default() }
}

fn receive_all(mut machine: Machine, wire: &[u8], steps: &[usize]) -> Vec<Seen> {
    let (mut rest, mut step) = (wire, steps.iter().cycle());
    while !rest.is_empty() {
        let size = (*step.next().expect("endless")).min(rest.len());
        let mut piece = &rest[..size];
        rest = &rest[size..];
        while !piece.is_empty() {
            match machine.receive(piece) {
                0 => break,
                n => piece = &piece[n..],
            }
        }
    }
    machine.finish();
    machine.seen
}
