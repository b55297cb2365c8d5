//! The loads: a closed loop, the same with compression, idle connections, a storm of
//! connections, a broadcast, messages of mixed sizes.

mod broadcast;
mod deflate;
mod echo;
mod idle;
mod memory;
mod mixed;
mod storm;
mod turn;
mod window;

use crate::options::Options;
use bench_common::json::Numbers;

/// Runs the load that the options name.
pub(crate) fn run(options: &Options) -> Result<Numbers, String> {
    let mut numbers = Numbers::default();
    if options.deflate {
        deflate::run(options, &mut numbers)?;
    } else if options.mixed {
        mixed::run(options, &mut numbers)?;
    } else if options.connect_storm > 0 {
        storm::run(options, &mut numbers)?;
    } else if options.broadcast_receivers > 0 {
        broadcast::run(options, &mut numbers)?;
    } else {
        // The idle connections stay open while the others send.
        let silent = idle::run(options, &mut numbers)?;
        if options.connections > 0 {
            echo::run(options, &mut numbers)?;
        }
        drop(silent);
    }
    if let Some(peak) = options.server.and_then(|server| server.peak_resident_bytes()) {
        numbers.push("peak_resident_bytes", peak as f64);
    }
    Ok(numbers)
}
