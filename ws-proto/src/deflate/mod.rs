//! permessage-deflate (RFC 7692).
//!
//! [`DeflateConfig`] says what this side offers or accepts, and when it compresses. [`DeflateParams`] are the result of
//! the negotiation. Without context takeover, the default of a server, a connection between messages holds no codec.

// - `negotiate` turns offers and answers into `DeflateParams`.
// - `codec` wraps the compression library; `pool` shares codecs among connections.
// - `small_encoder` compresses small messages faster than the library does; `codes` are DEFLATE's fixed codes.
// - `session` is the compression state of one connection.

mod codec;
mod codes;
mod config;
mod negotiate;
mod pool;
mod session;
mod small_encoder;

pub(crate) use config::SharedDeflate;
pub use config::{DeflateConfig, TakeoverPrice};
pub use negotiate::DeflateParams;

pub(crate) use codec::{Deflater, INFLATER_SIZE, Inflated, Inflater};
pub(crate) use negotiate::{Agreed, accept_answer, accept_offer, offer};
pub(crate) use pool::Reservation;
pub(crate) use session::Session;

#[cfg(test)]
mod tests;
