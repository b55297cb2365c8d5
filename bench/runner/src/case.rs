//! What a case consists of, and how its numbers are written.

use bench_common::json::Numbers;

/// What a program does in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A server that sends every message back.
    Echo,
    /// A server that sends every message to every connection.
    Broadcast,
    /// An echo server that compresses, without context takeover.
    Deflate,
    /// A client that sends messages and checks their echoes.
    Client,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Nanoseconds,
    Microseconds,
    Bytes,
    MegabytesPerSecond,
    Ratio,
    Percent,
}

/// Which way a number should go; without it no ratios are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// One number of the load generator as a column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) compared: Option<Better>,
}

/// One load.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// Who takes part.
    pub(crate) role: Role,
    /// Options for the load generator, or for the client.
    pub(crate) load: &'static str,
    /// The same without the disturbance: run first, its p99.9 becomes `p999_alone_us`.
    pub(crate) undisturbed: Option<&'static str>,
    /// Figures without noise need no more rounds than this.
    pub(crate) max_rounds: usize,
    /// Too long or too large for every run: only if it is named.
    pub(crate) on_demand: bool,
    /// The first one is plotted.
    pub(crate) columns: &'static [Column],
}

impl Case {
    /// Its first two numbers, for the log.
    pub(crate) fn glance(&self, numbers: &Numbers) -> String {
        let show = |column: &Column| {
            let value =
                numbers.get(column.key).map_or_else(|| String::from("–"), |value| column.unit.show(value));
            format!("{value} {}", column.title)
        };
        self.columns.iter().take(2).map(show).collect::<Vec<_>>().join(", ")
    }
}

impl Unit {
    /// A value as a reader wants it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Count | Self::Nanoseconds => grouped(value),
            Self::Microseconds if value < 1000.0 => format!("{value:.0}"),
            Self::Microseconds => grouped(value),
            Self::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
            Self::MegabytesPerSecond => grouped(value / 1e6),
            Self::Ratio => format!("{value:.2}"),
            Self::Percent => format!("{:.0} %", value * 100.0),
        }
    }
}

/// An integer with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn numbers_read_well() {
        assert_eq!(Unit::Count.show(1_234_567.8), "1,234,568");
        assert_eq!(Unit::Count.show(999.0), "999");
        assert_eq!(Unit::Bytes.show(1_572_864.0), "1.5 MiB");
    }
}
