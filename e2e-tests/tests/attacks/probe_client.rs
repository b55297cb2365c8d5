//! A client that does not attack. It sends small messages to an echo server and measures the time of each echo.
//!
//! Attacker, server and probe client may share two processors with other programs. Most attacks therefore alternate
//! between the probe client's server and another one on the same machine. The difference is the cost of sharing a
//! server, without the cost of sharing a machine.
//!
//! An echo may wait for one turn of another connection, which takes 10 ms at most, and the machine may take as long to
//! schedule the thread. The bound follows from that: with the attack, the p99 may be 20 % or 20 ms above the p99
//! without it, whichever is more. A ratio alone says nothing when an echo without an attack takes 50 µs. The reduced
//! scale allows 250 ms, because its builds are slow and several tests run in parallel. There, the bound also grows by
//! the p99 of the time by which the probe client's own pauses were exceeded: the machine did not run its thread then.

use crate::measure::{mark_as_attacker, spend, thread_time};
use crate::scale::scaled;
use crate::table::Row;
use crate::target_server::TargetServer;
use e2e_tests::raw_peer::{RawFrame, RequestHead, Side};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest time that a probe client waits for an echo.
const LIMIT: Duration = Duration::from_secs(30);
/// The pause between two echoes.
const PAUSE: Duration = Duration::from_millis(1);

/// A probe client on its own thread.
pub(crate) struct ProbeClient {
    shared: Arc<Shared>,
    thread: JoinHandle<Latencies>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    attacked: AtomicBool,
    echoes: AtomicUsize,
}

/// The times of the echoes, without and with the attack.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    quiet: Vec<Duration>,
    attacked: Vec<Duration>,
    /// By how much the thread's own pauses with the attack were exceeded.
    delays: Vec<Duration>,
}

impl ProbeClient {
    /// Starts a probe client on a TCP connection to an echo server.
    pub(crate) fn start(addr: SocketAddr) -> Self {
        Self::start_with(move || plain(addr))
    }

    /// Starts a probe client. `connect` runs on its thread and returns the closure that makes one echo.
    pub(crate) fn start_with<E: FnMut()>(connect: impl FnOnce() -> E + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            mark_as_attacker();
            for_thread.run(connect())
        });
        Self { shared, thread }
    }

    /// Sets whether the echoes from now on count as echoes with the attack.
    pub(crate) fn attacked(&self, attacked: bool) {
        self.shared.attacked.store(attacked, SeqCst);
    }

    /// Runs an attack in turn on `server`, which the probe client uses, and on `other`.
    pub(crate) async fn beside(
        &self,
        rounds: usize,
        other: &TargetServer,
        server: &TargetServer,
        mut attack: impl AsyncFnMut(&TargetServer),
    ) {
        for _ in 0..rounds {
            for (target, attacked) in [(other, false), (server, true)] {
                self.attacked(attacked);
                attack(target).await;
                // Enough echoes for a p99 even if the attack is short.
                self.echoes(24 / rounds + 1).await;
            }
        }
        self.attacked(false);
    }

    /// Waits until the probe client has had `count` more echoes. Other tasks run meanwhile.
    pub(crate) async fn echoes(&self, count: usize) {
        let until = self.shared.echoes.load(SeqCst) + count;
        while self.shared.echoes.load(SeqCst) < until && !self.thread.is_finished() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the probe client and returns the times.
    ///
    /// # Panics
    /// If an echo failed.
    pub(crate) fn stop(self) -> Latencies {
        self.shared.stop.store(true, SeqCst);
        self.thread.join().expect("all echoes of the probe client arrive")
    }
}

impl Shared {
    fn run(&self, mut echo: impl FnMut()) -> Latencies {
        let mut latencies = Latencies::default();
        let mut used = thread_time();
        while !self.stop.load(SeqCst) {
            let (attacked, start) = (self.attacked.load(SeqCst), Instant::now());
            echo();
            let list = if attacked { &mut latencies.attacked } else { &mut latencies.quiet };
            list.push(start.elapsed());
            self.echoes.fetch_add(1, SeqCst);
            let now = thread_time();
            spend(now - std::mem::replace(&mut used, now));
            let pause = Instant::now();
            std::thread::sleep(PAUSE);
            if attacked {
                latencies.delays.push(pause.elapsed().saturating_sub(PAUSE));
            }
        }
        latencies
    }
}

/// Opens a connection and returns a closure that makes one echo on it.
fn plain(addr: SocketAddr) -> impl FnMut() {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(&RequestHead::new(addr, "/").to_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let frame = RawFrame::text("a small message");
    let (request, expected) = (frame.encode(Side::Client), frame.encode(Side::Server));
    let mut reply = vec![0; expected.len()];
    move || {
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, expected);
    }
}

impl Latencies {
    /// Adds a line that compares the p99 with its bound.
    pub(crate) fn check(self, row: &Row, part: &str) {
        self.check_turns(row, part, 1);
    }

    /// The same with `turns` attackers, each of which may have one turn of 10 ms before the echo.
    pub(crate) fn check_turns(mut self, row: &Row, part: &str, turns: u64) {
        let (quiet, attacked) = (p99(&mut self.quiet), p99(&mut self.attacked));
        let margin = scaled(
            Duration::from_millis(10 * (turns + 1)),
            Duration::from_millis(250) + p99(&mut self.delays),
        );
        let bound = quiet.mul_f64(1.2).max(quiet + margin);
        let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
        row.line(
            part,
            format!("p99 {}, {} without", millis(attacked), millis(quiet)),
            format!("≤ {}", millis(bound)),
            attacked <= bound,
        );
    }
}

fn p99(latencies: &mut [Duration]) -> Duration {
    assert!(latencies.len() >= 20, "{} echoes are too few for a p99", latencies.len());
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}
