//! permessage-deflate (RFC 7692).
//!
//! - [`DeflateConfig`] sets what this side offers or accepts, and when it compresses.
//! - `negotiate` turns offers and answers into [`DeflateParams`].
//! - `codec` wraps the compression library; `pool` shares codecs among connections.
//! - `quick` compresses small messages faster than the library does, using the fixed codes of DEFLATE in `codes`.
//! - `session` is the compression state of one connection.
//!
//! Without context takeover, which is a server's default, a connection holds no codec between messages.

mod codec;
mod codes;
mod config;
mod negotiate;
mod pool;
mod quick;
mod session;

pub use config::DeflateConfig;
pub use negotiate::DeflateParams;

pub(crate) use codec::{Deflater, INFLATER_SIZE, Inflated, Inflater};
pub(crate) use negotiate::{Agreed, accept_answer, accept_offer, offer};
pub(crate) use pool::Reservation;
pub(crate) use session::Session;

#[cfg(test)]
mod tests;
