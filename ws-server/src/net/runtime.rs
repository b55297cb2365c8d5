//! Checks for what a server needs from the runtime that it is bound or run in.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::runtime::Handle;

/// Returns an error unless this thread is in a tokio runtime with timers.
pub(crate) fn check() -> io::Result<()> {
    check_entered()?;
    let make_timer = || {
        drop(tokio::time::sleep(Duration::ZERO));
        Ok(())
    };
    or_unsupported("the tokio runtime has no timers; call `enable_time` on its builder", make_timer)
}

/// Returns an error unless this thread is in a tokio runtime.
fn check_entered() -> io::Result<()> {
    Handle::try_current().map(drop).map_err(|_| unsupported("this thread is not in a tokio runtime"))
}

/// Runs code that registers a socket with the runtime of this thread.
pub(crate) fn register<T>(register: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    check_entered()?;
    or_unsupported("the tokio runtime has no I/O; call `enable_io` on its builder", register)
}

/// tokio panics if the runtime lacks timers or I/O, and has no call that asks. This turns the panic into an error.
fn or_unsupported<T>(error: &'static str, attempt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| Err(unsupported(error)))
}

fn unsupported(error: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, error)
}
