use std::{collections::HashMap, fmt, time::Duration};

use metrics::{Key, Label, Level, Metadata, Unit, with_recorder};

use crate::{
    measure::Histogram,
    metrics::{METRICS, MetricKind, Sample, Value, samples},
    shard::StatsHandle,
};

/// Reports the statistics of a server to the recorder of the crate `metrics` that the program has installed.
///
/// Gauges are set, and counters are set to their absolute values. Times are known by bucket only: for each new time the
/// recorder gets the upper bound of its bucket, which is at most twice the time.
pub struct Exporter {
    stats: StatsHandle,
    /// The times that were reported, by the name of the histogram.
    reported: HashMap<&'static str, Histogram>,
}

const METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

impl Exporter {
    /// Creates an exporter, and describes the metrics to the recorder. Install the recorder before.
    #[must_use]
    pub fn new(stats: StatsHandle) -> Self {
        with_recorder(|recorder| {
            for metric in METRICS {
                let (name, description) = (metric.name.into(), metric.description.into());
                match metric.kind {
                    MetricKind::Counter => recorder.describe_counter(name, unit(metric.name), description),
                    MetricKind::Gauge => recorder.describe_gauge(name, unit(metric.name), description),
                    MetricKind::Histogram => {
                        recorder.describe_histogram(name, unit(metric.name), description)
                    }
                }
            }
        });
        Self { stats, reported: HashMap::new() }
    }

    /// Reports what the server has counted so far.
    pub fn update(&mut self) {
        for sample in samples(&self.stats.snapshot()) {
            self.report(&sample);
        }
    }

    fn report(&mut self, Sample { metric, labels, value }: &Sample) {
        let labels = metric.labels.iter().zip(labels).map(|(name, value)| Label::new(*name, value.clone()));
        let key = Key::from_parts(metric.name, labels.collect::<Vec<_>>());
        match (metric.kind, value) {
            (MetricKind::Counter, Value::Number(value)) => {
                with_recorder(|recorder| recorder.register_counter(&key, &METADATA)).absolute(*value);
            }
            (_, Value::Number(value)) => {
                with_recorder(|recorder| recorder.register_gauge(&key, &METADATA)).set(*value as f64);
            }
            (_, Value::Times(times)) => {
                let before = self.reported.insert(metric.name, *times).unwrap_or_default();
                let histogram = with_recorder(|recorder| recorder.register_histogram(&key, &METADATA));
                for (bucket, (now, before)) in times.buckets().iter().zip(before.buckets()).enumerate() {
                    let bound = Histogram::upper_bound(bucket).unwrap_or(LONGEST);
                    histogram.record_many(bound.as_secs_f64(), now.saturating_sub(*before) as usize);
                }
            }
        }
    }
}

/// Stands for the times of the last bucket.
const LONGEST: Duration = Duration::from_micros(1 << (Histogram::BUCKETS - 1));

fn unit(name: &str) -> Option<Unit> {
    if name.contains("_seconds") {
        Some(Unit::Seconds)
    } else if name.contains("_bytes") {
        Some(Unit::Bytes)
    } else {
        Some(Unit::Count)
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}
