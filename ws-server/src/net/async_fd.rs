use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Lets tokio watch a descriptor for something to read.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "tokio's only other constructor is deprecated")]
    // SAFETY: the descriptor must stay open and the same for as long as it is registered. An `OwnedFd` is closed only
    // when it is dropped, nothing replaces the one inside an `AsyncFd` that is only lent shared, and `AsyncFd` drops it
    // after its registration.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}
