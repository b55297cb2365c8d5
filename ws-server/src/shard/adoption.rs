//! What passes between the program that did a connection's HTTP part and the shard that adopts the connection.

use std::sync::Arc;

use http::Response;
use tokio::sync::oneshot;
use ws_proto::handshake::{Rejection, ServerHandshake};

use crate::{
    admission::{Request, permits::Permit},
    net::stream::Detached,
};

use super::progress::HandshakeProgress;

/// Passes a request to the server's shard with the lowest load. If the server ends, the request is dropped.
pub(crate) type Door = Arc<dyn Fn(Box<Adoption>) + Send + Sync>;

/// A request that was checked and has its permits. The application has not been asked.
pub(crate) struct Adoption {
    pub(crate) progress: Box<HandshakeProgress>,
    pub(crate) request: Request,
    pub(crate) handshake: ServerHandshake,
    pub(crate) handshake_permit: Permit,
    pub(crate) connection_permit: Permit,
    /// Takes the decision. It is dropped if the server ends before that.
    pub(crate) decision: oneshot::Sender<Result<Offer, Rejection>>,
}

/// The answer to a request that was accepted, and the way to hand its connection over.
pub(crate) struct Offer {
    pub(crate) response: Response<()>,
    pub(crate) handover: oneshot::Sender<Handover>,
}

/// A connection whose answer is written.
pub(crate) struct Handover {
    pub(crate) stream: Detached,
    /// Bytes that were read behind the request.
    pub(crate) received: Vec<u8>,
}
