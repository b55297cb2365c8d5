use std::{future::Future as _, pin::pin, task::Context, time::Duration};

use tokio::time::Instant;

/// The time `wait` from now, by the runtime's clock; a wait of more than thirty years counts as thirty years.
#[must_use]
pub fn deadline_in(wait: Duration) -> Instant {
    ws_proto::deadline_after(Instant::now().into_std(), wait).into()
}

/// Asks for another turn of this task, once the runtime has looked for events.
///
/// A plain wake-up puts the task back into a queue that the runtime works off, 61 times by default, before it asks the
/// kernel for events: so long would everybody wait whose bytes have just arrived.
pub fn yield_turn(cx: &mut Context<'_>) {
    // Its first poll leaves the waker with the runtime; where there is none, it wakes.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}
