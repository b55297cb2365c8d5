//! Ends the process when a test blocks its runtime, because then no timer of that runtime can fire.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// The exit status of a failed Rust test.
const FAILED: i32 = 101;

/// Watches until it is dropped. Its limit is longer than the other deadlines of the harness, so those report first.
pub(super) struct Watchdog {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(super) fn start(limit: Duration) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            if stopped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("the test blocks its thread; {limit:?} passed");
                std::process::exit(FAILED);
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread cannot panic and ends as soon as the channel is closed.
            let _ = thread.join();
        }
    }
}
