//! Command-line options.

use std::time::Duration;

use lexopt::{
    ValueExt as _,
    prelude::{Long, Short, Value},
};

pub(crate) const USAGE: &str = "\
usage: market-data                                    server and client in one process
       market-data serve [ADDR]                       the server
       market-data watch URL [--ticks] [--max-delay-ms N] [--keepalive-ms N]
                                                      the client; --ticks prints every update";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Both,
    /// Listens on this address.
    Serve(String),
    /// Connects to this URL.
    Watch(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// Prints every update.
    pub(crate) ticks: bool,
    /// The longest delay between attempts.
    pub(crate) max_delay: Duration,
    /// How long the server may be silent before it is pinged. If it is silent for as long again, it counts as dead.
    pub(crate) keepalive: Duration,
}

impl Options {
    /// Parses the command line. `None` means `--help`.
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        let (mut words, mut ticks) = (Vec::new(), false);
        let (mut max_delay, mut keepalive) = (Duration::from_secs(30), Duration::from_secs(5));
        while let Some(arg) = parser.next()? {
            match arg {
                Short('h') | Long("help") => return Ok(None),
                Long("ticks") => ticks = true,
                Long("max-delay-ms") => max_delay = Duration::from_millis(parser.value()?.parse()?),
                Long("keepalive-ms") => keepalive = Duration::from_millis(parser.value()?.parse()?),
                Value(value) => words.push(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        let mode = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Mode::Both,
            ["serve"] => Mode::Serve("127.0.0.1:9003".to_owned()),
            ["serve", addr] => Mode::Serve((*addr).to_owned()),
            ["watch", url] => Mode::Watch((*url).to_owned()),
            _ => return Err("expected serve [ADDR] or watch URL".into()),
        };
        Ok(Some(Self { mode, ticks, max_delay, keepalive }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(words: &[&str]) -> Result<Mode, String> {
        let options = Options::parse(lexopt::Parser::from_args(words)).map_err(|error| error.to_string())?;
        Ok(options.expect("no --help").mode)
    }

    #[test]
    fn the_words_choose_the_mode() {
        assert_eq!(mode(&[]), Ok(Mode::Both));
        assert_eq!(mode(&["serve", "[::1]:1"]), Ok(Mode::Serve("[::1]:1".to_owned())));
        assert_eq!(mode(&["watch", "ws://a/", "--ticks"]), Ok(Mode::Watch("ws://a/".to_owned())));
        for wrong in [&["watch"][..], &["serve", "a", "b"], &["what"]] {
            assert!(mode(wrong).is_err(), "{wrong:?}");
        }
    }
}
