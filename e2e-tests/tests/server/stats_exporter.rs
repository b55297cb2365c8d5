//! The exporter of metrics, with a recorder of the crate `metrics` that keeps what it gets.

use e2e_tests::harness;
use e2e_tests::pauses::within;
use e2e_tests::raw_peer::{RawClient, RawFrame, Side};
use e2e_tests::server::{Api, ObservedServer, close_normally, start_echo};
use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Unit};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use ws_server::{
    Keepalive, OriginPolicy, Server,
    metrics::{Exporter, METRICS, MetricKind},
};

/// What a recorder has got, by the name of the metric and its labels.
#[derive(Default)]
struct Kept {
    described: BTreeMap<String, (MetricKind, Option<Unit>, String)>,
    counters: BTreeMap<String, u64>,
    gauges: BTreeMap<String, f64>,
    times: BTreeMap<String, Vec<f64>>,
}

#[derive(Default, Clone)]
struct Recorder(Arc<Mutex<Kept>>);

/// One metric with its labels.
struct Series {
    recorder: Recorder,
    key: String,
}

impl Recorder {
    fn describe(&self, kind: MetricKind, key: &KeyName, unit: Option<Unit>, description: &str) {
        let mut kept = self.0.lock().unwrap();
        let before = kept.described.insert(key.as_str().to_owned(), (kind, unit, description.to_owned()));
        assert_eq!(before, None, "{key:?} is described twice");
    }

