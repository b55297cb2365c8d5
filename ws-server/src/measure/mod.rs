//! What a server counts and reports: counters, snapshots of them, and the observer.

mod counters;
mod histogram;
mod log_limit;
mod observer;
mod slow;
mod snapshot;
pub(crate) mod spans;

pub(crate) use counters::{Counters, PanicPlace};
pub use histogram::Histogram;
pub(crate) use log_limit::{LogKind, LogLimits, log_level, log_limited};
pub use observer::{Closed, HandshakeEnd, HandshakeFailure, HandshakeOutcome, Observer, Opened};
pub use slow::{CaughtUp, Slow, SlowReason};
pub use snapshot::{
    CloseCount, Closes, HandshakeFailures, Handshakes, Panics, Pressure, ServerStats, Traffic,
};
