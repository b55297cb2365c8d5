//! Command-line options.

use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};

pub(crate) const USAGE: &str = "\
usage: ticker [ADDR] [--symbols N] [--per-second N] [--shards N]   the server
       ticker --clients N [--seconds N] [--symbols N] [--per-second N] [--shards N]
                                                                   server and clients; prints a report";

/// The largest number of each option.
const MOST: u64 = 10_000_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) addr: String,
    pub(crate) symbols: usize,
    /// Prices that are published in a second.
    pub(crate) per_second: u64,
    pub(crate) shards: usize,
    /// Clients in this process.
    pub(crate) clients: Option<usize>,
    /// How long these run.
    pub(crate) duration: Duration,
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let shards = available_parallelism().map_or(1, NonZeroUsize::get);
        let mut options = Self {
            addr: "127.0.0.1:9007".to_owned(),
            symbols: 1_000,
            per_second: 2_000,
            shards,
            clients: None,
            duration: Duration::from_secs(10),
        };
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("symbols") => options.symbols = number(&mut parser)? as usize,
                Long("per-second") => options.per_second = number(&mut parser)?,
                Long("shards") => options.shards = number(&mut parser)? as usize,
                Long("clients") => options.clients = Some(number(&mut parser)? as usize),
                Long("seconds") => options.duration = Duration::from_secs(number(&mut parser)?),
                Value(value) => options.addr = value.string()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

fn number(parser: &mut lexopt::Parser) -> Result<u64, lexopt::Error> {
    parser.value()?.parse_with(|text| match text.parse() {
        Ok(number) if (1..=MOST).contains(&number) => Ok(number),
        Ok(number) => Err(format!("{number} is not from 1 to {MOST}")),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_from_1_on() {
        let parse = |args: &[&str]| {
            Options::parse(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
        };
        let options = parse(&["--clients", "5", "--symbols", "7"]).unwrap().unwrap();
        assert_eq!((options.clients, options.symbols), (Some(5), 7));
        for wrong in [&["--symbols", "0"][..], &["--clients", "x"], &["--seconds"], &["--what"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
