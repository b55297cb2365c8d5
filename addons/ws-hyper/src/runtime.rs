//! What the adapter needs from the tokio runtime.

use std::{pin::Pin, time::Duration};

use tokio::{
    runtime::Handle,
    time::{Sleep, sleep_until},
};
use ws_tokio::internal::{deadline_in, guarded};

/// The runtime of this thread, and a timer on it that ends after `wait`. `None` outside of a tokio runtime, or if it
/// has no timers: tokio panics then, and has no call that asks.
pub(crate) fn timer(wait: Duration) -> Option<(Handle, Pin<Box<Sleep>>)> {
    let runtime = Handle::try_current().ok()?;
    let timer = guarded(|| Box::pin(sleep_until(deadline_in(wait)))).ok()?;
    Some((runtime, timer))
}
