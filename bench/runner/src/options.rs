//! The command line.

use crate::case::Case;
use crate::cases::CASES;
use crate::paths::{Builds, bench_folder};
use crate::servers::{Group, SERVERS, Server};
use bench_common::args::Args;
use std::path::PathBuf;

/// The programs and cases to run, and how.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) servers: Vec<&'static Server>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) server_core: usize,
    /// The other core of servers that have two.
    pub(crate) second_core: usize,
    pub(crate) generator_core: usize,
    pub(crate) builds: Builds,
    pub(crate) results: PathBuf,
}

impl Options {
    pub(crate) fn from_env() -> Result<Self, String> {
        let mut args = Args::from_env()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let before: Option<PathBuf> = args.take_optional("before")?;
        let server_core = args.take("server-core", cores - 1)?;
        let generator_core = args.take("generator-core", 0)?;
        let free = (0..cores).rev().find(|core| ![server_core, generator_core].contains(core));
        let options = Self {
            cases: select(&mut args, "cases", CASES, |case| case.name, |case| !case.on_demand)?,
            servers: select(
                &mut args,
                "servers",
                SERVERS,
                |server| server.name,
                |server| server.group != Group::Before || before.is_some(),
            )?,
            rounds: args.take("rounds", 5)?,
            seconds: args.take("seconds", 3.0)?,
            warmup: args.take("warmup", 0.5)?,
            server_core,
            second_core: args.take("second-core", free.unwrap_or(generator_core))?,
            generator_core,
            builds: Builds { ours: args.take_optional("ours")?, before },
            results: args.take("results", bench_folder().join("results"))?,
        };
        args.finish()?;
        Ok(options)
    }
}

/// A comma-separated list of names. Without it, those that belong to each run.
fn select<T>(
    args: &mut Args,
    option: &str,
    all: &'static [T],
    name: impl Fn(&T) -> &'static str,
    by_default: impl Fn(&T) -> bool,
) -> Result<Vec<&'static T>, String> {
    let Some(list) = args.take_optional::<String>(option)? else {
        return Ok(all.iter().filter(|item| by_default(item)).collect());
    };
    list.split(',')
        .map(|wanted| {
            let known = || all.iter().map(&name).collect::<Vec<_>>().join(", ");
            let found = all.iter().find(|item| name(item) == wanted);
            found.ok_or_else(|| format!("--{option}: no `{wanted}`; there are {}", known()))
        })
        .collect()
}
