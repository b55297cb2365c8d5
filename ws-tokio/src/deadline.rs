use std::time::Duration;

use tokio::time::Instant;

/// The time `wait` from now, by the runtime's clock; a wait of more than thirty years counts as thirty years.
#[must_use]
pub fn deadline_in(wait: Duration) -> Instant {
    ws_proto::deadline_after(Instant::now().into_std(), wait).into()
}
