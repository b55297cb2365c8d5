//! One connection sends and all receive, for a server that sends each message to all connections including the sender.

use super::echo::latencies;
use super::window::Window;
use crate::connect::connect;
use crate::engine::{Engine, Then};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::plan::Plan;
use bench_common::json::Numbers;

const SENDER: usize = 0;

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let streams = connect(options.addr, options.broadcast_receivers + 1, options.at_once)?.streams;
    let mut engine = Engine::new(streams, Plan::new(options.size, options.opcode), 0, Then::Note)?;
    let mut latency = Histogram::new();
    let warm = engine.now() + options.warmup.as_nanos() as u64;
    while engine.now() < warm {
        round(&mut engine, options.depth)?;
    }
    let received = engine.received;
    let window = Window::open(options.server);
    let end = engine.now() + options.seconds.as_nanos() as u64;
    while engine.now() < end {
        let start = engine.now();
        round(&mut engine, options.depth)?;
        latency.record(engine.now() - start);
    }
    let deliveries = (engine.received - received) / engine.plan().reply_len();
    window.close(deliveries as f64, ["deliveries_per_s", "cpu_ns_per_delivery"], numbers);
    latencies(&latency, numbers);
    Ok(())
}

/// Sends `depth` messages and waits until all connections have received them.
fn round(engine: &mut Engine, depth: u64) -> Result<(), String> {
    engine.expect_everywhere(SENDER, depth);
    engine.issue(SENDER, depth)?;
    let mut outstanding = depth * engine.len() as u64;
    while outstanding > 0 {
        engine.turn()?;
        outstanding -= engine.completed.drain(..).map(|(_, count)| count).sum::<u64>();
    }
    Ok(())
}
