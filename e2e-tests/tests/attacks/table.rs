//! The table: measured values and their bounds.

use crate::scale::number;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;

/// A row of the table. It may have several lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    number: u32,
    attack: &'static str,
}

impl Row {
    pub(crate) const fn new(number: u32, attack: &'static str) -> Self {
        Self { number, attack }
    }

    /// Prints a line of the table, and appends it to the file that `WS_ATTACKS_TABLE` names.
    ///
    /// # Panics
    /// If the bound is not held. With `WS_ATTACKS_GO_ON` it does not panic, so that the table is complete.
    pub(crate) fn line(&self, part: &str, measured: impl Display, bound: impl Display, held: bool) {
        let Self { number, attack } = self;
        let attack = if part.is_empty() { (*attack).to_owned() } else { format!("{attack}: {part}") };
        let line = format!("{number}\t{attack}\t{measured}\t{bound}\t{}\n", if held { "yes" } else { "NO" });
        print!("\nattack {line}");
        if let Some(file) = std::env::var_os("WS_ATTACKS_TABLE") {
            let mut table = OpenOptions::new().create(true).append(true).open(file).unwrap();
            table.write_all(line.as_bytes()).unwrap();
        }
        if std::env::var_os("WS_ATTACKS_GO_ON").is_none() {
            assert!(held, "the bound is not held: {line}");
        }
    }

    /// A line with a whole number and its upper bound.
    pub(crate) fn at_most(&self, part: &str, measured: usize, bound: usize, unit: &str) {
        let text = |value: usize| format!("{} {unit}", number(value));
        self.line(part, text(measured), format!("≤ {}", text(bound)), measured <= bound);
    }

    /// A line with a whole number and the value that it must have.
    pub(crate) fn exactly(&self, part: &str, measured: usize, expected: usize, unit: &str) {
        let text = |value: usize| format!("{} {unit}", number(value));
        self.line(part, text(measured), text(expected), measured == expected);
    }

    /// A line with a ratio.
    pub(crate) fn ratio(&self, part: &str, measured: f64, bound: f64) {
        self.line(part, format!("{measured:.2}×"), format!("≤ {bound:.2}×"), measured <= bound);
    }

    /// A line with processor time in microseconds.
    pub(crate) fn micros(&self, part: &str, measured: f64, bound: f64) {
        let digits = if bound < 10.0 { 2 } else { 0 };
        self.line(part, format!("{measured:.2} µs"), format!("≤ {bound:.digits$} µs"), measured <= bound);
    }
}
