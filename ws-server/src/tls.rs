//! The stream of [`Tls::accept`](crate::Tls::accept). [`Tls`](crate::Tls) is in the root of this crate.

pub use crate::net::TlsStream;
#[doc(inline)]
pub use ws_tokio::tls::PemItem;
