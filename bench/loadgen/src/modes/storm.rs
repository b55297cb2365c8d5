//! As many handshakes as possible, then all connections close at once.

use super::echo::latencies;
use super::window::Window;
use crate::connect::{PATIENCE, connect};
use crate::options::Options;
use bench_common::json::Numbers;
use std::time::{Duration, Instant};

const GLANCE: Duration = Duration::from_millis(50);

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<(), String> {
    let first = connect(options, 1)?;
    drop(first);
    let files = || options.server.and_then(|server| server.open_files()).unwrap_or(0);
    // Waits for the end of the connection above. Its descriptor would count as left over.
    std::thread::sleep(GLANCE);
    let before = files();
    let window = Window::open(options.server);
    let connected = connect(options, options.connect_storm)?;
    window.close(options.connect_storm as f64, ["handshakes_per_s", "cpu_ns_per_handshake"], numbers);
    latencies(&connected.latency, numbers);
    drop(connected);
    let closed = Instant::now();
    while files() > before && closed.elapsed() < PATIENCE {
        std::thread::sleep(GLANCE);
    }
    numbers.push("leaked_files", files().saturating_sub(before) as f64);
    Ok(())
}
