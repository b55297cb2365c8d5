//! The result of a measurement.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::Instant;

use super::connection::Part;
use crate::latency::Latencies;

pub(super) struct Report {
    connections: u32,
    size: usize,
    started: Instant,
    last: Option<Instant>,
    expected: u64,
    received: u64,
    pub(super) failed: u32,
    latencies: Arc<Mutex<Latencies>>,
}

const QUANTILES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

impl Report {
    /// The time begins now.
    pub(super) fn new(connections: u32, size: usize, latencies: Arc<Mutex<Latencies>>) -> Self {
        let (expected, received, failed) = (0, 0, 0);
        Self { connections, size, started: Instant::now(), last: None, expected, received, failed, latencies }
    }

    pub(super) fn add(&mut self, part: &Part) {
        self.expected += part.expected;
        self.received += part.received;
        self.failed += u32::from(part.has_failed);
        self.last = self.last.max(part.last);
    }

    /// Messages without an answer.
    pub(super) const fn lost(&self) -> u64 {
        self.expected - self.received
    }

    /// Answers per second.
    fn rate(&self) -> f64 {
        let seconds =
            self.last.map_or(0.0, |last| last.saturating_duration_since(self.started).as_secs_f64());
        if seconds > 0.0 { self.received as f64 / seconds } else { 0.0 }
    }

    pub(super) fn text(&self) -> String {
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = format!(
            "{} connections, {} messages of {} bytes, {} answers, {:.1} answers/s\n",
            self.connections,
            self.expected,
            self.size,
            self.received,
            self.rate(),
        );
        if self.received > 0 {
            text.push_str("latency from the time when a message was due, in ms:\n");
            let mut line = |name: &str, micros: f64| {
                let _ = writeln!(text, "  {name:<7}{:>12.3}", micros / 1000.0);
            };
            line("min", latencies.min() as f64);
            line("mean", latencies.mean());
            for (name, quantile) in QUANTILES {
                line(name, latencies.quantile(quantile) as f64);
            }
            line("max", latencies.max() as f64);
        }
        text
    }

    /// One line. Latencies are in microseconds.
    pub(super) fn json(&self) -> String {
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut json = format!(
            "{{\"connections\":{},\"size\":{},\"messages\":{},\"answers\":{},\"failed_connections\":{},\"rate\":{:.3},\
             \"latency_us\":{{\"min\":{},\"mean\":{:.1}",
            self.connections,
            self.size,
            self.expected,
            self.received,
            self.failed,
            self.rate(),
            latencies.min(),
            latencies.mean(),
        );
        for (name, quantile) in QUANTILES {
            let _ = write!(json, ",\"{name}\":{}", latencies.quantile(quantile));
        }
        let _ = write!(json, ",\"max\":{}}}}}", latencies.max());
        json
    }
}
