//! Gives a test a process of its own.

use std::io::Write;
use std::process::{Command, Output, Stdio};

/// Set in the processes that this module starts.
const ISOLATED: &str = "WS_E2E_ISOLATED";

/// Printed at the end: without it, a process that ran no test at all would look like one whose test passed.
const COMPLETED: &str = "the isolated test ran to its end";

/// Set where servers run on threads of their own, which is another engine than a task for each connection.
const ON_SHARDS: &str = "WS_E2E_ON_SHARDS";

/// Printed by a test that could as well run on shards; it is run once more, there.
const COULD_RUN_ON_SHARDS: &str = "connections run in a task each";

/// A line that starts so is shown even when the test passes; see [`crate::peers::skip`].
pub(crate) const SKIPPED: &str = "skipped: ";

/// Runs the body of a `#[test]` in a process in which nothing else runs.
///
/// Cargo's test runner puts the tests of a file on threads of one process; descriptors, threads and memory are
/// counted per process. So this starts the same test binary once more, with this one test on its main thread, and
/// takes over the result and the output. Where the test already is on the main thread (`--test-threads=1`) nothing
/// runs beside it, and the body simply runs. A test whose server could run on either engine is run twice.
///
/// `#[should_panic]` does not go together with this: let the body look at an error value instead.
///
/// # Panics
/// When the test fails there.
pub fn isolated(body: impl FnOnce()) {
    if alone() {
        body();
        println!("{COMPLETED}");
    } else {
        // The runner names the thread of a test after the test.
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let stdout = run_again(&name, &[]);
        if stdout.contains(COULD_RUN_ON_SHARDS) {
            println!("once more, on shards");
            run_again(&name, &[ON_SHARDS]);
        }
    }
}

/// Whether the server that a test runs should be on shards; says that it could be, so that the test is run again.
#[must_use]
pub fn on_shards() -> bool {
    let on_shards = std::env::var_os(ON_SHARDS).is_some();
    if !on_shards {
        println!("{COULD_RUN_ON_SHARDS}");
    }
    on_shards
}

fn alone() -> bool {
    std::thread::current().name() == Some("main") || is_isolated()
}

/// The one test that this process was started for, if it is one.
pub(crate) fn test_name() -> Option<String> {
    std::env::args().skip_while(|argument| argument != "--exact").nth(1)
}

/// Whether this is one of the processes that this module starts.
pub(crate) fn is_isolated() -> bool {
    std::env::var_os(ISOLATED).is_some()
}

/// Runs the test of that name in another process and takes over its failure and its output, which it returns.
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
        // Past the runner's capture, which swallows the output of tests that pass.
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
        assert_eq!(ran_here.get(), alone());
    }

    #[test]
    fn a_failure_there_is_a_failure_here() {
        assert!(!is_isolated(), "on purpose");
        let failure = catch_unwind(|| run_again("isolate::tests::a_failure_there_is_a_failure_here", &[]));
        let failure = failure.expect_err("the child failed");
        let message = failure.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("on purpose"), "{message}");
    }

    #[test]
    fn a_name_that_is_no_test_is_a_failure() {
        let failure = catch_unwind(|| run_again("no such test", &[])).expect_err("no test ran");
        let message = failure.downcast_ref::<String>().expect("a formatted message");
        assert!(message.contains("running 0 tests"), "{message}");
    }
}
