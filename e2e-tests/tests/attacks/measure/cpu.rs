//! Processor time. Unlike elapsed time, it does not include the time of other programs on the machine.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Processor time of the attacker's other threads; see [`spend`].
static SPENT: AtomicU64 = AtomicU64::new(0);

/// Processor time of the server's threads since a starting point. It is the process's time, minus that of the current
/// thread, which is the attacker's, and minus the time that other threads have reported with [`spend`].
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

/// Reports processor time of a thread of the attacker.
pub(crate) fn spend(time: Duration) {
    SPENT.fetch_add(nanos(time), Relaxed);
}

/// The processor time of this thread so far.
pub(crate) fn thread_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// The time in microseconds.
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
