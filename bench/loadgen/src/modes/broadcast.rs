//! One connection of each group sends and all of its group receive, for a server that sends each message to all
//! connections of the group including the sender. Usually there is one group.

use super::echo::latencies;
use super::window::Window;
use crate::connect::connect_in_groups;
use crate::engine::{Engine, Then};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::plan::Plan;
use bench_common::json::Numbers;

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let (count, groups) = (options.broadcast_receivers + 1, options.broadcast_groups);
    let streams = connect_in_groups(options, count, groups)?.streams;
    let mut engine = Engine::new(streams, Plan::new(options.size, options.opcode), 0, Then::Note)?;
    let mut latency = Histogram::new();
    let warm = engine.now() + options.warmup.as_nanos() as u64;
    while engine.now() < warm {
        round(&mut engine, groups, options.depth)?;
    }
    let received = engine.received;
    let window = Window::open(options.server);
    let end = engine.now() + options.seconds.as_nanos() as u64;
    while engine.now() < end {
        let start = engine.now();
        round(&mut engine, groups, options.depth)?;
        latency.record(engine.now() - start);
    }
    let deliveries = (engine.received - received) / engine.plan().reply_len();
    window.close(deliveries as f64, ["deliveries_per_s", "cpu_ns_per_delivery"], numbers);
    latencies(&latency, numbers);
    Ok(())
}

/// Sends `depth` messages in each group and waits until all connections have received those of their group.
fn round(engine: &mut Engine, groups: usize, depth: u64) -> Result<(), String> {
    // The first connection of a group has the group's number.
    for sender in 0..groups {
        engine.expect_in_group(sender, groups, depth);
        engine.issue(sender, depth)?;
    }
    let mut outstanding = depth * engine.len() as u64;
    while outstanding > 0 {
        engine.turn()?;
        outstanding -= engine.completed.drain(..).map(|(_, count)| count).sum::<u64>();
    }
    Ok(())
}
