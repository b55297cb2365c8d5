//! A thin, level-triggered epoll. The load generator and the raw floor must not depend on the runtimes that they are
//! compared with.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// The maximum number of events of one call of [`Epoll::wait`].
const EVENTS: usize = 1024;

/// The events to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of the stream.
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

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// The token that was given when the descriptor was added.
    pub token: u64,
    /// There are bytes, an end of the stream or an error to read.
    pub readable: bool,
    /// There is room to write, or an error to fetch.
    pub writable: bool,
}

/// An epoll descriptor and the buffer for its events.
#[derive(Debug)]
pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// A new, empty set.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let raw = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just returned this descriptor, so nothing else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS] })
    }

    /// Adds a descriptor.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn add(&self, descriptor: &impl AsRawFd, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, token, interest)
    }

    /// Changes the events of a descriptor.
    ///
    /// # Errors
    /// The kernel's error.
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
        // SAFETY: `event` is valid during the call. A closed descriptor would only be an error.
        let status = unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), what, descriptor.as_raw_fd(), &raw mut event)
        };
        check(status).map(drop)
    }

    /// Waits for events and returns their number. A signal or the timeout gives 0.
    ///
    /// # Errors
    /// The kernel's error.
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

    /// The event with this index, which is below the result of the last [`Epoll::wait`].
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
