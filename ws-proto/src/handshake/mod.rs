//! The opening handshake over HTTP/1.1, for both sides (RFC 6455 section 4, RFC 9112).
//!
//! Each byte of a head is scanned once, even if it arrives in pieces, and a complete head is parsed once.

mod authority;
mod client;
mod error;
mod extensions;
mod head;
mod key;
mod negotiation;
mod request;
mod response;
mod server;
mod tokens;

pub use authority::split_authority;
pub use client::{Accepted, ClientHandshake, ClientRequest};
pub use error::{ClientRequestError, RequestError, ResponseError};
pub use extensions::{Extension, ExtensionParam, parse_extensions};
pub use key::accept_key;
pub use negotiation::Extensions;
pub use request::{Request, RequestReader};
pub use response::{ResponseReader, encode_response};
pub use server::{Acceptance, AcceptanceError, Rejection, ServerHandshake};
pub use tokens::{has_token, token_list};

#[cfg(test)]
mod tests;
