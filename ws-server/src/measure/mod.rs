//! What a server counts and reports: counters, snapshots of them, and the observer.

mod counters;
mod histogram;
mod observer;
mod slow;
mod snapshot;
pub(crate) mod spans;

pub(crate) use counters::{Counters, PanicPlace};
pub use histogram::Histogram;
pub use observer::{Closed, HandshakeEnd, HandshakeFailure, HandshakeOutcome, Observer, Opened};
pub use slow::{CaughtUp, Slow, SlowReason};
pub use snapshot::{
    CloseCount, Closes, HandshakeFailures, Handshakes, Panics, Pressure, ServerStats, Traffic,
};
