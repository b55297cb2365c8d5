//! For tests of a peer that keeps to a deadline of the server's, such as one that sends within the idle timeout.
//!
//! A test cannot promise that: the machine may stand still for longer than the deadline. So it measures its own
//! pauses. A connection that ends after a pause as long as the deadline ends as it must, and the test is done again
//! with twice the deadline. One that ends without such a pause fails the test.

use std::time::{Duration, Instant};

/// The longest pause so far. It has to begin before the connection is opened.
#[derive(Debug, Clone)]
pub struct Pauses {
    since: Instant,
    longest: Duration,
}

impl Pauses {
    /// A pause begins.
    #[must_use]
    pub fn begin() -> Self {
        Self { since: Instant::now(), longest: Duration::ZERO }
    }

    /// A pause ends, and the next one begins.
    pub fn next(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.since);
        self.since = now;
    }

    /// Checks that a deadline can have passed in a pause. Half of it is enough, because the server's clock is coarse.
    ///
    /// # Panics
    /// When all pauses were shorter.
    pub fn assert_missed(mut self, deadline: Duration) {
        self.next();
        let longest = self.longest;
        assert!(longest >= deadline / 2, "it ended after pauses of at most {longest:?} of {deadline:?}");
    }
}

/// Runs `test` with a deadline. If it returns false, the machine has missed the deadline, and the test runs again with
/// twice as much.
pub async fn within(mut deadline: Duration, test: impl AsyncFn(Duration) -> bool) {
    while !test(deadline).await {
        println!("this machine has missed a deadline of {deadline:?}");
        deadline *= 2;
    }
}
