//! Processor time, which another program on the same machine does not use up, as it does with the time of day.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What threads of the outside have used, beside the test's own; see [`spend`].
static SPENT: AtomicU64 = AtomicU64::new(0);

/// Processor time of the server's threads from one moment on: the process's without that of the thread that asks, which
/// is the attacker's, and of others that [`spend`] theirs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpu(Duration);

impl Cpu {
    pub(crate) fn start() -> Self {
        Self(servers_time())
    }

    pub(crate) fn elapsed(self) -> Duration {
        servers_time().saturating_sub(self.0)
    }
}

/// Says that a thread of the outside has used so much.
pub(crate) fn spend(time: Duration) {
    SPENT.fetch_add(nanos(time), Relaxed);
}

/// What this thread has used so far.
pub(crate) fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// In microseconds, for the table.
pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn servers_time() -> Duration {
    let outside = thread_time() + Duration::from_nanos(SPENT.load(Relaxed));
    read(ClockId::ProcessCPUTime).saturating_sub(outside)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[test]
fn a_busy_server_is_seen_and_a_busy_attacker_is_not() {
    e2e_tests::harness::isolated(|| {
        let busy = || {
            let start = thread_time();
            while thread_time() - start < Duration::from_millis(20) {}
        };
        let cpu = Cpu::start();
        busy();
        assert!(cpu.elapsed() < Duration::from_millis(10), "{:?}", cpu.elapsed());
        std::thread::spawn(busy).join().unwrap();
        assert!(cpu.elapsed() >= Duration::from_millis(20), "{:?}", cpu.elapsed());
    });
}
