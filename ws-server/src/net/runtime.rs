//! What a server needs of the runtime that it is bound or run in.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use tokio::runtime::Handle;

/// Whether this thread is in a tokio runtime that has timers.
pub(crate) fn check() -> io::Result<()> {
    if Handle::try_current().is_err() {
        return Err(unsupported("a tokio runtime is needed, and this thread is in none"));
    }
    let make_timer = || {
        drop(tokio::time::sleep(Duration::ZERO));
        Ok(())
    };
    or_unsupported("the runtime has no timers; call `enable_time` on its builder", make_timer)
}

/// Does what registers a socket with the runtime of this thread.
pub(crate) fn register<T>(register: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    or_unsupported("the runtime has no I/O; call `enable_io` on its builder", register)
}

/// tokio panics where a runtime lacks something, and has no call that asks; this makes an error of the panic.
fn or_unsupported<T>(error: &'static str, attempt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or_else(|_| Err(unsupported(error)))
}

fn unsupported(error: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, error)
}
