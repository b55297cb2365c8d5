//! Finds descriptors and threads that outlive the code that made them.
//!
//! The kernel counts descriptors per process, so the answer is exact only while nothing else in the process opens
//! or closes any. [`crate::harness`] therefore runs each test in its own process.
//!
//! A descriptor is leaked when its number is open now and was not open before, or when it now stands for another file.
//! That covers sockets and also the `epoll` and `eventfd` descriptors of a runtime that was not shut down.

mod sockets;

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The open descriptors of this process: the number and the file behind it (`socket:[12345]`, a path …).
///
/// Empty on systems without `/proc`. The leak check finds nothing there.
pub fn open_descriptors() -> BTreeMap<u32, String> {
    // The listing itself needs a descriptor. It is closed when this function returns.
    let listing = format!("/proc/{}/fd", std::process::id());
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            (target != listing).then_some((number, target))
        })
        .collect()
}

/// How many threads this process has; 0 on systems without `/proc`.
pub fn thread_count() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// The descriptors and threads of the process at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    descriptors: BTreeMap<u32, String>,
    threads: usize,
}

impl Snapshot {
    /// Takes a snapshot.
    pub fn take() -> Self {
        Self { descriptors: open_descriptors(), threads: thread_count() }
    }

    /// How many descriptors were open.
    pub fn descriptor_count(&self) -> usize {
        self.descriptors.len()
    }

    /// One line for each descriptor that was opened since the snapshot, and one if there are more threads. Empty: no
    /// leak.
    pub fn leaks(&self) -> Vec<String> {
        let now = open_descriptors();
        let mut leaks: Vec<String> = now
            .iter()
            .filter(|(number, target)| self.descriptors.get(number) != Some(target))
            .map(|(number, target)| format!("descriptor {number}: {}", sockets::describe(target)))
            .collect();
        let threads = thread_count();
        if threads > self.threads {
            leaks.push(format!("{} threads instead of {}", threads, self.threads));
        }
        leaks
    }

    /// Waits until there is no leak. The kernel lists a joined thread, for example, for a moment longer.
    ///
    /// # Errors
    /// The leaks that are left after `patience`.
    pub fn wait_for_clean(&self, patience: Duration) -> Result<(), Vec<String>> {
        let deadline = Instant::now() + patience;
        loop {
            let leaks = self.leaks();
            if leaks.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(leaks);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::isolate::isolated;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn standard_streams_are_counted() {
        isolated(|| assert!(Snapshot::take().descriptor_count() >= 3));
    }

    #[test]
    fn nothing_opened_is_no_leak() {
        isolated(|| assert_eq!(Snapshot::take().leaks(), Vec::<String>::new()));
    }

    #[test]
    fn one_open_socket_is_a_leak_until_it_is_closed() {
        isolated(|| {
            let before = Snapshot::take();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let leaks = before.leaks();
            assert_eq!(leaks.len(), 1, "{leaks:?}");
            let address = listener.local_addr().unwrap().to_string();
            assert!(leaks[0].contains(&address), "the report names the address {address}: {leaks:?}");
            drop(listener);
            assert_eq!(before.leaks(), Vec::<String>::new());
        });
    }

    #[test]
    fn a_number_that_is_used_again_for_another_socket_is_a_leak() {
        isolated(|| {
            let first = TcpListener::bind("127.0.0.1:0").unwrap();
            let before = Snapshot::take();
            drop(first);
            let _second = TcpListener::bind("127.0.0.1:0").unwrap();
            assert_eq!(open_descriptors().len(), before.descriptor_count(), "the count alone sees nothing");
            assert_eq!(before.leaks().len(), 1);
        });
    }

    #[test]
    fn both_ends_of_a_connection_are_found() {
        isolated(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let before = Snapshot::take();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = listener.accept().unwrap().0;
            assert_eq!(before.leaks().len(), 2);
            drop((client, server));
            assert_eq!(before.leaks(), Vec::<String>::new());
        });
    }

    #[test]
    fn a_thread_is_a_leak_until_it_ends() {
        isolated(|| {
            let before = Snapshot::take();
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let thread = std::thread::spawn(move || stopped.recv());
            assert_eq!(before.leaks().len(), 1);
            drop(stop);
            let _ = thread.join().unwrap();
            before.wait_for_clean(Duration::from_secs(5)).unwrap();
        });
    }
}
