//! A server is replaced under load: two processes with one listener, and clients that reconnect.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic in a helper fails the test")]

mod client;
mod process;
#[path = "../redis/server.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod server;

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use client::{Client, Phase, Plan, Seen};
use e2e_tests::{
    harness::{self, Options},
    raw_peer::RawClient,
};
use process::Process;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

const CLIENTS: usize = 200;
const SPREAD: Duration = Duration::from_secs(5);
/// Messages that each client sends or gets, each second.
const RATE: u32 = 20;
const PUBLISHERS: usize = 4;
/// It only bounds a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Other clients, which connect, ask once and leave, all the time.
struct Dialers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Dialers {
    fn start(url: &str) -> Self {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let dial = || {
            let (url, stop, done) = (url.to_owned(), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut ws = ws_client::connect(&url).await.expect("no attempt fails");
                    // The connection may get its 1012 at once.
                    if ws.send("hello").await.is_ok() {
                        let _ = ws.recv().await;
                    }
                    ws.close(ws_client::CloseCode::NORMAL, "").await;
                    done.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        let tasks = (0..4).map(|_| dial()).collect();
        Self { stop, done, tasks }
    }

    async fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

/// Measures for how long, at most, this process did not run.
fn measure_stalls() -> (JoinHandle<()>, Arc<AtomicUsize>) {
    const TICK: Duration = Duration::from_millis(10);
    let longest = Arc::<AtomicUsize>::default();
    let shared = Arc::clone(&longest);
    let task = tokio::spawn(async move {
        loop {
            let start = Instant::now();
            tokio::time::sleep(TICK).await;
            let late = start.elapsed().saturating_sub(TICK).as_millis();
            shared.fetch_max(usize::try_from(late).unwrap(), Ordering::Relaxed);
        }
    });
    (task, longest)
}

async fn health(addr: SocketAddr) -> u16 {
    let mut client = RawClient::connect(addr).await;
    let request = client.request("/health").without("Upgrade").to_bytes();
    client.upgrade_with(request).await.status()
}

async fn wait_until_ready(addr: SocketAddr) {
    let start = Instant::now();
    while health(addr).await != 200 {
        assert!(start.elapsed() < LIMIT, "it is not ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts the next process, waits until it is ready, and ends the first one. Returns the number of the next process.
async fn replace(listener: &TcpListener, first: Process, options: &[&str]) -> Process {
    let next = Process::start(listener, options);
    wait_until_ready(next.health).await;
    first.terminate();
    let start = Instant::now();
    while health(first.health).await != 503 {
        assert!(start.elapsed() < LIMIT, "its readiness is not withdrawn");
    }
    assert_eq!(health(next.health).await, 200);
    let report = first.end(LIMIT).await;
    assert!(report.contains(" 0 did not, forced: false"), "{report}");
    println!("the first process: {report}");
    next
}

/// No second may have more than twice as many reconnects as an even distribution. A stall of this process delays some,
/// so that they come together with later ones.
fn check_rate(mut reconnected: Vec<Instant>, stall: Duration) {
    reconnected.sort_unstable();
    let second = Duration::from_secs(1);
    let within = |from: Instant| reconnected.iter().filter(|at| **at >= from && **at < from + second).count();
    let most = reconnected.iter().map(|from| within(*from)).max().unwrap();
    let even = reconnected.len() as f64 / SPREAD.as_secs_f64();
    println!("most reconnects in a second: {most}, evenly {even}; longest stall {stall:?}");
    assert!(most as f64 <= 2.0 * even * (1.0 + stall.as_secs_f64()), "{most} in a second");
    let took = *reconnected.last().unwrap() - reconnected[0];
    assert!(took >= SPREAD / 2, "all within {took:?}");
}

/// Replaces a server whose clients have this load. Returns what they have seen.
async fn replace_under_load(options: &[&str], plan: impl Fn(usize, String) -> Plan) -> Vec<Seen> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let spread = SPREAD.as_secs().to_string();
    let options = [&["--spread", &spread], options].concat();
    let first = Process::start(&listener, &options);
    wait_until_ready(first.health).await;
    let (phase, phases) = watch::channel(Phase::Connect);
    let (ready, mut is_ready) = mpsc::unbounded_channel();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(Client::run(plan(number, url.clone()), phases.clone(), ready.clone())))
        .collect();
    for _ in 0..CLIENTS {
        is_ready.recv().await.unwrap();
    }
    phase.send_replace(Phase::Load);
    let dialers = Dialers::start(&url);
    let (stalls, stall) = measure_stalls();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let next = replace(&listener, first, &options).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stalls.abort();
    println!("{} other connections", dialers.stop().await);
    phase.send_replace(Phase::Rest);
    for _ in 0..CLIENTS {
        tokio::time::timeout(LIMIT, is_ready.recv()).await.expect("each request is answered").unwrap();
    }
    // All publications come before this one.
    let mut last = ws_client::connect(&url).await.unwrap();
    last.send("publish end").await.unwrap();
    let mut seen = Vec::new();
    for client in clients {
        seen.push(tokio::time::timeout(LIMIT, client).await.expect("it gets all").unwrap());
    }
    last.close(ws_client::CloseCode::NORMAL, "").await;
    assert!(seen.iter().all(|seen| seen.process.is_empty() || seen.process == next.id().to_string()));
    assert!(seen.iter().all(|seen| seen.reconnected.len() == 1), "each client moves once");
    let reconnected = seen.iter().flat_map(|seen| seen.reconnected.clone()).collect();
    check_rate(reconnected, Duration::from_millis(stall.load(Ordering::Relaxed) as u64));
    next.terminate();
    next.end(LIMIT).await;
    seen
}

fn options() -> Options {
    Options { worker_threads: 1, deadline: Duration::from_secs(180), ..Options::default() }
}

#[test]
fn no_attempt_fails_and_each_request_is_answered_or_in_doubt() {
    harness::run_with(options(), async {
        let every = Duration::from_secs(1) / RATE;
        let plan = |number, url| Plan { url, number, every, publishes: false, subscribes: false };
        let seen = replace_under_load(&["--shards", "2"], plan).await;
        let answers: usize = seen.iter().map(|seen| seen.answers).sum();
        let in_doubt: usize = seen.iter().map(|seen| seen.in_doubt.len()).sum();
        println!("{answers} answers; {in_doubt} requests were in doubt and asked again");
        assert!(seen.iter().all(|seen| seen.answers > 0));
    });
}

#[test]
fn with_a_broker_nothing_that_is_published_in_between_is_lost() {
    harness::run_with(options(), async {
        let Some(redis) = server::Server::start(&[]).await else { return };
        let every = Duration::from_secs(1) / RATE * PUBLISHERS as u32;
        let plan =
            |number, url| Plan { url, number, every, publishes: number < PUBLISHERS, subscribes: true };
        let seen = replace_under_load(&["--redis", &redis.url()], plan).await;
        let news = &seen[0].news;
        for (number, other) in seen.iter().enumerate() {
            assert_eq!(&other.news, news, "client {number} has the same in the same order");
        }
        let (mut published, mut in_doubt) = (0, 0);
        for publisher in &seen[..PUBLISHERS] {
            published += publisher.published.len();
            in_doubt += publisher.in_doubt.len();
            for text in &publisher.published {
                assert_eq!(news.iter().filter(|news| *news == text).count(), 1, "{text}");
            }
        }
        println!("{published} publications, and {in_doubt} in doubt");
        assert!((published + 1..=published + in_doubt + 1).contains(&news.len()), "{}", news.len());
        drop(redis);
    });
}
