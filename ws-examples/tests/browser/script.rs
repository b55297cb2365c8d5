//! Scripts of this folder, which use Chromium.

use std::{path::Path, time::Duration};

use e2e_tests::{
    harness::{self, Options},
    peers::{Child, Peer},
};

/// Starts a script. `None` without a browser.
pub(crate) fn script(name: &str, options: &[&str]) -> Option<Child> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name);
    Some(Peer::Chromium.find()?.script(&script, options))
}

/// Runs a test. A browser may take long to start.
pub(crate) fn run(test: impl Future<Output = ()>) {
    harness::run_with(Options { deadline: Duration::from_secs(100), ..Options::default() }, test);
}
