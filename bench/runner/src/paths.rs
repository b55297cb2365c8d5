//! The paths of the benchmark's files.

use std::path::{Path, PathBuf};

/// The builds of our server that the command line names.
#[derive(Debug)]
pub(crate) struct Builds {
    /// Our server, if it is not in the folder in which `run.sh` builds it.
    pub(crate) ours: Option<PathBuf>,
    /// Another build of our server, to compare with.
    pub(crate) before: Option<PathBuf>,
}

/// The folder of the benchmark.
pub(crate) fn bench_folder() -> PathBuf {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR"));
    runner.parent().unwrap_or(runner).to_owned()
}
