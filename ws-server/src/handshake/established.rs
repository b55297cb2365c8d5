//! Accepted requests, and connections whose handshake is complete.

use ws_proto::{
    Connection, ValidConfig,
    handshake::{Extensions, Rejection},
};
use ws_tokio::internal::guarded;

use crate::{
    admission::{Request, permits::Permit},
    measure::HandshakeOutcome,
    shard::{
        registration::{Registration, ReservedId},
        server_state::ServerState,
        watched::Watched,
    },
};

use super::Handshake;

/// Accepts or rejects requests.
pub(crate) trait Application: 'static {
    type Accepted: HandshakeFailed + 'static;

    /// The protocol settings of this application's connections.
    fn protocol(server: &ServerState) -> &ValidConfig;

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection>;
}

/// A value that an application makes when it accepts a request.
pub(crate) trait HandshakeFailed {
    /// The request was accepted, but the handshake failed afterwards.
    fn on_failure(&mut self);
}

/// A request that the application has accepted. It becomes a connection once the response is written.
pub(crate) struct AcceptedRequest<T: HandshakeFailed> {
    pub(super) accepted: NotifyOnDrop<T>,
    pub(super) request: Request,
    pub(super) extensions: Extensions,
    pub(super) connection_permit: Permit,
    /// The part of the 101 response that is not written yet.
    pub(super) response: Vec<u8>,
    /// Bytes that were read behind the request.
    pub(super) received: Vec<u8>,
}

impl<T: HandshakeFailed> AcceptedRequest<T> {
    /// Makes it a connection and frees the handshake's permit. The connection gets the reserved id, if there is one.
    pub(super) fn establish<A>(
        self,
        server: &ServerState,
        handshake: Handshake,
        id: Option<ReservedId>,
    ) -> Established<T>
    where
        A: Application<Accepted = T>,
    {
        let Handshake { load, permit, mut progress, .. } = handshake;
        let Self { accepted, request, extensions, connection_permit, received, .. } = self;
        #[cfg(feature = "deflate")]
        let compression = extensions.deflate().is_some();
        #[cfg(not(feature = "deflate"))]
        let compression = false;
        progress.end(HandshakeOutcome::Accepted);
        let handshake_span = progress.span().clone();
        // It is counted before its permit is free.
        drop(progress);
        drop(permit);
        let watched = Watched::open(server, &request, compression, &handshake_span);
        let registration = Registration::new(load, id, connection_permit, watched);
        let config = A::protocol(server).clone();
        let connection = Connection::server(config, registration.shard().now()).with_extensions(extensions);
        Established { accepted, request, connection, received, registration }
    }
}

/// A connection whose 101 response is written. Its transport is passed beside it.
pub(crate) struct Established<T: HandshakeFailed> {
    pub(crate) accepted: NotifyOnDrop<T>,
    pub(crate) request: Request,
    pub(crate) connection: Connection,
    /// Bytes that were read behind the request.
    pub(crate) received: Vec<u8>,
    pub(crate) registration: Registration,
}

/// Calls [`HandshakeFailed::on_failure`] when it is dropped, unless the value was taken.
pub(crate) struct NotifyOnDrop<T: HandshakeFailed>(Option<T>);

impl<T: HandshakeFailed> NotifyOnDrop<T> {
    pub(crate) const fn new(accepted: T) -> Self {
        Self(Some(accepted))
    }

    pub(crate) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T: HandshakeFailed> Drop for NotifyOnDrop<T> {
    fn drop(&mut self) {
        if let Some(mut accepted) = self.0.take() {
            let _ = guarded(|| accepted.on_failure());
            let _ = guarded(|| drop(accepted));
        }
    }
}
