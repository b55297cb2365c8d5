//! A handshake that has succeeded, and what an application says about requests.

use std::sync::Arc;

use ws_proto::{Config, Connection, handshake::Rejection};
use ws_tokio::internal::guarded;

use crate::{
    admission::Request,
    shard::{registration::Registration, server_state::ServerState},
};

/// What is done with a request.
pub(crate) trait Application: 'static {
    type Accepted: HandshakeFailed + 'static;

    /// The protocol's settings for its connections.
    fn protocol(server: &ServerState) -> &Arc<Config>;

    fn accept(&self, request: &mut Request) -> Result<Self::Accepted, Rejection>;
}

/// A connection whose 101 response is on the wire.
pub(crate) struct Established<S, T: HandshakeFailed> {
    pub(crate) accepted: NotifyOnDrop<T>,
    pub(crate) request: Request,
    pub(crate) io: S,
    pub(crate) connection: Connection,
    /// What was read behind the request.
    pub(crate) received: Vec<u8>,
    pub(crate) registration: Registration,
}

impl<S, T: HandshakeFailed> Established<S, T> {
    /// The same on another transport.
    pub(crate) fn map_io<R>(self, f: impl FnOnce(S) -> R) -> Established<R, T> {
        let Self { accepted, request, io, connection, received, registration } = self;
        Established { accepted, request, io: f(io), connection, received, registration }
    }

    /// The same on another transport, if that can be had.
    pub(crate) fn try_map_io<R, E>(self, f: impl FnOnce(S) -> Result<R, E>) -> Result<Established<R, T>, E> {
        let Self { accepted, request, io, connection, received, registration } = self;
        Ok(Established { accepted, request, io: f(io)?, connection, received, registration })
    }
}

/// What an application has accepted and must hear of if nothing comes of it.
pub(crate) trait HandshakeFailed {
    /// Nothing came of it.
    fn on_failure(&mut self);
}

/// Calls [`HandshakeFailed::on_failure`] unless it is taken.
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

/// A value of the application's. A panic of its destructor ends here.
pub(crate) struct DropGuarded<T>(pub(crate) Option<T>);

impl<T> Drop for DropGuarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let _ = guarded(|| drop(value));
        }
    }
}
