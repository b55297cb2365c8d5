//! A process that has no descriptors left.

use crate::leak::open_descriptors;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

/// Takes all descriptors that there are, and gives them back when it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Exhausted {
    files: Vec<File>,
    limit: Rlimit,
}

impl Exhausted {
    /// None are left.
    ///
    /// # Panics
    /// When the limit cannot be set.
    #[expect(clippy::new_without_default, reason = "it does something to the whole process")]
    pub fn new() -> Self {
        let limit = getrlimit(Resource::Nofile);
        // Not all that the system would give: that takes too long.
        let few = open_descriptors().keys().max().copied().unwrap_or(0) + 32;
        setrlimit(Resource::Nofile, Rlimit { current: Some(few.into()), ..limit }).expect("a lower limit");
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }
        Self { files, limit }
    }

    /// Room for one.
    ///
    /// # Panics
    /// When all are given already.
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
