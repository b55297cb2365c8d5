//! The guide's configurations of other programs, so that the tests run what it shows; its defaults and error texts.

use std::time::Duration;

use ws_client::{Config, error::ConnectError};

const GUIDE: &str = include_str!("../../../docs/guide.md");

/// The guide's configuration in `language`, with `changes`: what is there once, and what replaces it.
pub(crate) fn configuration(language: &str, changes: &[(&str, &str)]) -> String {
    let (_, rest) = GUIDE.split_once(&format!("```{language}\n")).expect("a configuration");
    let (text, _) = rest.split_once("```").expect("its end");
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    })
}

/// The default in the guide's table of deadlines; `None` is "off".
fn stated_default(deadline: &str) -> Option<Duration> {
    let (_, row) = GUIDE.split_once(&format!("\n| `{deadline}` | ")).expect("a row");
    let cell = row.split(" |").next().unwrap();
    let (number, unit) = match cell {
        "off" => return None,
        cell => cell.split_once(' ').expect("a number and a unit"),
    };
    let seconds = if unit == "min" { 60 } else { 1 };
    Some(Duration::from_secs(number.parse::<u64>().unwrap() * seconds))
}

#[test]
fn the_guide_states_the_default_of_each_deadline() {
    let config = Config::default();
    for (deadline, default) in [
        ("message_timeout", config.message_timeout),
        ("idle_timeout", config.idle_timeout),
        ("keepalive.interval", config.keepalive.map(|keepalive| keepalive.interval)),
        ("keepalive.timeout", config.keepalive.map(|keepalive| keepalive.timeout)),
        ("write_timeout", config.write_timeout),
        ("close_timeout", Some(config.close_timeout)),
    ] {
        assert_eq!(stated_default(deadline), default, "{deadline}");
    }
}

#[test]
fn the_guide_quotes_errors_as_they_are() {
    for error in [ConnectError::TlsNotBuiltIn, ConnectError::NoRuntime] {
        assert!(GUIDE.contains(&error.to_string()), "{error}");
    }
}
