use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Registers a descriptor with tokio for readability.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "tokio's only other constructor is deprecated")]
    // SAFETY: the descriptor must stay open and unchanged while it is registered. An `OwnedFd` is closed only when it
    // is dropped. The `AsyncFd` gives out shared references only, so nothing replaces the `OwnedFd` inside it, and it
    // drops the `OwnedFd` after its registration.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}
