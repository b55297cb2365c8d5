//! What decides who may connect: permits for handshakes and connections, the origin policy, the request.

mod origin;
pub(crate) mod permits;
pub(crate) mod request;

pub use origin::OriginPolicy;
pub use request::Request;
