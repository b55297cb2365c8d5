//! The opening handshake over HTTP/1.1, for both sides (RFC 6455 section 4, RFC 9112), the server's side of it inside
//! an HTTP server of any kind, over HTTP/1.1 and HTTP/2 (RFC 8441), and the client's side of it over HTTP/2.
//!
//! Each byte of a head is scanned once, even if it arrives in pieces, and a complete head is parsed once.

mod authority;
mod client;
mod error;
mod head;
mod http_client;
mod http_server;
mod key;
mod negotiation;
mod origin;
mod request;
mod response;
mod server;

pub use crate::header_syntax::{Extension, ExtensionParam, parse_extensions, token_list};
pub use authority::split_authority;
pub use client::{ClientHandshake, ClientRequest, Negotiated};
pub use error::{ClientRequestError, RequestError, ResponseError};
pub use key::accept_key;
pub use negotiation::Extensions;
pub use origin::{OriginPolicy, TransportSecurity};
pub use request::{Request, RequestReader};
pub use response::ResponseReader;
pub use server::{Rejection, ResponseParts, ResponsePartsError, ServerHandshake};

#[cfg(test)]
mod tests;
