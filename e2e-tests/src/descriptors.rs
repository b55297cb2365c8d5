//! Uses up the file descriptors of the process.

use crate::leak::open_descriptors;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

/// Holds all file descriptors that the process may open. Dropping it closes them and restores the limit.
#[derive(Debug)]
#[must_use]
pub struct Exhausted {
    files: Vec<File>,
    limit: Rlimit,
}

impl Exhausted {
    /// Lowers the limit and opens files until no descriptor is free.
    ///
    /// # Panics
    /// When the limit cannot be set.
    #[expect(clippy::new_without_default, reason = "it changes the whole process")]
    pub fn new() -> Self {
        let limit = getrlimit(Resource::Nofile);
        // Using up the system's own limit would take too long.
        let few = open_descriptors().keys().max().copied().unwrap_or(0) + 32;
        setrlimit(Resource::Nofile, Rlimit { current: Some(few.into()), ..limit }).expect("a lower limit");
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        Self { files, limit }
    }

    /// Frees one descriptor.
    ///
    /// # Panics
    /// When all are free already.
    pub fn give_one(&mut self) {
        self.files.pop().expect("some were free");
    }
}

impl Drop for Exhausted {
    fn drop(&mut self) {
        self.files.clear();
        setrlimit(Resource::Nofile, self.limit).expect("what it was before");
    }
}
