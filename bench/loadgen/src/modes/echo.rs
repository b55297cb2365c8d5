//! The closed loop: each connection keeps `depth` messages in flight.

use super::window::Window;
use crate::connect::connect;
use crate::engine::{Engine, Then};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::plan::Plan;
use bench_common::json::Numbers;

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let streams = connect(options, options.connections)?.streams;
    let plan = Plan::new(options.size, options.opcode);
    let depth = usize::try_from(options.depth).unwrap_or(usize::MAX);
    let mut engine = Engine::new(streams, plan, depth, Then::SendNext)?;
    for index in 0..engine.len() {
        engine.issue(index, options.depth)?;
    }
    let warm = engine.now() + options.warmup.as_nanos() as u64;
    while engine.now() < warm {
        engine.turn()?;
    }
    engine.latency.clear();
    let (received, verified) = (engine.received, engine.verified);
    let window = Window::open(options.server);
    let end = engine.now() + options.seconds.as_nanos() as u64;
    while engine.now() < end {
        engine.turn()?;
    }
    // Counted in bytes, because only a few messages of 100 MiB end inside the window.
    let messages = (engine.received - received) as f64 / engine.plan().reply_len() as f64;
    window.close(messages, ["messages_per_s", "cpu_ns_per_message"], numbers);
    numbers.push("payload_bytes_per_s", messages * engine.plan().size() as f64 / window.seconds());
    numbers.push("verified_bytes", (engine.verified - verified) as f64);
    latencies(&engine.latency, numbers);
    Ok(())
}

/// The quantiles of the report in microseconds.
pub(crate) fn latencies(latency: &Histogram, numbers: &mut Numbers) {
    for (name, quantile) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
        numbers.push(name, latency.quantile(quantile) as f64 / 1e3);
    }
    numbers.push("max_us", latency.max() as f64 / 1e3);
}
