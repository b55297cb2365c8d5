//! Thousands of seeds for each kind of fault. Each test also checks how often its fault and the consequences
//! occurred, because a run without faults proves little.

use std::{ops::Range, time::Instant};

use super::super::*;

fn run(seeds: Range<u64>, make: impl Fn(u64) -> Simulation<'static>) -> Report {
    let (start, mut sum) = (Instant::now(), Report::default());
    for seed in seeds {
        match make(seed).run(start) {
            Ok(report) => sum += report,
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{sum}");
    sum
}

fn with(fault: Fault, seeds: u64) -> Report {
    run(0..seeds, |seed| Simulation::new(seed).faults(Faults::NONE.with(fault)))
}

#[test]
fn an_orderly_network_loses_only_messages_that_cross_a_close() {
    let sum = run(0..800, |seed| Simulation::new(seed).faults(Faults::NONE));
    assert_eq!(sum.not_clean, 0);
    assert!(sum.clean >= 1600 && sum.delivered > 5 * sum.runs, "{sum}");
    assert!(sum.blocked > 1000 && sum.pings > 300 && sum.pongs > 300 && sum.written > 2000, "{sum}");
}

#[test]
fn a_stalled_direction_delays_messages_and_loses_none() {
    let sum = with(Fault::Stall, 500);
    assert!(sum.stalls > 200 && sum.blocked > 500 && sum.delivered > 1000, "{sum}");
}

#[test]
fn a_stream_that_ends_too_early_ends_both_sides() {
    let sum = with(Fault::HalfClose, 500);
    assert!(sum.half_closes > 100 && sum.not_clean > 100 && sum.cut_off > 50, "{sum}");
}

#[test]
fn a_reset_ends_both_sides_and_every_message_is_accounted_for() {
    let sum = with(Fault::Reset, 500);
    assert!(sum.resets > 100 && sum.not_clean > 200 && sum.lost > 100 && sum.delivered > 500, "{sum}");
}

#[test]
fn after_failed_writes_everything_before_the_peers_close_is_delivered() {
    let sum = with(Fault::FailedWrites, 500);
    assert!(
        sum.failed_writes > 100 && sum.not_clean > 200 && sum.cut_off > 100 && sum.delivered > 500,
        "{sum}"
    );
}

#[test]
fn a_silent_peer_is_dropped_by_the_deadlines() {
    let sum = with(Fault::Silence, 600);
    assert!(sum.silences > 100 && sum.not_clean > 200 && sum.timers > 300, "{sum}");
}

#[test]
fn an_application_that_aborts_or_fails_ends_both_sides() {
    let sum = with(Fault::Abort, 500);
    assert!(sum.aborts > 100 && sum.not_clean > 100 && sum.cut_off > 50, "{sum}");
}

#[test]
fn a_clock_that_jumps_ends_connections_and_violates_no_rule() {
    let sum = with(Fault::TimeJump, 500);
    assert!(sum.jumps > 200 && sum.timers > 1000 && sum.delivered > 1000, "{sum}");
    assert!(sum.time.as_secs() > 100_000, "{sum}");
}

#[test]
fn a_message_over_a_limit_ends_the_connection_and_its_sender_learns_of_it() {
    let sum = with(Fault::Limits, 500);
    assert!(sum.not_clean > 100 && sum.lost > 100 && sum.delivered > 500, "{sum}");
}

#[test]
fn a_message_over_the_memory_budget_ends_the_connection_and_its_sender_learns_of_it() {
    let sum = with(Fault::Budget, 2000);
    assert!(sum.over_budget > 10 && sum.lost > 50 && sum.delivered > 500, "{sum}");
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_messages_arrive_unchanged_with_and_without_context() {
    let sum = run(0..400, |seed| Simulation::new(seed).faults(Faults::NONE).compressed(true));
    assert_eq!(sum.not_clean, 0);
    assert!(sum.compressed > 500 && sum.delivered > 1000, "{sum}");
    let sum = run(400..700, |seed| Simulation::new(seed).compressed(true));
    assert!(sum.compressed > 200 && sum.not_clean > 100, "{sum}");
}

#[test]
fn connections_with_a_shared_receive_buffer_never_mix_their_bytes() {
    let sum = run(0..400, |seed| Simulation::new(seed).shared_buffer(true));
    assert_eq!(sum.shared_buffers, 400);
    assert!(sum.connections > 600 && sum.delivered > 1000, "{sum}");
}

#[test]
fn all_faults_together_violate_no_rule() {
    let all = Fault::ALL.into_iter().fold(Faults::NONE, Faults::with);
    let sum = run(0..300, |seed| Simulation::new(seed).faults(all));
    assert!(sum.resets > 20 && sum.silences > 20 && sum.jumps > 100 && sum.half_closes > 20, "{sum}");
    run(1_000_000..1_000_500, Simulation::new);
}
