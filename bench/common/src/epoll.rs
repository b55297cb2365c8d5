//! A thin, level-triggered epoll: the load generator and the raw floor must not depend on the runtime they are compared with.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What one call of [`Epoll::wait`] can report at most.
const EVENTS: usize = 1024;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the peer's end.
    Read,
    /// Room to write.
    Write,
    /// Both.
    Both,
}

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Self::Read => libc::EPOLLIN,
            Self::Write => libc::EPOLLOUT,
            Self::Both => libc::EPOLLIN | libc::EPOLLOUT,
        };
        bits.cast_unsigned()
    }
}

/// One report.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What was given when the descriptor was added.
    pub token: u64,
    /// There is something to read (bytes, an end or an error).
    pub readable: bool,
    /// There is room to write, or an error to fetch.
    pub writable: bool,
}

/// An epoll descriptor and the place for its reports.
#[derive(Debug)]
pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// A new, empty set.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Starts watching.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add(&self, descriptor: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, token, interest)
    }

    /// Watches for something else.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn modify(&self, descriptor: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, token, interest)
    }

    fn control(
        &self,
        what: i32,
        descriptor: &impl AsRawFd,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: `event` lives through the call; a closed descriptor would only be an error.
        let status = unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), what, descriptor.as_raw_fd(), &raw mut event)
        };
        check(status).map(drop)
    }

    /// Waits for reports and returns how many there are; a signal or the end of the time gives none.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&mut self, timeout_ms: i32) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `EVENTS` elements, which is the vector's length.
        let count = unsafe {
            let place = self.events.as_mut_ptr();
            libc::epoll_wait(self.descriptor.as_raw_fd(), place, EVENTS as i32, timeout_ms)
        };
        match check(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            other => other.map(|count| usize::try_from(count).unwrap_or(0)),
        }
    }

    /// The report of that index, below what the last [`Epoll::wait`] returned.
    pub fn event(&self, index: usize) -> Event {
        const FAILED: i32 = libc::EPOLLERR | libc::EPOLLHUP;
        let libc::epoll_event { events, u64: token } = self.events[index];
        let has = |bits: i32| events & (bits | FAILED).cast_unsigned() != 0;
        Event { token, readable: has(libc::EPOLLIN), writable: has(libc::EPOLLOUT) }
    }
}

fn check(status: i32) -> io::Result<i32> {
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}
