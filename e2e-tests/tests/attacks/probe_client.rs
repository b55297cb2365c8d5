//! Somebody who is served while others attack: a small echo, again and again, each timed.
//!
//! Attacker, server and mouse may have to share two processors, with other programs. So most attacks go in turn to the
//! mouse's server and to another one: what differs then is what sharing a server costs, and not what sharing a machine
//! does. What the server owes a mouse is that it waits for no more than a turn of somebody else's, which takes 10 ms at
//! most, and the machine may take as long to let it run. That is the bound: its slowest hundredth may be a fifth, or
//! those 20 ms, slower beside the attack than without. A ratio alone would say nothing where a quiet echo takes 50 µs. The reduced scale, whose builds are slow and
//! run beside others, allows a quarter of a second.

use crate::measure::{on_the_outside, spend, thread_time};
use crate::scale::scaled;
use crate::table::Row;
use crate::victim::Victim;
use e2e_tests::raw_peer::{RawFrame, RequestHead, Side};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Nothing that a mouse waits for takes so long.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two echoes.
const PAUSE: Duration = Duration::from_millis(1);

/// A mouse on a thread of its own.
pub(crate) struct Mouse {
    shared: Arc<Shared>,
    thread: JoinHandle<Latencies>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    attacked: AtomicBool,
    echoes: AtomicUsize,
}

/// How long echoes took.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    quiet: Vec<Duration>,
    attacked: Vec<Duration>,
}

impl Mouse {
    /// A mouse on a plain connection to an echo server.
    pub(crate) fn start(addr: SocketAddr) -> Self {
        Self::start_with(move || plain(addr))
    }

    /// `connect` makes what does one echo; it runs on the mouse's thread.
    pub(crate) fn start_with<E: FnMut()>(connect: impl FnOnce() -> E + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let for_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            on_the_outside();
            for_thread.run(connect())
        });
        Self { shared, thread }
    }

    /// Says whether what is timed from now on is beside the attack.
    pub(crate) fn attacked(&self, attacked: bool) {
        self.shared.attacked.store(attacked, SeqCst);
    }

    /// Runs an attack on `server`, which is the mouse's, in turn with the same on `other`.
    pub(crate) async fn beside(
        &self,
        rounds: usize,
        other: &Victim,
        server: &Victim,
        mut attack: impl AsyncFnMut(&Victim),
    ) {
        for _ in 0..rounds {
            for (target, attacked) in [(other, false), (server, true)] {
                self.attacked(attacked);
                attack(target).await;
                // Enough to say something, where the attack is short.
                self.echoes(24 / rounds + 1).await;
            }
        }
        self.attacked(false);
    }

    /// Waits, in turns with everything else here, until the mouse had so many more echoes.
    pub(crate) async fn echoes(&self, count: usize) {
        let until = self.shared.echoes.load(SeqCst) + count;
        while self.shared.echoes.load(SeqCst) < until && !self.thread.is_finished() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// # Panics
    /// If the mouse was not served.
    pub(crate) fn stop(self) -> Latencies {
        self.shared.stop.store(true, SeqCst);
        self.thread.join().expect("the mouse was served all the time")
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
            std::thread::sleep(PAUSE);
        }
        latencies
    }
}

/// One echo on a connection that is opened first.
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
    let frame = RawFrame::text("a mouse is here too");
    let (request, expected) = (frame.encode(Side::Client), frame.encode(Side::Server));
    let mut reply = vec![0; expected.len()];
    move || {
        stream.write_all(&request).unwrap();
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(reply, expected);
    }
}

impl Latencies {
    /// A line that holds the slowest hundredth against the bound.
    pub(crate) fn check(self, row: &Row, part: &str) {
        self.check_turns(row, part, 1);
    }

    /// The same, beside so many attackers, each of whom may have a turn before the mouse has.
    pub(crate) fn check_turns(mut self, row: &Row, part: &str, turns: u64) {
        let (quiet, attacked) = (p99(&mut self.quiet), p99(&mut self.attacked));
        let margin = Duration::from_millis(scaled(10 * (turns + 1), 250));
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
    assert!(latencies.len() >= 20, "{} echoes say nothing", latencies.len());
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}
