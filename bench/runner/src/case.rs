//! The parts of a case, and the formats of its numbers.

use bench_common::json::Numbers;

/// The role of a program in the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A server that sends each message back.
    Echo,
    /// A server that sends each message to all connections.
    Broadcast,
    /// An echo server inside axum, or our own server to compare with.
    Axum,
    /// An echo server that compresses, without context takeover.
    Deflate,
    /// A client that sends messages and checks their echoes.
    Client,
    /// A client that receives a stream of messages.
    Receiver,
    /// An echo server on a multi-threaded runtime.
    Workers,
    /// An echo server with TLS.
    Tls,
    /// Our echo server with threads of its own.
    Shards,
    /// An echo server for a very large number of connections.
    Million,
}

impl Role {
    /// The program that ratios refer to, and the name of these ratios.
    pub(crate) const fn base(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Echo => Some(("floor-tokio", "floor")),
            Self::Broadcast => Some(("floor-broadcast", "floor")),
            Self::Axum => Some(("own-tasks", "own")),
            Self::Receiver => Some(("floor-receive", "floor")),
            Self::Shards => Some(("shards-1-handler", "one shard")),
            Self::Million => Some(("million-floor", "floor")),
            Self::Deflate | Self::Client | Self::Workers | Self::Tls => None,
        }
    }

    /// Whether the measured programs are clients.
    pub(crate) const fn is_client(self) -> bool {
        matches!(self, Self::Client | Self::Receiver)
    }
}

/// The format of a number.
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

/// Whether a higher or a lower number is better. Without it, no ratios are shown.
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
    /// The role of the programs that take part.
    pub(crate) role: Role,
    /// Options for the load generator, or for the client.
    pub(crate) load: &'static str,
    /// Options for the servers.
    pub(crate) server_options: &'static str,
    /// The number of the server's cores.
    pub(crate) cores: usize,
    /// Options for the same load without the disturbance. It runs first, and its p99.9 becomes `p999_alone_us`.
    pub(crate) undisturbed: Option<&'static str>,
    /// The maximum number of rounds, for figures without noise.
    pub(crate) max_rounds: usize,
    /// Runs only if it is named, because it takes too long or too much memory.
    pub(crate) on_demand: bool,
    /// The columns. The first one is plotted.
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
    /// A formatted value.
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
