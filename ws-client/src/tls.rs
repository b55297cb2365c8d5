//! TLS settings, and the stream of [`Connector::connect_tls_on`](crate::Connector::connect_tls_on).
//! [`Tls`](crate::Tls) and [`Roots`](crate::Roots) are in the root of this crate.

mod insecure;
pub(crate) mod settings;
mod stream;

pub use settings::TlsBuilder;
pub use stream::TlsStream;
