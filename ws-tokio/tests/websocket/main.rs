//! The `WebSocket` type on transports that exist only in memory, in virtual time.
#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod support;

mod after_our_close;
mod assertions;
mod backpressure;
mod cancel_safety;
mod cancel_storm;
mod control;
mod ending;
mod extremes;
mod failed_writes;
mod faults;
mod foreign;
mod foreign_wakers;
mod liar;
mod only_sending;
mod parts;
mod senders;
mod served;
mod served_elsewhere;
mod timers;
