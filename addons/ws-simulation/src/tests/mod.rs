use std::{
    io::IoSlice,
    time::{Duration, Instant},
};

use super::{
    network::{Chunking, Nature, Network, Read},
    *,
};
use ws_proto::{Event, MessageKind, Notify};

mod oracle;
mod roles;
mod wire;

#[test]
fn equal_seeds_give_equal_runs_and_different_seeds_different_runs() {
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
fn reads_are_set_aside_and_held_messages_are_lent() {
    let mut sum = Report::default();
    for seed in 0..1000 {
        sum += Simulation::new(seed).run(Instant::now()).unwrap();
    }
    assert!(sum.set_aside > 1000 && sum.runs_lent > 10, "{sum}");
}

#[test]
fn a_run_does_not_depend_on_the_start_of_the_clock() {
    let run = |start| {
        let (result, trace) = Simulation::new(7).last_steps(usize::MAX).run_and_trace(start);
        (result.unwrap(), trace.to_string())
    };
    let start = Instant::now();
    assert_eq!(run(start), run(start + Duration::from_millis(12_345)));
}

/// Reports a failure at every fifth message.
#[derive(Default)]
struct FailsAtEveryFifth(u64);

impl App for FailsAtEveryFifth {
    fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, _: &mut Dice) {
        if let Event::Message(_) = event {
            self.0 += 1;
            if self.0.is_multiple_of(5) {
                link.object("fifth message");
            }
        }
    }
}

#[test]
fn a_failure_has_the_rule_the_last_steps_and_how_to_repeat_the_run() {
    let start = Instant::now();
    let mut failures = (0..100)
        .filter_map(|seed| Simulation::new(seed).server(FailsAtEveryFifth::default()).run(start).err());
    let failure = failures.next().expect("five messages arrive");
    let text = failure.to_string();
    assert_eq!(failure.law(), "server: fifth message");
    assert!(text.starts_with(&format!("seed {}: server: fifth message\n", failure.seed())), "{text}");
    assert!(text.contains("GetsMessage("), "{text}");
    assert!(text.contains(&format!("repeat with: Simulation::new({})", failure.seed())), "{text}");
    assert!(text.lines().count() <= 62, "{text}");
    assert!(failures.count() > 10, "more than one seed must fail");
}

/// Asks for a completion of each message, and counts the completions.
#[derive(Default)]
struct Counting {
    sent: u64,
    reported: u64,
}

impl App for Counting {
    fn on_event(&mut self, _: Event<'_>, _: &mut Link<'_>, _: &mut Dice) {}

    fn on_turn(&mut self, link: &mut Link<'_>, dice: &mut Dice) {
        let payload = vec![b'x'; dice.below(500)];
        self.sent += u64::from(link.send_bytes(MessageKind::Text, payload.into(), Notify::Yes).is_ok());
    }

    fn on_completion(&mut self, _: ws_proto::Completion, _: &mut Link<'_>, _: &mut Dice) {
        self.reported += 1;
    }
}

#[test]
fn an_application_gets_turns_and_completions() {
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
fn lost_bytes_also_take_time() {
    let (reads, writes) = (Chunking::Whole, Chunking::Whole);
    let nature = Nature { capacity: 10, delay: Duration::ZERO, reads, writes, buffer: 0 };
    let (mut network, mut dice, now) = (Network::new([nature; 2]), Dice::new(1), Instant::now());
    network.silence(0, false);
    let mut write = |now| network.write(0, &[IoSlice::new(&[0; 8])], now, &mut dice);
    assert_eq!([write(now), write(now), write(now)], [Ok(8), Ok(2), Ok(0)]);
    assert_eq!(write(now + Duration::from_millis(1)), Ok(8));
}

#[test]
fn a_transport_with_a_buffer_accepts_at_once_and_passes_on_in_order() {
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
fn faults_parse_as_they_are_displayed() {
    let two = Faults::NONE.with(Fault::Reset).with(Fault::Stall);
    for faults in [Faults::NONE, two] {
        assert_eq!(faults.to_string().parse(), Ok(faults));
    }
    assert_eq!(two.to_string(), "stall,reset");
    assert!("stall,rain".parse::<Faults>().is_err());
}
