//! Command-line options.

use std::time::Duration;

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};

pub(crate) const USAGE: &str = "usage: dashboard [ADDR] [--tick MS]";

/// The shortest and the longest time between two samples, in milliseconds.
const TICKS: std::ops::RangeInclusive<u64> = 100..=10_000;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) addr: String,
    /// The time between two samples.
    pub(crate) tick: Duration,
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut options = Self { addr: "127.0.0.1:9008".to_owned(), tick: Duration::from_secs(1) };
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("tick") => options.tick = parser.value()?.parse_with(tick)?,
                Value(value) => options.addr = value.string()?,
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

fn tick(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(tick) if TICKS.contains(&tick) => Ok(Duration::from_millis(tick)),
        Ok(tick) => Err(format!("{tick} is not from {} to {}", TICKS.start(), TICKS.end())),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_from_100_ms_to_10_s() {
        let parse = |args: &[&str]| {
            Options::parse(lexopt::Parser::from_args(args)).map_err(|error| error.to_string())
        };
        let options = parse(&["[::1]:80", "--tick", "250"]).unwrap().unwrap();
        assert_eq!((options.addr.as_str(), options.tick), ("[::1]:80", Duration::from_millis(250)));
        assert_eq!(parse(&["--help"]), Ok(None));
        for wrong in ["99", "10001", "-1", "x", ""] {
            assert!(parse(&["--tick", wrong]).is_err(), "{wrong:?}");
        }
        assert!(parse(&["--what"]).is_err());
    }
}
