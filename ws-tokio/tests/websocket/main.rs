//! The `WebSocket` type on transports that exist only in memory, in virtual time.

mod support;

mod assertions;
mod cancel_safety;
mod backpressure;
mod cancel_storm;
mod control;
mod ending;
mod senders;
mod timers;
