//! permessage-deflate (RFC 7692).
//!
//! [`DeflateConfig`] says what this side offers or accepts, and when it compresses. [`DeflateParams`] are the result of
//! the negotiation. Without context takeover, the default of a server, a connection between messages holds no codec.

// - `negotiate` turns offers and answers into `DeflateParams`.
// - `codec` wraps the compression library; `pool` shares codecs among connections.
// - `small_encoder` compresses small messages faster than the library does; `codes` are DEFLATE's fixed codes.
// - `small_inflater` decompresses usual small messages faster than the library does; `decode_table` has its tables.
// - `session` is the compression state of one connection.

mod codec;
mod codes;
mod config;
mod decode_table;
mod negotiate;
mod pool;
mod session;
mod small_encoder;
mod small_inflater;

pub(crate) use config::SharedDeflate;
pub use config::{DeflateConfig, TakeoverPrice};
pub use negotiate::DeflateParams;

pub(crate) use codec::{Deflater, Inflated, Inflater, SHARED_INFLATER_SIZE};
pub(crate) use negotiate::{Agreed, accept_answer, accept_offer, offer};
pub(crate) use pool::Reservation;
pub(crate) use session::Session;
