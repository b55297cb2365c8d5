//! The Close frame, and how a connection ended (RFC 6455 sections 5.5.1, 7.1 and 7.4).

mod frame;
mod info;

pub use crate::close_code::{CloseCode, CloseError};
pub use frame::{CloseFrame, MAX_CLOSE_REASON};
pub use info::{CloseInfo, Initiator};

#[cfg(test)]
mod tests;
