//! Runs one end-to-end test on its own runtime and checks afterwards that it left nothing behind.
//!
//! ```no_run
//! #[test]
//! fn something() {
//!     e2e_tests::harness::run(async { /* the test */ });
//! }
//! ```
//!
//! A test passes when all of these hold:
//!
//! - its future returns within the deadline;
//! - all its tasks have ended;
//! - no descriptor and no thread is left;
//! - nothing panicked, not even a task whose handle was dropped.
//!
//! Each test runs in its own process (see [`isolated`]). The checks are therefore exact although tests run in
//! parallel, and a test may change what belongs to the process: descriptor limits, environment, signals.

mod namespace;
mod panics;
mod watchdog;

pub use crate::isolate::{isolated, on_shards};
pub use namespace::{run_in_own_network, shell};

use crate::leak::Snapshot;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};

/// How long a test may take and what it may do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The test's future has to return within this time. It only bounds a failure, so it is long enough for the
    /// slowest machine. Default: 120 s.
    pub deadline: Duration,
    /// How long tasks, threads and descriptors may take to go away after the test. It only bounds a failure.
    /// Default: 60 s.
    pub patience: Duration,
    /// Whether tasks may panic. A panic of the test's own future always fails the test. Default: `false`.
    pub allow_panics: bool,
    /// Threads for tasks in addition to the test's own. With 0, the default, all tasks run on the test's thread.
    pub worker_threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(120),
            patience: Duration::from_secs(60),
            allow_panics: false,
            worker_threads: 0,
        }
    }
}

/// Runs `test` with the default [`Options`].
///
/// # Panics
/// When one of the conditions that the [module](self) lists does not hold.
pub fn run<F: Future<Output = ()>>(test: F) {
    run_with(Options::default(), test);
}

/// Runs `test` with these options.
///
/// # Panics
/// As [`run`].
pub fn run_with<F: Future<Output = ()>>(options: Options, test: F) {
    isolated(|| {
        if let Err(failure) = run_here(options, test) {
            panic!("{failure}");
        }
    });
}

/// Runs `test` in the current process. The checks are exact only while no other test runs in it. This is for tests of
/// the harness, which look at the failure. A panic of the test's own future is passed on as a panic.
///
/// # Errors
/// The conditions that do not hold, one line each.
pub fn run_here<F: Future<Output = ()>>(options: Options, test: F) -> Result<(), String> {
    let panics = panics::Count::start();
    make_globals();
    let before = Snapshot::take();
    let watchdog = watchdog::Watchdog::start(options.deadline + 3 * options.patience);
    let outcome = on_new_runtime(options, test);
    drop(watchdog);
    outcome?;
    before
        .wait_for_clean(options.patience)
        .map_err(|leaks| format!("left behind:\n  {}", leaks.join("\n  ")))?;
    match panics.so_far() {
        0 => Ok(()),
        count if options.allow_panics => {
            println!("{count} panics, which the test allows");
            Ok(())
        }
        count => Err(format!("{count} panics outside the test's own future")),
    }
}

/// Makes what tokio keeps for the whole process. If any crate of the workspace enables tokio's `signal` feature, the
/// first runtime of a process makes a pair of sockets that is never closed.
fn make_globals() {
    drop(tokio::runtime::Builder::new_current_thread().enable_all().build());
}

