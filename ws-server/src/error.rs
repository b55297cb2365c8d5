//! The errors of this crate.

pub use crate::handshake::{AcceptError, AdoptError, ReserveError};
#[doc(inline)]
pub use ws_proto::{
    error::{
        CloseError, ConfigError, ConnectionError, ControlError, LimitExceeded, ProtocolError, SendError,
        TimedOut,
    },
    handshake::{RequestError, ResponsePartsError},
    utf8::InvalidUtf8,
};
#[cfg(feature = "tls-core")]
#[doc(inline)]
pub use ws_tokio::tls::TlsError;
