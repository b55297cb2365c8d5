//! The text format of Prometheus (version 0.0.4).

use std::fmt::Write as _;

use ws_server::{
    metrics::{MetricKind, Sample, Value, samples},
    stats::{Histogram, ServerStats},
};

pub(crate) fn prometheus(stats: &ServerStats) -> String {
    let mut text = String::new();
    let mut previous = "";
    for sample in samples(stats) {
        let metric = sample.metric;
        if metric.name != previous {
            previous = metric.name;
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Histogram => "histogram",
                _ => "gauge",
            };
            let _ = writeln!(text, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.description);
        }
        write_sample(&mut text, &sample);
    }
    text
}

fn write_sample(text: &mut String, sample: &Sample) {
    let name = sample.metric.name;
    match sample.value {
        Value::Times(times) => write_times(text, name, &times),
        Value::Number(number) if sample.labels.is_empty() => {
            let _ = writeln!(text, "{name} {number}");
        }
        Value::Number(number) => {
            let labels = sample.metric.labels.iter().zip(&sample.labels);
            // The values of labels are names and numbers, so nothing is escaped.
            let labels: Vec<_> = labels.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
            let _ = writeln!(text, "{name}{{{}}} {number}", labels.join(","));
        }
        _ => {}
    }
}

/// Buckets are cumulative.
fn write_times(text: &mut String, name: &str, times: &Histogram) {
    let mut count = 0;
    for (bucket, in_bucket) in times.buckets().iter().enumerate() {
        count += in_bucket;
        let bound = Histogram::upper_bound(bucket);
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.as_secs_f64().to_string());
        let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
    }
    let _ = writeln!(text, "{name}_sum {}\n{name}_count {count}", times.sum().as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_types_labels_and_cumulative_buckets() {
        let mut stats = ServerStats::default();
        (stats.connections, stats.received.messages) = (2, 7);
        let text = prometheus(&stats);
        for expected in [
            "# TYPE websocket_server_connections gauge\nwebsocket_server_connections 2\n",
            "# TYPE websocket_server_messages_total counter\nwebsocket_server_messages_total{direction=\"received\"} 7\n",
            "websocket_server_bytes_total{direction=\"sent\",layer=\"wire\"} 0\n",
            "websocket_server_handshake_seconds_bucket{le=\"0.000001\"} 0\n",
            "websocket_server_handshake_seconds_bucket{le=\"+Inf\"} 0\n",
            "websocket_server_handshake_seconds_sum 0\nwebsocket_server_handshake_seconds_count 0\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    /// The names in an expression of the dashboard.
    fn names(expression: &str) -> impl Iterator<Item = &str> {
        expression
            .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("websocket_server"))
    }

    #[test]
    fn the_dashboard_asks_for_metrics_that_exist_and_for_all_of_them() {
        let dashboard = include_str!("../../../docs/grafana-dashboard.json");
        let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        let mut asked = Vec::new();
        for panel in dashboard["panels"].as_array().unwrap() {
            assert!(panel["title"].is_string() && panel["gridPos"]["w"].is_u64(), "{panel}");
            for target in panel["targets"].as_array().unwrap() {
                asked.extend(names(target["expr"].as_str().unwrap()).map(str::to_owned));
            }
        }
        for metric in ws_server::metrics::METRICS {
            let in_dashboard = match metric.kind {
                MetricKind::Histogram => format!("{}_bucket", metric.name),
                _ => metric.name.to_owned(),
            };
            assert!(asked.contains(&in_dashboard), "no panel shows {in_dashboard}");
            asked.retain(|name| *name != in_dashboard);
        }
        assert_eq!(asked, Vec::<String>::new(), "no such metrics");
    }

    #[test]
    fn the_guide_lists_all_metrics() {
        let guide = include_str!("../../../docs/guide.md");
        for metric in ws_server::metrics::METRICS {
            let labels = match metric.labels {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let row = format!("| `{}{labels}` |", metric.name);
            assert!(guide.contains(&row), "the guide has no row {row}");
        }
    }
}
