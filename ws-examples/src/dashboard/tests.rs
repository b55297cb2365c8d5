//! The samples over loopback, as pages get them.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use e2e_tests::{
    harness,
    raw_peer::{RawClient, RawFrame},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use ws_server::{ShutdownHandle, stats::StatsHandle};

use crate::{
    ECHO, FIGURES, bind,
    figures::{Figures, kept},
    run,
};

/// The tests publish the samples. With the longest tick few are kept.
const TICK: Duration = Duration::from_secs(10);

/// Far more samples than the buffers of the kernel hold.
const MANY: u64 = 100_000;

struct Dashboard {
    figures: Arc<Figures>,
    addr: SocketAddr,
    stats: StatsHandle,
    handle: ShutdownHandle,
    serving: JoinHandle<()>,
}

impl Dashboard {
    async fn start() -> Self {
        let figures = Arc::new(Figures::new(TICK).unwrap());
        // Without pings, which would come between the samples.
        let server = bind("127.0.0.1:0", &figures, None).await.unwrap();
        let (addr, stats, handle) =
            (server.local_addr().unwrap(), server.stats_handle(), server.shutdown_handle());
        let serving = tokio::spawn(run(server, Arc::clone(&figures)));
        Self { figures, addr, stats, handle, serving }
    }

    fn publish(&self) {
        self.figures.publish(&self.stats.snapshot());
    }

    async fn page(&self) -> RawClient {
        RawClient::open(self.addr, FIGURES).await
    }

    async fn stop(self) {
        self.handle.shutdown(Duration::from_secs(5)).await;
        self.serving.await.unwrap();
    }
}

async fn sample(page: &mut RawClient) -> Value {
    let frame = page.recv_frame().await;
    serde_json::from_slice(&frame.payload).unwrap()
}

async fn samples(page: &mut RawClient, count: usize) -> Vec<Value> {
    let mut samples = Vec::new();
    for _ in 0..count {
        samples.push(sample(page).await);
    }
    samples
}

/// Opens a connection to the application, and has this many messages of five bytes echoed.
async fn visit(addr: SocketAddr, messages: usize) -> RawClient {
    let mut visitor = RawClient::open(addr, ECHO).await;
    for _ in 0..messages {
        visitor.send(RawFrame::text("hello")).await;
        visitor.expect_text("hello").await;
    }
    visitor
}

#[test]
fn a_sample_says_exactly_what_has_happened() {
    harness::run(async {
        let dashboard = Dashboard::start().await;
        let addr = dashboard.addr;
        let stays = visit(addr, 3).await;
        for code in [1000, 1000, 4321] {
            let mut leaves = visit(addr, 5).await;
            leaves.send(RawFrame::close(code, "")).await;
            leaves.expect_close(code).await;
            leaves.expect_eof().await;
        }
        let mut stray = RawClient::connect(addr).await;
        assert_eq!(stray.upgrade_with(stray.request("/nowhere").to_bytes()).await.status(), 404);
        let mut foreign = RawClient::connect(addr).await;
        let request = foreign.request(FIGURES).with("Origin", "https://other.example");
        assert_eq!(foreign.upgrade_with(request.to_bytes()).await.status(), 403);
        let mut browser = RawClient::connect(addr).await;
        let head = browser.upgrade_with(format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n")).await;
        browser.recv_body(&head).await;
        browser.expect_eof().await;

        let mut page = dashboard.page().await;
        // The ends are counted a little after the peers have seen them.
        let last = loop {
            dashboard.publish();
            let sample = sample(&mut page).await;
            let closes = sample["closes"].as_array().unwrap().iter().filter_map(|close| close[2].as_u64());
            if closes.sum::<u64>() == 3 && sample["connections"] == 2 && sample["handshakes"]["active"] == 0 {
                break sample;
            }
        };
        let expected = json!({
            "active": 0, "accepted": 5, "http": 1, "refused": { "403": 1, "404": 1 }, "failed": {},
        });
        assert_eq!(last["handshakes"], expected);
        assert_eq!(last["closes"], json!([[1000, "remote", 2], [4000, "remote", 1]]));
        // Masked frames of 5 bytes have 11, and those of a Close 8.
        assert_eq!(last["received"], json!({ "messages": 18, "bytes": 18 * 11 + 3 * 8 }));
        let none = ["unclean", "queued", "refused_sends", "dropped", "panics", "backoffs"];
        assert!(none.iter().all(|name| last[*name] == 0), "{last}");
        // The next one has in addition what this one has sent.
        let sent = |sample: &Value| sample["sent"]["messages"].as_u64().unwrap();
        dashboard.publish();
        let next = sample(&mut page).await;
        assert_eq!((sent(&next), next["received"].clone()), (sent(&last) + 1, last["received"].clone()));
        assert!(next["at"].as_u64() >= last["at"].as_u64());

        drop((stays, page));
        dashboard.stop().await;
    });
}

#[test]
fn a_page_that_comes_late_gets_the_samples_that_are_kept_and_then_each_new_one() {
    harness::run(async {
        let dashboard = Dashboard::start().await;
        let kept = kept(TICK);
        assert_eq!(kept, 30);
        let mut early = dashboard.page().await;
        let mut all = Vec::new();
        for _ in 0..kept + 10 {
            dashboard.publish();
            all.push(sample(&mut early).await);
        }
        let mut late = dashboard.page().await;
        assert_eq!(samples(&mut late, kept).await, all[10..]);
        dashboard.publish();
        assert_eq!(sample(&mut late).await, sample(&mut early).await);
        // What a page asks for its sign of life is answered.
        late.send(RawFrame::text(r#"{"type":"ping"}"#)).await;
        late.expect_text(r#"{"type":"pong"}"#).await;
        drop((early, late));
        dashboard.stop().await;
    });
}

#[test]
fn for_a_page_that_does_not_read_one_sample_waits_and_it_is_the_latest() {
    harness::run(async {
        let dashboard = Dashboard::start().await;
        let mut fast = dashboard.page().await;
        let mut slow = RawClient::connect_with_receive_buffer(dashboard.addr, 4096).await;
        slow.upgrade(FIGURES).await;
        let dropped = || dashboard.stats.snapshot().pressure.dropped_publications;
        let (mut published, mut newest, mut in_a_row) = (0, Value::Null, 0);
        while in_a_row < 20 {
            assert!(published < MANY, "no sample waits");
            let before = dropped();
            dashboard.publish();
            newest = sample(&mut fast).await;
            published += 1;
            in_a_row = if dropped() > before { in_a_row + 1 } else { 0 };
        }
        // From now on each sample takes the place of the one before, and memory stays as it is.
        let (before, memory) = (dropped(), dashboard.stats.snapshot().memory_used);
        for further in 1..=50 {
            dashboard.publish();
            newest = sample(&mut fast).await;
            published += 1;
            assert_eq!(dropped(), before + further);
        }
        let after = dashboard.stats.snapshot().memory_used;
        assert!(after <= memory + 4096, "{memory} bytes have become {after}");

        let mut received = 1;
        while sample(&mut slow).await != newest {
            received += 1;
        }
        assert_eq!(received + dropped(), published);
        drop((fast, slow));
        dashboard.stop().await;
    });
}