    /// A name with labels, as `name{label=value,label=value}`.
    fn series(&self, key: &Key) -> Arc<Series> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        Arc::new(Series { recorder: self.clone(), key: format!("{}{labels}", key.name()) })
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: metrics::SharedString) {
        self.describe(MetricKind::Counter, &key, unit, &description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: metrics::SharedString) {
        self.describe(MetricKind::Gauge, &key, unit, &description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: metrics::SharedString) {
        self.describe(MetricKind::Histogram, &key, unit, &description);
    }

    fn register_counter(&self, key: &Key, _metadata: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, key: &Key, _metadata: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.series(key))
    }

    fn register_histogram(&self, key: &Key, _metadata: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

impl CounterFn for Series {
    fn increment(&self, _value: u64) {
        panic!("{}: counters are set", self.key);
    }

    fn absolute(&self, value: u64) {
        let before = self.recorder.0.lock().unwrap().counters.insert(self.key.clone(), value);
        assert!(before.is_none_or(|before| before <= value), "{}: {value} after {before:?}", self.key);
    }
}

impl GaugeFn for Series {
    fn increment(&self, _value: f64) {
        panic!("{}: gauges are set", self.key);
    }

    fn decrement(&self, _value: f64) {
        panic!("{}: gauges are set", self.key);
    }

    fn set(&self, value: f64) {
        self.recorder.0.lock().unwrap().gauges.insert(self.key.clone(), value);
    }
}

impl HistogramFn for Series {
    fn record(&self, value: f64) {
        self.recorder.0.lock().unwrap().times.entry(self.key.clone()).or_default().push(value);
    }
}

/// An exporter and what its recorder has got.
struct Exported {
    recorder: Recorder,
    exporter: Exporter,
}

impl Exported {
    fn new(server: &ObservedServer) -> Self {
        let recorder = Recorder::default();
        let stats = server.stats_handle();
        let exporter = metrics::with_local_recorder(&recorder, || Exporter::new(stats));
        Self { recorder, exporter }
    }

    fn update(&mut self) {
        metrics::with_local_recorder(&self.recorder, || self.exporter.update());
    }

    /// The counters and gauges that are not 0.
    fn numbers(&self) -> BTreeMap<String, u64> {
        let kept = self.recorder.0.lock().unwrap();
        let gauges = kept.gauges.iter().map(|(key, value)| (key.clone(), *value as u64));
        let counters = kept.counters.iter().map(|(key, value)| (key.clone(), *value));
        gauges.chain(counters).filter(|(_, value)| *value > 0).collect()
    }

    fn times(&self, name: &str) -> Vec<f64> {
        self.recorder.0.lock().unwrap().times.get(name).cloned().unwrap_or_default()
    }
}

fn expected(numbers: &[(&str, u64)]) -> BTreeMap<String, u64> {
    numbers.iter().map(|(name, value)| (format!("websocket_server_{name}"), *value)).collect()
}

#[test]
fn each_metric_is_described_as_the_guide_says() {
    let guide = include_str!("../../../docs/guide.md");
    let mut rows = BTreeMap::new();
    for line in guide.lines().filter_map(|line| line.strip_prefix("| `websocket_server_")) {
        let columns: Vec<_> = line.trim_end_matches(" |").split(" | ").collect();
        let name = columns[0].trim_end_matches('`');
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels.trim_end_matches('}').to_owned();
        rows.insert(
            format!("websocket_server_{name}"),
            (labels, columns[1].to_owned(), columns[2].to_owned()),
        );
    }
    harness::run(async {
        let server = start_echo(Api::Handler, Server::builder()).await;
        let exported = Exported::new(&server);
        let described = std::mem::take(&mut exported.recorder.0.lock().unwrap().described);
        assert_eq!(described.len(), METRICS.len());
        let mut written = BTreeMap::new();
        for metric in METRICS {
            let (kind, unit, description) = &described[metric.name];
            assert_eq!((*kind, description.as_str()), (metric.kind, metric.description));
            let kind = format!("{kind:?}").to_lowercase();
            let unit = match unit {
                Some(Unit::Seconds) => ", s",
                Some(Unit::Bytes) => ", bytes",
                Some(Unit::Count) => "",
                other => panic!("{}: {other:?}", metric.name),
            };
            let mut text = description.trim_end_matches('.').to_owned();
            text[..1].make_ascii_lowercase();
            written.insert(metric.name.to_owned(), (metric.labels.join(","), format!("{kind}{unit}"), text));
        }
        assert_eq!(written, rows);
        server.stop().await;
    });
}

/// A handshake, a message of 5 bytes each way, and a closing handshake with 1000. Returns the bytes on the wire of the
/// frames: from the client, and from the server.
async fn talk(server: &ObservedServer) -> (u64, u64) {
    let mut client = server.open().await;
    client.send(RawFrame::text("hello")).await;
    client.expect_text("hello").await;
    close_normally(client).await;
    let frames = [RawFrame::text("hello"), RawFrame::close(1000, "")];
    let wire = |side| frames.iter().map(|frame| frame.encode(side).len() as u64).sum();
    (wire(Side::Client), wire(Side::Server))
}

#[test]
fn the_values_are_those_of_the_traffic_and_counters_only_grow() {
    harness::run(async {
        for api in Api::ALL {
            println!("with the {api:?} API");
            let server = start_echo(api, Server::builder().origin(OriginPolicy::SameHost)).await;
            let mut exported = Exported::new(&server);
            exported.update();
            assert_eq!(exported.numbers(), expected(&[]));
            for round in 1..=3 {
                let (client_wire, server_wire) = talk(&server).await;
                let mut stranger = server.connect().await;
                let request = stranger.request("/").with("Origin", "http://elsewhere.example");
                stranger.send_bytes(request.to_bytes()).await;
                assert_eq!(stranger.recv_head().await.status(), 403);
                drop(stranger);
                let open: RawClient = server.open().await;
                server
                    .wait_for_stats(|stats| stats.closes.clean == round && stats.handshakes.active == 0)
                    .await;
                // An update without news changes nothing.
                exported.update();
                exported.update();
                let numbers = [
                    ("connections", 1),
                    ("handshakes_total{outcome=accepted}", 2 * round),
                    ("handshakes_total{outcome=403}", round),
                    ("closes_total{code=1000,initiator=remote}", round),
                    ("closes_total{code=1006,initiator=remote}", round - 1),
                    ("unclean_closes_total", round - 1),
                    ("messages_total{direction=received}", round),
                    ("messages_total{direction=sent}", round),
                    ("bytes_total{direction=received,layer=payload}", 5 * round),
                    ("bytes_total{direction=received,layer=wire}", client_wire * round),
                    ("bytes_total{direction=sent,layer=payload}", 5 * round),
                    ("bytes_total{direction=sent,layer=wire}", server_wire * round),
                    ("control_frames_total{direction=received}", round),
                    ("control_frames_total{direction=sent}", round),
                ];
                let mut expected = expected(&numbers);
                expected.retain(|_, value| *value > 0);
                assert_eq!(exported.numbers(), expected);
                let count = |name: &str| exported.times(name).len() as u64;
                assert_eq!(count("websocket_server_handshake_seconds"), 2 * round);
                assert_eq!(count("websocket_server_connection_seconds"), 2 * round - 1);
                open.into_connection().reset();
                server.wait_for_connections(0).await;
            }
            server.stop().await;
        }
    });
}

#[test]
fn a_round_trip_is_recorded_with_at_most_twice_its_time() {
    harness::run(async {
        for api in Api::ALL {
            within(Duration::from_millis(30), async |delay| round_trip(api, delay).await >= delay / 2).await;
        }
    });
}

/// Answers a ping after this time. Returns the round trip time that the server has measured. The time begins when the
/// server's thread continues after its write, so it may be shorter.
async fn round_trip(api: Api, delay: Duration) -> Duration {
    let keepalive = Keepalive::new(Duration::from_millis(20), Duration::from_secs(60));
    let server = start_echo(api, Server::builder().statistics(true).keepalive(keepalive)).await;
    let mut exported = Exported::new(&server);
    let started = Instant::now();
    let mut client = server.open().await;
    let ping = client.recv_frame().await;
    tokio::time::sleep(delay).await;
    client.send(RawFrame::pong(ping.payload.clone())).await;
    let stats = server.wait_for_stats(|stats| stats.round_trips.count() == 1).await;
    exported.update();
    let times = exported.times("websocket_server_ping_rtt_seconds");
    let [time] = times[..] else { panic!("{times:?}") };
    let sum = stats.round_trips.sum();
    let exact = sum.as_secs_f64();
    assert!(sum <= started.elapsed() && time >= exact && time <= 2.0 * exact, "{time} for {exact}");
    drop(client);
    server.wait_for_connections(0).await;
    server.stop().await;
    sum
}
