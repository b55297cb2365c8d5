//! What decides who may connect: permits for handshakes and connections, the request.

pub(crate) mod permits;
pub(crate) mod request;

pub use request::Request;
