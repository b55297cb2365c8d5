//! The `WebSocket` type on transports that exist only in memory, in virtual time.

mod support;

mod assertions;
mod cancel_safety;
mod cancel_storm;
mod control;
mod ending;
mod timers;
