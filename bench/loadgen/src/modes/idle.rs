//! Connections that have sent one message and are idle: the server's memory for each.

use super::memory::{available, kernel};
use crate::connect::connect;
use crate::engine::{Engine, Then};
use crate::options::Options;
use crate::plan::{Opcode, Plan};
use crate::stream::Stream;
use bench_common::json::Numbers;
use bench_common::os::{Process, file_limit};
use std::time::{Duration, Instant};

/// The only message of an idle connection.
const SMALL: usize = 20;
/// The number of connections with a burst at the same time.
const BURSTS_AT_ONCE: usize = 16;
/// The time that the server may take to free memory.
const SETTLING: Duration = Duration::from_secs(10);
const GLANCE: Duration = Duration::from_millis(500);
/// After this many connections, the available memory is read.
const BATCH: usize = 20_000;
/// The files of a server that are not idle connections.
const OTHER_FILES: usize = 100;

pub(crate) fn run(options: &Options, numbers: &mut Numbers) -> Result<Vec<Stream>, String> {
    if options.idle == 0 {
        return Ok(Vec::new());
    }
    // One connection is opened first, so that one-time allocations of the server do not count.
    let first = connect(options, 1)?.streams;
    let (mut silent, _) = exchange(first, SMALL, 1, || false)?;
    let (before, kernel_before) = (resident(options.server), kernel());
    let own = Process { pid: std::process::id() };
    let own_before = resident(Some(own));
    let streams = open(options)?;
    let count = streams.len();
    let per_connection = |bytes: u64, before: u64| bytes.saturating_sub(before) as f64 / count.max(1) as f64;
    let after_one = resident(options.server);
    numbers.push("idle_connections", count as f64);
    numbers.push("idle_bytes_per_connection", per_connection(after_one, before));
    numbers.push("kernel_bytes_per_connection", per_connection(kernel(), kernel_before));
    numbers.push("generator_bytes_per_connection", per_connection(resident(Some(own)), own_before));
    let Some(size) = options.idle_burst else {
        silent.extend(streams);
        return Ok(silent);
    };
    let too_big = || resident(options.server) > options.max_resident;
    let (streams, bursts) = exchange(streams, size, BURSTS_AT_ONCE, too_big)?;
    // If memory ran out before the last burst, the growth is divided by the number of bursts.
    let with_burst = |now: u64| {
        per_connection(after_one, before) + now.saturating_sub(after_one) as f64 / bursts.max(1) as f64
    };
    numbers.push("burst_connections", bursts as f64);
    numbers.push("burst_bytes_per_connection", with_burst(resident(options.server)));
    let settled = settle(options.server, before + (after_one.saturating_sub(before)) / 5 * 6);
    numbers.push("settled_bytes_per_connection", with_burst(settled));
    silent.extend(streams);
    Ok(silent)
}

/// Opens idle connections. Each echoes one message. With a minimum of available memory, it opens only as many as memory
/// and the limit of open files allow.
fn open(options: &Options) -> Result<Vec<Stream>, String> {
    let mut streams = Vec::new();
    let fit = if options.min_available == 0 { usize::MAX } else { file_limit().saturating_sub(OTHER_FILES) };
    let wanted = options.idle.min(fit);
    while streams.len() < wanted && (options.min_available == 0 || available() > options.min_available) {
        let batch = connect(options, BATCH.min(wanted - streams.len()))?.streams;
        let (batch, _) = exchange(batch, SMALL, options.at_once, || false)?;
        streams.extend(batch);
    }
    Ok(streams)
}

/// Makes each connection echo one message, some at a time, and stops early if `enough` returns true. Returns the number
/// of echoes.
fn exchange(
    streams: Vec<Stream>,
    size: usize,
    at_once: usize,
    enough: impl Fn() -> bool,
) -> Result<(Vec<Stream>, usize), String> {
    let mut engine = Engine::new(streams, Plan::new(size, Opcode::Binary), 0, Then::Note)?;
    let (mut started, mut done, mut stop) = (0, 0, false);
    let total = engine.len();
    while done < started || (started < total && !stop) {
        while !stop && started < total && started - done < at_once {
            engine.issue(started, 1)?;
            started += 1;
        }
        engine.turn()?;
        let before = done;
        done += engine.completed.drain(..).count();
        if done / 64 > before / 64 {
            stop = enough();
        }
    }
    Ok((engine.into_streams(), done))
}

/// The lowest resident size in the given time, or the first value that is low enough.
fn settle(server: Option<Process>, low_enough: u64) -> u64 {
    let start = Instant::now();
    let mut least = resident(server);
    while least > low_enough && start.elapsed() < SETTLING {
        std::thread::sleep(GLANCE);
        least = least.min(resident(server));
    }
    least
}

pub(super) fn resident(server: Option<Process>) -> u64 {
    server.and_then(Process::resident_bytes).unwrap_or(0)
}
