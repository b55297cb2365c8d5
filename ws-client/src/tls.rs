//! TLS settings, and the stream of [`Connector::connect_tls_on`](crate::Connector::connect_tls_on).
//! [`Tls`](crate::Tls) is in the root of this crate.

mod insecure;
pub(crate) mod settings;
mod stream;

pub use settings::{Roots, TlsBuilder};
pub use stream::TlsStream;
#[doc(inline)]
pub use ws_tokio::tls::PemItem;
