//! The scale of the rows: full for the table, reduced for `cargo test`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt::Display;

/// Descriptors that are not connections: of the runtimes, the listener and the standard streams.
const SPARE: u64 = 200;

/// Whether the rows run at full scale.
pub(crate) fn is_full() -> bool {
    std::env::var_os("WS_ATTACKS").is_some_and(|scale| scale == "full")
}

/// `full` at full scale, or `reduced`.
pub(crate) fn scaled<T>(full: T, reduced: T) -> T {
    if is_full() { full } else { reduced }
}

/// A bound on processor time in release mode. Builds without optimization may take 40 times as long.
pub(crate) fn optimized(bound: f64) -> f64 {
    if cfg!(debug_assertions) { bound * 40.0 } else { bound }
}

/// The number of connections, limited by the process's descriptors. Both ends of each are in this process.
pub(crate) fn connections(full: usize, reduced: usize) -> usize {
    scaled(full, reduced).min(affordable())
}

/// Raises the limit of descriptors to its maximum. Returns the number of connections that it allows, with two
/// descriptors each.
fn affordable() -> usize {
    const MOST: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(MOST).min(MOST);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).unwrap();
    usize::try_from((most - SPARE) / 2).unwrap()
}

/// Formats a number with separators of thousands.
pub(crate) fn number(value: impl Display) -> String {
    let digits = value.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut grouped = String::from(sign);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[test]
fn thousands_are_separated() {
    assert_eq!(
        ["0", "999", "1000", "1234567", "-1000"].map(number),
        ["0", "999", "1,000", "1,234,567", "-1,000"]
    );
}