fn on_new_runtime<F: Future<Output = ()>>(options: Options, test: F) -> Result<(), String> {
    let mut builder = match options.worker_threads {
        0 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = builder
        .worker_threads(options.worker_threads.max(1))
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime
        .block_on(async { timeout(options.deadline, test).await })
        .map_err(|_| format!("the deadline of {:?} passed", options.deadline))?;
    wait_for_tasks(&runtime, options.patience)
}

/// Polls the remaining tasks until they end: they may need a few more turns after the test's future returns.
fn wait_for_tasks(runtime: &Runtime, patience: Duration) -> Result<(), String> {
    let metrics = runtime.metrics();
    let deadline = Instant::now() + patience;
    runtime.block_on(async {
        while metrics.num_alive_tasks() > 0 {
            if Instant::now() >= deadline {
                return Err(format!("{} tasks are still alive", metrics.num_alive_tasks()));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::panic::catch_unwind;
    use tokio::net::{TcpListener, TcpStream};

    /// For tests that leave something behind. The short patience cannot make them pass.
    fn impatient() -> Options {
        Options { patience: Duration::from_millis(50), ..Options::default() }
    }

    /// For tests that take too long.
    fn hasty() -> Options {
        Options { deadline: Duration::from_millis(500), ..Options::default() }
    }

    fn failure(options: Options, test: impl Future<Output = ()>) -> String {
        run_here(options, test).expect_err("the harness must notice")
    }

    #[test]
    fn a_clean_test_passes() {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let task = tokio::spawn(async move { listener.accept().await.unwrap().0 });
            let client = TcpStream::connect(address).await.unwrap();
            drop((client, task.await.unwrap()));
        });
    }

    #[test]
    fn tasks_may_run_on_worker_threads() {
        run_with(Options { worker_threads: 2, ..Options::default() }, async {
            let here = std::thread::current().id();
            let there = tokio::spawn(async { std::thread::current().id() }).await.unwrap();
            assert_ne!(here, there);
        });
    }

    #[test]
    fn a_task_that_ends_a_little_later_is_no_leak() {
        run(async {
            tokio::spawn(async { sleep(Duration::from_millis(5)).await });
        });
    }

    #[test]
    fn a_blocking_thread_ends_with_the_runtime() {
        run(async { tokio::task::spawn_blocking(|| ()).await.unwrap() });
    }

    #[test]
    fn a_leaked_socket_fails_the_test() {
        isolated(|| {
            let failure = failure(impatient(), async {
                // A socket that the runtime does not close, like one in a structure that is never dropped.
                std::mem::forget(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
            });
            assert!(failure.contains("socket:[") && failure.contains("LISTEN"), "{failure}");
        });
    }

    #[test]
    fn a_task_that_never_ends_fails_the_test() {
        isolated(|| {
            let failure = failure(impatient(), async {
                tokio::spawn(pending::<()>());
            });
            assert_eq!(failure, "1 tasks are still alive");
        });
    }

    #[test]
    fn a_thread_that_never_ends_fails_the_test() {
        isolated(|| {
            let failure = failure(impatient(), async {
                std::thread::spawn(|| {
                    loop {
                        std::thread::park()
                    }
                });
            });
            assert!(failure.contains("threads instead of"), "{failure}");
        });
    }

    #[test]
    fn a_test_that_hangs_fails() {
        isolated(|| assert!(failure(hasty(), pending()).contains("deadline")));
    }

    #[test]
    fn a_test_that_blocks_its_thread_is_ended() {
        if crate::isolate::is_isolated() {
            // Without patience, so that the watchdog comes soon.
            let hasty = Options { patience: Duration::ZERO, ..hasty() };
            run_with(hasty, async { std::thread::sleep(Duration::MAX) });
        }
        let name = "harness::tests::a_test_that_blocks_its_thread_is_ended";
        let failure =
            catch_unwind(|| crate::isolate::run_again(name, &[])).expect_err("it cannot end by itself");
        let message = failure.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("blocks its thread"), "{message}");
    }

    #[test]
    fn a_panic_in_a_task_fails_the_test_unless_it_is_allowed() {
        async fn lose_a_panic() {
            let _ = tokio::spawn(async { panic!("lost") }).await;
        }
        isolated(|| {
            assert_eq!(failure(Options::default(), lose_a_panic()), "1 panics outside the test's own future");
            run_here(Options { allow_panics: true, ..Options::default() }, lose_a_panic()).unwrap();
        });
    }
}
