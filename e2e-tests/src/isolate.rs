//! Runs each test in its own process.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Set in the processes that this module starts.
const ISOLATED: &str = "WS_E2E_ISOLATED";

/// Printed at the end of a test. A process that runs no test also ends with status 0, but does not print this.
const COMPLETED: &str = "the isolated test ran to its end";

/// Set in a process whose servers run on shards. Without it, each connection has a tokio task.
const ON_SHARDS: &str = "WS_E2E_ON_SHARDS";

/// Printed by a test whose server can also run on shards. The test then runs again, on shards.
const COULD_RUN_ON_SHARDS: &str = "connections run in a task each";

/// A line with this prefix is shown even when the test passes; see [`crate::peers::skip`].
pub(crate) const SKIPPED: &str = "skipped: ";

/// Runs the body of a `#[test]` in a process in which no other test runs.
///
/// Cargo's test runner runs the tests of a binary on threads of one process. Descriptors, threads and memory are
/// counted per process. This function therefore starts the test binary again with this one test, and takes over its
/// result and its output. A test whose server can run on both engines runs twice: on tokio tasks, then on shards.
///
/// With `WS_E2E_ISOLATED=1` in the environment, which this function sets in the processes that it starts, the body
/// runs in the current process. To debug a test, set the variable by hand and run that test alone.
///
/// `#[should_panic]` does not work with this: the body has to check an error value instead.
///
/// # Panics
/// When the test fails in its process.
pub fn isolated(body: impl FnOnce()) {
    if is_isolated() {
        body();
        println!("{COMPLETED}");
    } else {
        // The test runner gives a test's thread the name of the test.
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let stdout = run_again(&name, &[]);
        if stdout.contains(COULD_RUN_ON_SHARDS) {
            println!("once more, on shards");
            run_again(&name, &[ON_SHARDS]);
        }
    }
}

/// Whether a test's server is to run on shards. If not, prints that it could, so that the test runs again on shards.
#[must_use]
pub fn on_shards() -> bool {
    let on_shards = std::env::var_os(ON_SHARDS).is_some();
    if !on_shards {
        println!("{COULD_RUN_ON_SHARDS}");
    }
    on_shards
}

/// The name of the test that this process was started for, or `None` if it runs several tests.
pub(crate) fn test_name() -> Option<String> {
    std::env::args().skip_while(|argument| argument != "--exact").nth(1)
}

/// Whether this is one of the processes that this module starts.
pub(crate) fn is_isolated() -> bool {
    std::env::var_os(ISOLATED).is_some()
}

/// Runs the test `name` in another process with these variables set, prints its output, and returns its stdout.
///
/// # Panics
/// When the test fails, or does not exist.
pub(crate) fn run_again(name: &str, flags: &[&str]) -> String {
    let binary = std::env::current_exe().expect("a test knows its binary");
    let output = Command::new(binary)
        .args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(ISOLATED, "1")
        .envs(flags.iter().map(|flag| (flag, "1")))
        .stdin(Stdio::null())
        .output()
        .expect("the test binary starts");
    let (stdout, stderr) = text(&output);
    assert!(
        output.status.success() && stdout.contains(COMPLETED),
        "the isolated test failed ({}):\n{stdout}\n{stderr}",
        output.status
    );
    print!("{stdout}");
    eprint!("{stderr}");
    for line in stderr.lines().filter(|line| line.starts_with(SKIPPED)) {
        // Not `eprintln!`: the test runner captures it and does not show it when the test passes.
        let _ = writeln!(std::io::stderr(), "{name} {line}");
    }
    stdout
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::catch_unwind;

    #[test]
    fn the_body_runs_in_another_process() {
        let ran_here = Cell::new(false);
        isolated(|| ran_here.set(true));
        assert_eq!(ran_here.get(), is_isolated());
    }

    #[test]
    fn a_failure_in_the_child_process_fails_the_test() {
        assert!(!is_isolated(), "on purpose");
        let failure =
            catch_unwind(|| run_again("isolate::tests::a_failure_in_the_child_process_fails_the_test", &[]));
        let failure = failure.expect_err("the child failed");
        let message = failure.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("on purpose"), "{message}");
    }

    #[test]
    fn a_name_without_a_test_fails() {
        let failure = catch_unwind(|| run_again("no such test", &[])).expect_err("no test ran");
        let message = failure.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("running 0 tests"), "{message}");
    }
}
