use std::{
    io::IoSlice,
    time::{Duration, Instant},
};

use super::{
    network::{Chunking, Nature, Network, Read},
    *,
};
use ws_proto::{Event, MessageKind};

mod oracle;
mod roles;
mod wire;

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let start = Instant::now();
    let run = |seed| {
        let (result, trace) = Simulation::new(seed).last_steps(usize::MAX).run_and_trace(start);
        (result.unwrap(), trace.to_string())
    };
    for seed in 0..50 {
        assert_eq!(run(seed), run(seed));
        assert_ne!(run(seed).1, run(seed + 1).1);
    }
}

#[test]
fn nothing_depends_on_when_the_clock_begins() {
    let run = |start| {
        let (result, trace) = Simulation::new(7).last_steps(usize::MAX).run_and_trace(start);
        (result.unwrap(), trace.to_string())
    };
    let start = Instant::now();
    assert_eq!(run(start), run(start + Duration::from_millis(12_345)));
}

/// Forgets every fifth message, and says so.
#[derive(Default)]
struct Forgetful(u64);

impl App for Forgetful {
    fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, _: &mut Dice) {
        if let Event::Message(_) = event {
            self.0 += 1;
            if self.0.is_multiple_of(5) {
                link.object("it forgets");
            }
        }
    }
}

#[test]
fn a_failure_says_what_when_and_how_to_see_it_again() {
    let start = Instant::now();
    let mut failures =
        (0..100).filter_map(|seed| Simulation::new(seed).server(Forgetful::default()).run(start).err());
    let failure = failures.next().expect("five messages arrive");
    let text = failure.to_string();
    assert_eq!(failure.law(), "server: it forgets");
    assert!(text.starts_with(&format!("seed {}: server: it forgets\n", failure.seed())), "{text}");
    assert!(text.contains("GetsMessage("), "{text}");
    assert!(text.contains(&format!("again with: Simulation::new({})", failure.seed())), "{text}");
    assert!(text.lines().count() <= 62, "{text}");
    assert!(failures.count() > 10, "and not once");
}

/// Asks for a report of each message, and counts them.
#[derive(Default)]
struct Counting {
    sent: u64,
    reported: u64,
}

impl App for Counting {
    fn on_event(&mut self, _: Event<'_>, _: &mut Link<'_>, _: &mut Dice) {}

    fn on_turn(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        let payload = vec![b'x'; dice.below(500)];
        self.sent += u64::from(link.send_bytes(MessageKind::Text, payload.into(), true).is_ok());
    }

    fn on_completion(&mut self, _: ws_proto::Completion, _: &mut Link<'_>, _: &mut Dice) {
        self.reported += 1;
    }
}

#[test]
fn an_application_is_given_its_turns_and_its_completions() {
    let (start, mut sent) = (Instant::now(), 0);
    for seed in 0..100 {
        let mut app = Counting::default();
        Simulation::new(seed).client(&mut app).run(start).unwrap();
        assert_eq!(app.sent, app.reported);
        sent += app.sent;
    }
    assert!(sent > 500, "{sent}");
}

#[test]
fn what_vanishes_takes_its_time_too() {
    let (reads, writes) = (Chunking::Whole, Chunking::Whole);
    let nature = Nature { capacity: 10, delay: Duration::ZERO, reads, writes, buffer: 0 };
    let (mut network, mut dice, now) = (Network::new([nature; 2]), Dice::new(1), Instant::now());
    network.silence(0, false);
    let mut write = |now| network.write(0, &[IoSlice::new(&[0; 8])], now, &mut dice);
    assert_eq!([write(now), write(now), write(now)], [Ok(8), Ok(2), Ok(0)]);
    assert_eq!(write(now + Duration::from_millis(1)), Ok(8));
}

#[test]
fn a_transport_with_a_buffer_takes_at_once_and_passes_on_in_time_and_in_order() {
    let (reads, writes) = (Chunking::Whole, Chunking::Whole);
    let nature = Nature { capacity: 10, delay: Duration::ZERO, reads, writes, buffer: 16 };
    let now = Instant::now();
    for seed in 0..50 {
        let (mut network, mut dice) = (Network::new([nature; 2]), Dice::new(seed));
        let sent: Vec<u8> = (0..100).collect();
        let (mut written, mut received) = (0, Vec::<u8>::new());
        while received.len() < sent.len() {
            written += network.write(0, &[IoSlice::new(&sent[written..])], now, &mut dice).unwrap();
            let (_, all) = network.flush(0, now, &mut dice).unwrap();
            assert_eq!(all, network.is_flushed(0));
            assert!(written - received.len() <= 10 + 16);
            let mut target = [0; 7];
            if let Read::Bytes(n) = network.read(1, &mut target, now, &mut dice) {
                received.extend(&target[..n]);
            }
        }
        assert_eq!(received, sent);
    }
}

#[test]
fn faults_are_read_as_they_are_written() {
    let two = Faults::NONE.with(Fault::Reset).with(Fault::Stall);
    for faults in [Faults::NONE, two] {
        assert_eq!(faults.to_string().parse(), Ok(faults));
    }
    assert_eq!(two.to_string(), "stall,reset");
    assert!("stall,rain".parse::<Faults>().is_err());
}
