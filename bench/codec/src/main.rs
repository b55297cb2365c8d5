//! The speed of the codec alone, without sockets, compared with `memcpy` of the same number of bytes, all in cache.
//!
//! `--rounds N --millis M --core N`; see the benchmark's README.

mod work;

use bench_common::args::Args;
use std::time::{Duration, Instant};
use work::Work;

const SIZES: [usize; 4] = [64, 1 << 10, 16 << 10, 256 << 10];
/// The work that the others are compared with.
const MEMCPY: usize = 0;

struct Options {
    rounds: usize,
    /// The time for one figure of one round.
    slice: Duration,
    core: usize,
}

fn options() -> Result<Options, String> {
    let mut args = Args::from_env()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        rounds: args.take("rounds", 15)?,
        slice: Duration::from_millis(args.take("millis", 5)?),
        core: args.take("core", cores - 1)?,
    };
    args.finish()?;
    if options.rounds == 0 {
        return Err(String::from("--rounds starts at 1"));
    }
    bench_common::os::pin_to_cores(&[options.core])
        .map_err(|error| format!("core {}: {error}", options.core))?;
    Ok(options)
}

/// One kind of work at one size.
struct Figure {
    work: Box<dyn Work>,
    times: u32,
    nanoseconds: Vec<f64>,
}

impl Figure {
    /// Finds how often the work fits into a slice. This also warms up the cache.
    fn new(mut work: Box<dyn Work>, slice: Duration) -> Self {
        let mut times = 1;
        while run(work.as_mut(), times) < slice {
            times = times.saturating_mul(2);
        }
        Self { work, times, nanoseconds: Vec::new() }
    }

    fn measure(&mut self) {
        let taken = run(self.work.as_mut(), self.times);
        self.nanoseconds.push(taken.as_nanos() as f64 / f64::from(self.times));
    }

    /// The nanoseconds for doing the work once.
    fn median(&mut self) -> f64 {
        self.nanoseconds.sort_by(f64::total_cmp);
        self.nanoseconds[self.nanoseconds.len() / 2]
    }
}

fn run(work: &mut dyn Work, times: u32) -> Duration {
    let start = Instant::now();
    work.run(times);
    start.elapsed()
}

/// Gigabytes per second, and the fraction of `memcpy`'s speed, for each kind of work at one size.
fn column(size: usize, options: &Options) -> Vec<(f64, f64)> {
    let all = work::all(size);
    let mut figures: Vec<Figure> = all.into_iter().map(|work| Figure::new(work, options.slice)).collect();
    // Interleaved, so that changes of the machine's speed affect all kinds.
    for _ in 0..options.rounds {
        figures.iter_mut().for_each(Figure::measure);
    }
    let memcpy = figures[MEMCPY].median();
    figures.iter_mut().map(|figure| (size as f64 / figure.median(), memcpy / figure.median())).collect()
}

fn print(columns: &[Vec<(f64, f64)>], options: &Options) {
    let heads =
        SIZES.map(|size| if size < 1024 { format!("{size} B") } else { format!("{} KiB", size / 1024) });
    println!("GB/s, and in brackets the share of memcpy's; medians of {} rounds.\n", options.rounds);
    println!("| | {} |\n|---|{}", heads.join(" | "), "--:|".repeat(heads.len()));
    for (row, name) in work::NAMES.iter().enumerate() {
        let cell = |column: &Vec<(f64, f64)>| format!("{:.1} ({:.2})", column[row].0, column[row].1);
        let cells: Vec<String> = columns.iter().map(cell).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}

fn main() {
    let options = options().unwrap_or_else(|message| bench_common::server::refuse(&message));
    let columns: Vec<_> = SIZES.iter().map(|&size| column(size, &options)).collect();
    print(&columns, &options);
}
