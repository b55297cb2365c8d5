//! Runs a test in its own network namespace.

use crate::isolate::{self, isolated};
use std::process::Command;

/// Set in the process that runs in its own namespace.
const IN_NAMESPACE: &str = "WS_E2E_NETWORK_NAMESPACE";

/// As [`run`](super::run), in a new network namespace (Linux). The test may limit the rate of the loopback interface,
/// or take it down so that a peer disappears without a FIN or RST. `setup` is a shell command that runs there first. If
/// the machine does not allow a new namespace, the test is skipped, with a line on stderr.
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
            return crate::peers::skip("this machine does not allow a new network namespace");
        }
        let Some(name) = isolate::test_name() else {
            return crate::peers::skip("a test with its own network has to be named with `--exact`");
        };
        let status = enter(&format!("{setup} && exec \"$@\""))
            .arg(binary)
            .args(["--exact", &name, "--nocapture", "--test-threads=1"])
            .env(IN_NAMESPACE, "1")
            .status()
            .expect("it could be started before");
        assert!(status.success(), "the test failed in its network namespace: {status}");
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
