//! A deterministic simulation of connections, for the tests of applications and of this crate itself. Feature `testing`.
//!
//! A [`Simulation`] has two machines, a network between them and a clock, all of them virtual, and one number, the seed, from
//! which everything follows: limits and timeouts, how the bytes are cut and delayed, when a peer stops reading, vanishes or
//! resets the connection, what the applications do and when. A run takes less than a millisecond, and what it finds is found
//! again with the same seed.
//!
//! An [`App`] is the application under test. Here, one that echoes, through a thousand networks:
//!
//! ```
//! use std::time::Instant;
//! use ws_proto::{Event, testing::{App, Dice, Link, Simulation}};
//!
//! #[derive(Default)]
//! struct Echo {
//!     messages: u64,
//! }
//!
//! impl App for Echo {
//!     fn on_event(&mut self, event: Event<'_>, link: &mut Link<'_>, _: &mut Dice) {
//!         if let Event::Message(message) = event {
//!             self.messages += 1;
//!             // Refused once the connection is closing, or while the write queue is full.
//!             let _ = link.send(message.kind(), message.as_bytes());
//!         }
//!     }
//! }
//!
//! let (start, mut messages) = (Instant::now(), 0);
//! for seed in 0..1000 {
//!     let mut echo = Echo::default();
//!     Simulation::new(seed).server(&mut echo).run(start)?;
//!     messages += echo.messages;
//! }
//! assert!(messages > 1000);
//! # Ok::<(), ws_proto::testing::Failure>(())
//! ```
//!
//! # What is checked
//! Whatever the seed, a run fails unless
//! - every message that was accepted arrives once, in order and unchanged, or its sender learns that it may not have: by
//!   [`Completion::CutOff`](crate::Completion::CutOff), or because one of the two ends is not clean, or was begun by the
//!   other side;
//! - each send that asked for it gets one completion, and that is right;
//! - each side gets one `Closed`, after everything else, and it is right about the Close frames;
//! - what goes over the wire obeys RFC 6455: masks, lengths, fragments, control frames, nothing behind a Close;
//! - what a connection holds stays within its limits;
//! - timers do as [`Connection::poll_timeout`](crate::Connection::poll_timeout) says, and every connection is over within
//!   its timeouts;
//! - every pooled buffer comes back;
//! - no application [objects](Link::object).

mod agreement;
mod app;
mod dice;
mod endpoint;
mod fact;
mod faults;
mod link;
mod network;
mod oracle;
mod random_app;
mod report;
mod run;
mod scenario;
mod side;
mod simulation;
mod trace;
mod wire;
mod world;

pub use app::App;
pub use dice::Dice;
pub use faults::{Fault, Faults};
pub use link::Link;
pub use random_app::RandomApp;
pub use report::{Failure, Report};
pub use simulation::Simulation;
pub use trace::Trace;

#[cfg(test)]
mod tests;
