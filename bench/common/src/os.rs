//! Limits, cores and `/proc` on Linux.

use std::fs;
use std::io;

/// Raises the limit of open files as far as the system lets this process.
pub fn raise_file_limit() {
    const WANTED: libc::rlim_t = 1 << 20;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for one `rlimit`.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let raised = libc::rlimit { rlim_cur: WANTED, rlim_max: WANTED.max(limit.rlim_max) };
    let hard = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // Only root may exceed the hard limit. Other users get all of it.
    // SAFETY: both point to initialised `rlimit`s that are valid during the calls.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) != 0 {
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const hard);
        }
    }
}

/// The number of files that this process may have open.
pub fn file_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid place for one `rlimit`.
    let status = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if status == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 0 }
}

/// Binds the calling thread, and the threads and processes that it starts, to these cores. Does not allocate.
///
/// # Errors
/// The kernel's error, for example that there is no such core.
pub fn pin_to_cores(cores: &[usize]) -> io::Result<()> {
    // SAFETY: an all-zero `cpu_set_t` is the empty set; `CPU_SET` checks its index against the set's size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        for &core in cores {
            libc::CPU_SET(core, &mut set);
        }
        set
    };
    // SAFETY: `set` is initialised and its size is passed beside it.
    let status = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Another process, read from `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
}

impl Process {
    /// Nanoseconds that all its threads have spent on a core, in user space and in the kernel.
    pub fn cpu_ns(self) -> Option<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            // A thread may end while the list is being read.
            let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
            total += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
        Some(total)
    }

    /// The resident size in bytes, counted page by page. The cheaper counters in `status` are estimates.
    pub fn resident_bytes(self) -> Option<u64> {
        field(&format!("/proc/{}/smaps_rollup", self.pid), "Rss:").map(|kib| kib * 1024)
    }

    /// The peak of the resident size in bytes.
    pub fn peak_resident_bytes(self) -> Option<u64> {
        field(&format!("/proc/{}/status", self.pid), "VmHWM:").map(|kib| kib * 1024)
    }

    /// The number of its open descriptors.
    pub fn open_files(self) -> Option<usize> {
        Some(fs::read_dir(format!("/proc/{}/fd", self.pid)).ok()?.count())
    }
}

fn field(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Process;

    #[test]
    fn sees_this_process() {
        let process = Process { pid: std::process::id() };
        let before = process.cpu_ns().expect("schedstat");
        let resident = process.resident_bytes().expect("smaps_rollup");
        assert!(process.peak_resident_bytes().expect("status") >= resident / 2);
        assert!(process.open_files().expect("fd") >= 3);
        while process.cpu_ns().expect("schedstat") == before {}
    }
}
