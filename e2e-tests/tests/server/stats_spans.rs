//! The spans of handshakes and connections, and the limit of log lines that peers can cause.

use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, close_normally, start_echo};
use http::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::SeqCst},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use ws_server::{Server, ServerBuilder};

type Fields = BTreeMap<String, String>;

#[derive(Default)]
struct Seen {
    spans: BTreeMap<u64, (String, Fields)>,
    closed: Vec<(String, Fields)>,
    lines: Vec<Fields>,
}

/// A subscriber that keeps all spans and lines.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Seen>>, Arc<AtomicU64>);

impl Collector {
    /// Becomes the subscriber of the process.
    fn installed() -> Self {
        let collector = Self::default();
        let set = tracing::dispatcher::set_global_default(tracing::Dispatch::new(collector.clone()));
        set.expect("each test has a process of its own");
        collector
    }

    /// Checks that at least ten lines contain `text`, and at most ten for each second since `began`.
    fn expect_ten_lines_per_second(&self, text: &str, began: tokio::time::Instant) {
        let seconds = began.elapsed().as_secs() as usize + 1;
        let lines = std::mem::take(&mut self.0.lock().unwrap().lines);
        let count = lines.iter().filter(|line| line.values().any(|value| value.contains(text))).count();
        assert!((10..=10 * seconds).contains(&count), "{count} lines in {seconds} s");
    }
}

struct Visitor<'a>(&'a mut Fields);

impl Visit for Visitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ws_server")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.1.fetch_add(1, SeqCst) + 1;
        let mut fields = Fields::new();
        span.record(&mut Visitor(&mut fields));
        self.0.lock().unwrap().spans.insert(id, (span.metadata().name().to_owned(), fields));
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        if let Some((_, fields)) = self.0.lock().unwrap().spans.get_mut(&id.into_u64()) {
            values.record(&mut Visitor(fields));
        }
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::new();
        event.record(&mut Visitor(&mut fields));
        self.0.lock().unwrap().lines.push(fields);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}

    fn try_close(&self, _id: Id) -> bool {
        // Clones are not counted here, so a span is taken when its last field is there.
        let mut seen = self.0.lock().unwrap();
        let ended: Vec<_> = seen.spans.extract_ended();
        seen.closed.extend(ended);
        true
    }
}

trait ExtractEnded {
    fn extract_ended(&mut self) -> Vec<(String, Fields)>;
}

impl ExtractEnded for BTreeMap<u64, (String, Fields)> {
    fn extract_ended(&mut self) -> Vec<(String, Fields)> {
        let ended = |fields: &Fields| fields.contains_key("duration_ms");
        let ids: Vec<_> = self.iter().filter(|(_, (_, fields))| ended(fields)).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.remove(&id)).collect()
    }
}

async fn spans_of_one_connection(
    api: Api,
    configure: impl Fn(ServerBuilder) -> ServerBuilder,
) -> Vec<(String, Fields)> {
    let collector = Collector::installed();
    let server = start_echo(api, configure(Server::builder())).await;
    let mut client = server.connect().await;
    assert_eq!(client.upgrade("/chat?token=secret").await.status(), 101);
    client.send(RawFrame::text("confidential")).await;
    client.expect_text("confidential").await;
    client.send(RawFrame::close(1000, "private")).await;
    client.expect_close(1000).await;
    client.expect_eof().await;
    server.wait_for_connections(0).await;
    server.stop().await;
    let seen = std::mem::take(&mut *collector.0.lock().unwrap());
    assert!(seen.spans.is_empty(), "{:?} have not ended", seen.spans);
    seen.closed
}

async fn expect_spans(api: Api) {
    let spans = spans_of_one_connection(api, |builder| builder.spans(true).statistics(true)).await;
    let [(first, handshake), (second, connection)] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("ws.handshake", "ws.connection"));
    assert_eq!(handshake["ws.handshake.outcome"], "\"accepted\"");
    let expected = [
        ("url.path", "\"/chat\""),
        ("ws.compression", "false"),
        ("ws.close.code", "1000"),
        ("ws.close.initiator", "\"remote\""),
        ("ws.messages.in", "1"),
        ("ws.messages.out", "1"),
        ("ws.bytes.in", "33"),
    ];
    for (field, value) in expected {
        assert_eq!(connection.get(field).map(String::as_str), Some(value), "{field}: {connection:?}");
    }
    assert!(connection.contains_key("ws.bytes.out") && connection.contains_key("duration_ms"));
    assert_eq!(handshake["peer.addr"], connection["peer.addr"]);
    let printed = format!("{spans:?}");
    for secret in ["secret", "token", "confidential", "private"] {
        assert!(!printed.contains(secret), "{printed}");
    }
}

#[test]
fn the_spans_of_a_handlers_connection_have_the_documented_fields_and_no_secrets() {
    harness::run(expect_spans(Api::Handler));
}

#[test]
fn the_spans_of_a_functions_connection_have_the_documented_fields_and_no_secrets() {
    harness::run(expect_spans(Api::Async));
}

#[test]
fn without_the_switch_there_are_no_spans() {
    harness::run(async {
        assert_eq!(spans_of_one_connection(Api::Handler, |builder| builder).await, []);
    });
}

#[test]
fn peers_whose_handshakes_fail_cause_ten_log_lines_per_second() {
    harness::run(async {
        let collector = Collector::installed();
        let server = start_echo(Api::Handler, Server::builder()).await;
        let began = tokio::time::Instant::now();
        for number in 1..=200 {
            let mut client = server.connect().await;
            client.send_bytes("GET / HTTP/1.1\r\n").await;
            drop(client);
            server.wait_for_stats(|stats| stats.handshakes.failed.total() == number).await;
        }
        collector.expect_ten_lines_per_second("handshake failed", began);
        close_normally(server.open().await).await;
        server.stop().await;
    });
}

#[test]
fn requests_whose_responses_cannot_be_sent_cause_ten_log_lines_per_second() {
    harness::run(async {
        let collector = Collector::installed();
        let builder = Server::builder().on_request(|request| {
            let name = HeaderName::from_static("sec-websocket-accept");
            request.add_response_header(name, HeaderValue::from_static("forged"));
            Ok(())
        });
        let server = start_echo(Api::Handler, builder).await;
        let began = tokio::time::Instant::now();
        for _ in 0..50 {
            let mut client = server.connect().await;
            let request = client.request("/").to_bytes();
            assert_eq!(client.upgrade_with(request).await.status(), 500);
        }
        collector.expect_ten_lines_per_second("the application's response cannot be sent", began);
        server.stop().await;
    });
}
