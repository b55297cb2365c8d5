use crate::{
    measure::{Histogram, ServerStats, spans::name_of},
    metrics::table::{self, Metric},
};

/// The value of a metric for one set of labels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The metric.
    pub metric: &'static Metric,
    /// The values of its labels, in the order of [`Metric::labels`].
    pub labels: Vec<String>,
    /// The value.
    pub value: Value,
}

/// The value of a [`Sample`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "a snapshot makes few of them, and a copy is simpler to use than a box"
)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(u64),
    /// Of a histogram.
    Times(Histogram),
}

/// All samples of a snapshot, grouped by metric, in the order of [`METRICS`](super::METRICS). Labels that count by code
/// or by status have only the values that are not 0.
#[must_use]
pub fn samples(stats: &ServerStats) -> Vec<Sample> {
    let mut samples = Samples(Vec::new());
    samples.number(table::CONNECTIONS, [], stats.connections);
    samples.handshakes(stats);
    samples.times(table::CONNECTION_SECONDS, stats.connection_times);
    for close in &stats.closes.by_code {
        let code = match close.code {
            3000 => "3xxx".to_owned(),
            4000 => "4xxx".to_owned(),
            code => code.to_string(),
        };
        samples.push(table::CLOSES, [code, name_of(close.initiator).to_owned()], Value::Number(close.count));
    }
    samples.number(table::UNCLEAN_CLOSES, [], stats.closes.unclean);
    samples.traffic(stats);
    samples.number(table::QUEUE_BYTES, [], stats.pressure.queued_bytes);
    samples.number(table::QUEUE_FULL, [], stats.pressure.refused_sends);
    samples.number(table::BLOCKED_WRITES, [], stats.pressure.blocked_writes);
    samples.number(table::DROPPED_PUBLICATIONS, [], stats.pressure.dropped_publications);
    samples.number(table::SLOW, [], stats.pressure.became_slow);
    samples.number(table::DISCONNECTED_MEMBERS, [], stats.pressure.disconnected_members);
    samples.times(table::PING_RTT_SECONDS, stats.round_trips);
    samples.number(table::MEMORY_HELD_BYTES, [], stats.memory_used);
    for (place, count) in [
        ("handler", stats.panics.handlers),
        ("function", stats.panics.functions),
        ("request", stats.panics.requests),
        ("observer", stats.panics.observers),
    ] {
        samples.number(table::PANICS, [place], count);
    }
    samples.number(table::ACCEPT_BACKOFFS, [], stats.accept_backoffs);
    samples.0
}

struct Samples(Vec<Sample>);

impl Samples {
    fn push<const N: usize>(&mut self, metric: &'static Metric, labels: [String; N], value: Value) {
        self.0.push(Sample { metric, labels: labels.into(), value });
    }

    fn number<const N: usize>(&mut self, metric: &'static Metric, labels: [&str; N], value: u64) {
        self.push(metric, labels.map(str::to_owned), Value::Number(value));
    }

    fn times(&mut self, metric: &'static Metric, times: Histogram) {
        self.push(metric, [], Value::Times(times));
    }

    fn handshakes(&mut self, stats: &ServerStats) {
        let handshakes = &stats.handshakes;
        self.number(table::HANDSHAKES_ACTIVE, [], handshakes.active);
        let failed = &handshakes.failed;
        for (outcome, count) in [
            ("accepted", handshakes.accepted),
            ("answered_http", handshakes.answered_http),
            ("timed_out", failed.timed_out),
            ("transport", failed.transport),
            ("tls", failed.tls),
            ("proxy", failed.proxy),
            ("overload", failed.overload),
            ("shutdown", failed.shutdown),
        ] {
            self.number(table::HANDSHAKES, [outcome], count);
        }
        for (status, count) in &handshakes.refused {
            self.number(table::HANDSHAKES, [status.as_str()], *count);
        }
        self.times(table::HANDSHAKE_SECONDS, handshakes.times);
    }

    fn traffic(&mut self, stats: &ServerStats) {
        let directions = [("received", stats.received), ("sent", stats.sent)];
        for (direction, traffic) in directions {
            self.number(table::MESSAGES, [direction], traffic.messages);
        }
        for (direction, traffic) in directions {
            self.number(table::BYTES, [direction, "payload"], traffic.payload_bytes);
            self.number(table::BYTES, [direction, "wire"], traffic.wire_bytes);
        }
        for (direction, traffic) in directions {
            self.number(table::CONTROL_FRAMES, [direction], traffic.control_frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::METRICS;

    #[test]
    fn samples_are_grouped_in_the_order_of_the_table_and_have_its_labels() {
        let mut names: Vec<_> = samples(&ServerStats::default())
            .iter()
            .inspect(|sample| assert_eq!(sample.labels.len(), sample.metric.labels.len(), "{sample:?}"))
            .map(|sample| sample.metric.name)
            .collect();
        names.dedup();
        // There is no sample for a code without an end.
        let expected: Vec<_> = METRICS
            .iter()
            .map(|metric| metric.name)
            .filter(|name| !name.ends_with("server_closes_total"))
            .collect();
        assert_eq!(names, expected);
    }
}
