//! A deterministic simulation of WebSocket connections, for tests of applications and of `ws-proto` itself.
//!
//! A [`Simulation`] runs two [`Connection`](ws_proto::Connection)s, the network between them and the clock in one
//! thread, without sockets. Everything follows from one number, the seed: limits and timeouts, how the bytes are
//! split and delayed, when a peer stops reading, vanishes or resets the connection, what the applications do and
//! when. A run takes less than a millisecond. The same seed repeats it exactly.
//!
//! An [`App`] is the application under test. This one echoes messages, over a thousand networks:
//!
//! ```
//! use std::time::Instant;
//! use ws_proto::Event;
//! use ws_simulation::{App, Dice, Link, Simulation};
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
//! # Ok::<(), ws_simulation::Failure>(())
//! ```
//!
//! # What is checked
//! A run fails unless all of these rules hold:
//! - Every accepted message arrives once, in order and unchanged, or its sender learns that it may not have arrived:
//!   by [`Completion::CutOff`](ws_proto::Completion::CutOff), because one of the two ends is not clean, or because
//!   the other side started the close.
//! - Each send that asked for a completion gets exactly one, and it is correct.
//! - Each side gets one `Closed` event, after everything else, and the event reports the Close frames correctly.
//! - The bytes on the wire follow RFC 6455: masks, lengths, fragments, control frames, nothing after a Close.
//! - The memory that a connection holds stays within its limits.
//! - Timers follow [`Connection::poll_timeout`](ws_proto::Connection::poll_timeout), and every connection ends within
//!   its timeouts.
//! - Every pooled buffer is returned.
//! - No application [reports a failure](Link::object).
#![cfg_attr(docsrs, feature(doc_cfg))]

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

/// Compiles the README's code.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
