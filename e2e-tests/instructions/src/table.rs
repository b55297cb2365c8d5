//! The table of counts, `table.txt` beside the manifest.

use std::{
    fmt::{self, Write as _},
    fs,
};

/// The increase that fails, in percent, with the compiler of the table. The counts vary by less than 1 %: with the
/// placement of memory, and with the number of timer ticks in a run.
const TOLERANCE: u32 = 5;
/// The same with another compiler, which inlines and vectorises other code.
const OTHER_COMPILER: u32 = 20;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/table.txt");
const HEAD: &str = "\
# Instructions in user space per message (broadcasts: per delivery; handshakes: per connection), counted by valgrind.
# `just instructions` compares with this table, `just instructions --write` writes it.
";

/// Instructions per message of each case, and what they hold for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) compiler: String,
    machine: String,
    counts: Vec<(String, u64)>,
}

impl Table {
    pub(crate) fn new(compiler: String, machine: &str) -> Self {
        Self { compiler, machine: machine.to_owned(), counts: Vec::new() }
    }

    pub(crate) fn read() -> Result<Self, String> {
        let text = fs::read_to_string(PATH).map_err(|error| format!("{PATH}: {error}"))?;
        Self::parse(&text)
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        fs::write(PATH, self.to_string()).map_err(|error| format!("{PATH}: {error}"))
    }

    pub(crate) fn set(&mut self, case: &str, count: u64) {
        self.counts.push((case.to_owned(), count));
    }

    pub(crate) fn get(&self, case: &str) -> Result<u64, String> {
        let found = self.counts.iter().find(|(name, _)| name == case);
        found.map(|(_, count)| *count).ok_or_else(|| format!("the table has no {case}"))
    }

    /// The percentage by which a count may exceed the table's.
    pub(crate) fn tolerance(&self, compiler: &str, machine: &str) -> u32 {
        if self.compiler == compiler && self.machine == machine { TOLERANCE } else { OTHER_COMPILER }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let mut named = |name: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("the table has no line `{name}: …` where it belongs"))
        };
        let (compiler, machine) = (named("compiler")?, named("machine")?);
        let count = |line: &str| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.trim().parse().ok()?))
        };
        let counts = lines.map(|line| count(line).ok_or_else(|| format!("a line of the table: {line:?}")));
        Ok(Self { compiler, machine, counts: counts.collect::<Result<_, _>>()? })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}compiler: {}\nmachine: {}\n", self.compiler, self.machine)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name:18} {count:>7}"))
    }
}

/// How a count compares with the table's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Verdict {
    change: f64,
    tolerance: u32,
}

impl Verdict {
    pub(crate) fn of(before: u64, now: u64, tolerance: u32) -> Self {
        Self { change: 100.0 * (now as f64 / before.max(1) as f64 - 1.0), tolerance }
    }

    /// The change in percent.
    pub(crate) const fn change(self) -> f64 {
        self.change
    }

    pub(crate) fn fails(self) -> bool {
        self.change > f64::from(self.tolerance)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fails() {
            f.write_str("  too many")
        } else if self.change < -f64::from(self.tolerance) {
            f.write_str("  fewer: write the table, so that they stay so")
        } else {
            f.write_char(' ')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Verdict};
    use crate::cases::CASES;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut table = Table::new(String::from("rustc 1.2.3"), "a machine");
        table.set("one", 12);
        table.set("two", 3_456_789);
        assert_eq!(Table::parse(&table.to_string()), Ok(table));
    }

    #[test]
    fn the_table_has_every_case() {
        let table = Table::read().expect("the table");
        for case in CASES {
            assert!(table.get(case.name).expect("a count") > 0);
        }
    }

    #[test]
    fn six_percent_more_fail_and_four_do_not() {
        assert!(Verdict::of(1000, 1060, 5).fails());
        assert!(!Verdict::of(1000, 1040, 5).fails());
        assert!(!Verdict::of(1000, 500, 5).fails());
    }

    #[test]
    fn another_compiler_has_more_tolerance() {
        let table = Table::new(String::from("rustc 1"), "a machine");
        assert!(table.tolerance("rustc 2", "a machine") > table.tolerance("rustc 1", "a machine"));
    }
}
