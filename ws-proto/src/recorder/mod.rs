//! The latest events of a connection, to find out why it closed:
//! [`Connection::recording`](crate::Connection::recording).
//!
//! A connection records only if [`Config::recorder`](crate::Config::recorder) is set. No event contains a payload.

mod event;
mod packed;
mod recording;
mod ring;

pub use event::RecordedEvent;
pub use recording::{Recorded, Recording};
pub(crate) use ring::Recorder;

#[cfg(test)]
mod tests;
