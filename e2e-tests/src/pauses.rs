//! For tests of a peer that keeps to a deadline, such as one that sends within the idle timeout.
//!
//! A test cannot promise that: the machine may stand still for longer than the deadline. So a task that only sleeps
//! measures how long the test's thread did not run ([`Pauses`]). A connection that is given up after such pauses ends as
//! it must, and [`within`] runs the test again with twice the deadline. A connection that is given up without them
//! fails the test. The time that the test waits for its peer is no pause.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the measuring task sleeps.
const TICK: Duration = Duration::from_millis(2);

/// How often a test may run: the last time with 32 times the first deadline.
const ROUNDS: u32 = 6;

/// Measures, until it is dropped, when the thread of the test's runtime does not run. It has to begin before
/// the deadline can. It sees a process that is stopped, a thread that gets no processor, and a task that blocks the
/// thread.
#[derive(Debug)]
pub struct Pauses {
    measured: Arc<Mutex<Measured>>,
    ticker: JoinHandle<()>,
}

#[derive(Debug)]
struct Measured {
    /// When the task ran last.
    last: Instant,
    pauses: Vec<Pause>,
}

#[derive(Debug)]
struct Pause {
    start: Instant,
    length: Duration,
}

impl Pauses {
    /// Begins to measure.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn begin() -> Self {
        let measured = Arc::new(Mutex::new(Measured { last: Instant::now(), pauses: Vec::new() }));
        let shared = Arc::clone(&measured);
        let ticker = tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                shared.lock().expect("no panic under the lock").tick(Instant::now());
            }
        });
        Self { measured, ticker }
    }

    /// Checks that the machine can have missed a deadline: pauses in the time of one deadline took half of it. Half is
    /// enough, because the server's clock is coarse, and the work between the pauses also takes time.
    ///
    /// # Panics
    /// When the pauses were shorter.
    pub fn assert_missed(&self, deadline: Duration) {
        let longest = {
            let mut measured = self.measured.lock().expect("no panic under the lock");
            // The current pause may not be over for the task.
            measured.tick(Instant::now());
            measured.longest_within(deadline)
        };
        assert!(longest >= deadline / 2, "it ended after pauses of only {longest:?} within {deadline:?}");
        println!("pauses of {longest:?} within {deadline:?}");
    }
}

impl Drop for Pauses {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

impl Measured {
    fn tick(&mut self, now: Instant) {
        // A sleep may take one tick longer.
        let length = (now - self.last).saturating_sub(2 * TICK);
        if !length.is_zero() {
            self.pauses.push(Pause { start: self.last, length });
        }
        self.last = now;
    }

    /// The most that pauses took together, with less than `deadline` of other time between them.
    fn longest_within(&self, deadline: Duration) -> Duration {
        let from = |first: usize| {
            let mut sum = Duration::ZERO;
            for pause in &self.pauses[first..] {
                if pause.start - self.pauses[first].start >= sum + deadline {
                    break;
                }
                sum += pause.length;
            }
            sum
        };
        (0..self.pauses.len()).map(from).max().unwrap_or_default()
    }
}

/// Runs `test` with a deadline. If it returns false, the machine has missed the deadline, and the test runs again with
/// twice as much.
///
/// # Panics
/// When it has returned false six times.
pub async fn within(mut deadline: Duration, test: impl AsyncFn(Duration) -> bool) {
    for _ in 0..ROUNDS {
        if test(deadline).await {
            return;
        }
        println!("this machine has missed a deadline of {deadline:?}");
        deadline *= 2;
    }
    panic!("this machine has missed {ROUNDS} deadlines, the last one of {:?}", deadline / 2);
}

/// Runs `test`, which returns how long it took, until it takes less than `limit`. A limit below an option's default
/// shows that the value that was set is in effect.
///
/// # Panics
/// When it has taken longer six times.
pub async fn takes_less_than(limit: Duration, mut test: impl AsyncFnMut() -> Duration) {
    for _ in 0..ROUNDS {
        let took = test().await;
        if took < limit {
            return;
        }
        println!("it took {took:?} instead of less than {limit:?}");
    }
    panic!("it took longer than {limit:?} {ROUNDS} times");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const DEADLINE: Duration = Duration::from_millis(100);

    fn is_missed(pauses: &Pauses, deadline: Duration) -> bool {
        catch_unwind(AssertUnwindSafe(|| pauses.assert_missed(deadline))).is_ok()
    }

    fn measured(pauses: &[(u64, u64)]) -> Measured {
        let begin = Instant::now();
        let millis = Duration::from_millis;
        let pause =
            |(start, length): &(u64, u64)| Pause { start: begin + millis(*start), length: millis(*length) };
        Measured { last: begin, pauses: pauses.iter().map(pause).collect() }
    }

    #[test]
    fn a_wait_is_no_pause() {
        let options = harness::Options { allow_panics: true, ..harness::Options::default() };
        let waits = within(DEADLINE, async |deadline| {
            let pauses = Pauses::begin();
            tokio::time::sleep(2 * deadline).await;
            !is_missed(&pauses, deadline)
        });
        harness::run_with(options, waits);
    }

    #[test]
    fn a_thread_that_does_not_run_pauses() {
        harness::run(async {
            let pauses = Pauses::begin();
            tokio::time::sleep(TICK).await;
            std::thread::sleep(DEADLINE);
            assert!(is_missed(&pauses, DEADLINE), "the pause is not over for the task");
            tokio::time::sleep(2 * TICK).await;
            assert!(is_missed(&pauses, DEADLINE), "it is over");
        });
    }

    #[test]
    fn pauses_count_together_within_a_deadline() {
        assert_eq!(measured(&[]).longest_within(DEADLINE), Duration::ZERO);
        // 30 ms between the pauses.
        let near = measured(&[(0, 20), (50, 20), (100, 20)]);
        assert_eq!(near.longest_within(DEADLINE), Duration::from_millis(60));
        let far = measured(&[(0, 20), (200, 30), (400, 20)]);
        assert_eq!(far.longest_within(DEADLINE), Duration::from_millis(30));
    }

    #[test]
    fn a_test_runs_at_most_six_times_each_with_twice_the_deadline() {
        harness::run(async {
            let seen = Cell::new(Duration::ZERO);
            within(DEADLINE, async |deadline| {
                seen.set(deadline);
                deadline > 3 * DEADLINE
            })
            .await;
            assert_eq!(seen.get(), 4 * DEADLINE);
        });
        let never = async { within(DEADLINE, async |_| false).await };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(never))).expect_err("it gives up");
        let slow = async { takes_less_than(DEADLINE, async || DEADLINE).await };
        catch_unwind(AssertUnwindSafe(|| runtime.block_on(slow))).expect_err("it gives up");
    }
}
