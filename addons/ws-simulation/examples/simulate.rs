//! Runs many simulations; see `just simulate` and `just simulate-seed`.
//!
//! ```text
//! simulate [--seeds N] [--from SEED] [--threads N] [OPTIONS]     N simulations, starting at SEED
//! simulate --seed SEED [OPTIONS]                                 one simulation, with all its steps
//! ```
//! A failure prints its options in this form: `--faults none|reset,stall,…`, `--shared-buffer true|false`,
//! `--compressed true|false`.

use std::{
    env,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use ws_simulation::{Faults, Report, Simulation};

/// The number of seeds that a thread takes at a time.
const BATCH: u64 = 1000;
/// The most failures that are printed.
const MOST_FAILURES: u64 = 5;

struct Options {
    seeds: u64,
    from: u64,
    one: Option<u64>,
    threads: usize,
    faults: Option<Faults>,
    shared_buffer: Option<bool>,
    compressed: Option<bool>,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (faults, shared_buffer, compressed) = (None, None, None);
        let mut options =
            Self { seeds: 100_000, from: 0, one: None, threads, faults, shared_buffer, compressed };
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
            let wrong = |error: &dyn std::fmt::Display| format!("{option} {value}: {error}");
            match option.as_str() {
                "--seeds" => options.seeds = value.parse().map_err(|error| wrong(&error))?,
                "--from" => options.from = value.parse().map_err(|error| wrong(&error))?,
                "--seed" => options.one = Some(value.parse().map_err(|error| wrong(&error))?),
                "--threads" => options.threads = value.parse().map_err(|error| wrong(&error))?,
                "--faults" => options.faults = Some(value.parse().map_err(|error| wrong(&error))?),
                "--shared-buffer" => {
                    options.shared_buffer = Some(value.parse().map_err(|error| wrong(&error))?)
                }
                "--compressed" => options.compressed = Some(value.parse().map_err(|error| wrong(&error))?),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        Ok(options)
    }

    fn simulation(&self, seed: u64) -> Simulation<'static> {
        let mut simulation = Simulation::new(seed);
        if let Some(faults) = self.faults {
            simulation = simulation.faults(faults);
        }
        if let Some(shared) = self.shared_buffer {
            simulation = simulation.shared_buffer(shared);
        }
        #[cfg(feature = "deflate")]
        if let Some(compressed) = self.compressed {
            simulation = simulation.compressed(compressed);
        }
        simulation
    }
}

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let found = match options.one {
        Some(seed) => run_one(&options, seed),
        None => run_many(&options),
    };
    if found { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run_one(options: &Options, seed: u64) -> bool {
    let (result, trace) = options.simulation(seed).last_steps(usize::MAX).run_and_trace(Instant::now());
    match &result {
        Ok(report) => println!("{trace}{report}"),
        Err(failure) => println!("{failure}"),
    }
    result.is_err()
}

fn run_many(options: &Options) -> bool {
    let start = Instant::now();
    let (next, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    let sum = Mutex::new(Report::default());
    let work = || {
        loop {
            let first = next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= options.seeds {
                return;
            }
            let mut batch = Report::default();
            for seed in first..options.seeds.min(first + BATCH) {
                match options.simulation(options.from.wrapping_add(seed)).run(start) {
                    Ok(report) => batch += report,
                    Err(failure) if failures.fetch_add(1, Ordering::Relaxed) < MOST_FAILURES => {
                        println!("{failure}\n");
                    }
                    Err(_) => {}
                }
            }
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            let before = sum.runs;
            *sum += batch;
            print_progress(before, sum.runs, options.seeds, start);
        }
    };
    thread::scope(|scope| (0..options.threads.max(1)).for_each(|_| drop(scope.spawn(work))));
    let (sum, failures) = (*sum.lock().unwrap_or_else(PoisonError::into_inner), failures.into_inner());
    let seconds = start.elapsed().as_secs_f64();
    println!("{sum}\n{failures} failures; {seconds:.1} s, {:.0} seeds/s", options.seeds as f64 / seconds);
    failures > 0
}

/// Prints the progress at each twentieth.
fn print_progress(before: u64, now: u64, seeds: u64, start: Instant) {
    let part = (seeds / 20).max(1);
    if before / part != now / part {
        eprintln!("{now} of {seeds} seeds, {:.0} s", start.elapsed().as_secs_f64());
    }
}
