//! Times by the runtime's clock, and yielding to the runtime.

use std::{
    future::Future as _,
    pin::pin,
    task::Context,
    time::{self, Duration},
};

use tokio::time::Instant;

/// Returns the time of the runtime's clock, which tests may pause.
#[inline]
#[must_use]
pub fn now() -> time::Instant {
    Instant::now().into_std()
}

/// Returns the time `wait` from now, by the runtime's clock. A wait of more than thirty years counts as thirty years.
#[must_use]
pub fn deadline_in(wait: Duration) -> Instant {
    ws_proto::deadline_after(now(), wait).into()
}

/// Schedules another poll of this task, after the runtime has polled its I/O driver.
///
/// After a plain wake-up the runtime runs up to 61 tasks, by default, before it asks the kernel for events. Connections
/// whose bytes have just arrived would wait that long.
pub fn yield_turn(cx: &mut Context<'_>) {
    // The first poll of this future gives the waker to the runtime. Without a runtime it wakes the task.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
