//! The Close frame, and how a connection ended (RFC 6455 sections 5.5.1, 7.1 and 7.4).
//!
//! [`CloseCode`], [`CloseFrame`] and [`CloseInfo`] are in the root of this crate.

pub(crate) mod frame;
pub(crate) mod info;
mod trace;

pub(crate) use crate::close_code::CloseCode;
pub(crate) use frame::CloseFrame;
pub use frame::MAX_CLOSE_REASON;
pub(crate) use info::CloseInfo;
pub use info::Initiator;
pub(crate) use trace::Trace;

#[cfg(test)]
mod tests;
