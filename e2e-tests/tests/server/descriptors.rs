//! A process without free file descriptors.

use e2e_tests::descriptors::Exhausted;
use e2e_tests::harness;
use e2e_tests::raw_peer::RawFrame;
use e2e_tests::server::{Api, close_normally, start_echo, start_sharded_echo};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// A `tracing` subscriber that reports the time of each warning of the server, from all threads.
struct Warnings;

/// Receives the warnings.
static LISTENER: Mutex<Option<UnboundedSender<Instant>>> = Mutex::new(None);

impl Warnings {
    /// The warnings from now on.
    fn listen() -> UnboundedReceiver<Instant> {
        let (sender, receiver) = unbounded_channel();
        *LISTENER.lock().unwrap() = Some(sender);
        // Fails for the second server of a test. The first subscriber stays.
        let _ = tracing::subscriber::set_global_default(Self);
        receiver
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("ws_server")
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, _event: &Event<'_>) {
        if let Some(listener) = &*LISTENER.lock().unwrap() {
            let _ = listener.send(Instant::now());
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

async fn next(warnings: &mut UnboundedReceiver<Instant>) -> Instant {
    tokio::time::timeout(Duration::from_secs(10), warnings.recv())
        .await
        .expect("a warning")
        .expect("more to come")
}

#[test]
fn without_descriptors_accepting_backs_off_and_recovers() {
    harness::run(async {
        for api in Api::ALL {
            let mut warnings = Warnings::listen();
            let server = start_echo(api, ws_server::Server::builder()).await;
            let mut established = server.open().await;
            let mut exhausted = Exhausted::new();
            exhausted.give_one();
            // The kernel completes the connection, and the server has no descriptor to accept it.
            let mut waiting = server.connect().await;
            let first = next(&mut warnings).await;
            let mut last = first;
            for _ in 0..4 {
                last = next(&mut warnings).await;
            }
            assert!(server.stats().accept_backoffs >= 5);
            let waited = last - first;
            assert!(
                waited >= Duration::from_millis(10 + 20 + 40 + 80),
                "it tried again too soon: {waited:?}"
            );
            established.send(RawFrame::text("still served")).await;
            established.expect_text("still served").await;
            drop(exhausted);
            waiting.upgrade("/").await;
            close_normally(waiting).await;
            close_normally(established).await;
            let stats = server.stats_handle();
            server.stop().await;
            // Each of them has logged a warning.
            let further = std::iter::from_fn(|| warnings.try_recv().ok()).count();
            assert_eq!(stats.snapshot().accept_backoffs, 5 + further as u64);
        }
    });
}

#[test]
fn a_shutdown_does_not_wait_for_descriptors() {
    harness::run(async {
        let mut warnings = Warnings::listen();
        let server = start_sharded_echo(Api::Handler, ws_server::Server::builder(), 1).await;
        server.expect_alive().await;
        let mut exhausted = Exhausted::new();
        exhausted.give_one();
        let waiting = server.connect().await;
        next(&mut warnings).await;
        drop(waiting);
        server.stop().await;
        drop(exhausted);
    });
}
