//! A network of a test's own.

use crate::isolate::{self, isolated};
use std::process::Command;

/// Set in the process that has one.
const IN_NAMESPACE: &str = "WS_E2E_NETWORK_NAMESPACE";

/// As [`run`](super::run), in a network namespace of the test's own (Linux): it may limit the loopback interface's rate, or
/// take it down, so that peers vanish without a word. `setup` is a shell command that is run there first. Where the kernel
/// or the machine does not allow that, the test is skipped, and says so.
///
/// # Panics
/// When the test fails.
pub fn run_in_own_network<F: Future<Output = ()>>(setup: &str, test: F) {
    if std::env::var_os(IN_NAMESPACE).is_some() {
        return super::run(test);
    }
    isolated(|| {
        let binary = std::env::current_exe().expect("a test knows its binary");
        let enter = |command: &str| {
            let mut unshare = Command::new("unshare");
            unshare.args(["--map-root-user", "--net", "sh", "-c", command, "sh"]);
            unshare
        };
        if !enter(setup).output().is_ok_and(|output| output.status.success()) {
            return crate::peers::skip("no network namespace can be made here");
        }
        let Some(name) = isolate::test_name() else {
            return crate::peers::skip("a test in a network of its own needs a process of its own");
        };
        let status = enter(&format!("{setup} && exec \"$@\""))
            .arg(binary)
            .args(["--exact", &name, "--nocapture", "--test-threads=1"])
            .env(IN_NAMESPACE, "1")
            .status()
            .expect("it could be started before");
        assert!(status.success(), "the test failed in its own network: {status}");
    });
}

/// Runs a shell command, such as `ip link set lo down`.
///
/// # Panics
/// When it fails.
pub fn shell(command: &str) {
    let status = Command::new("sh").args(["-c", command]).status().expect("a shell");
    assert!(status.success(), "{command}: {status}");
}
