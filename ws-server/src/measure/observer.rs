use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::StatusCode;
use ws_proto::CloseInfo;

use super::{CaughtUp, Slow};

/// Learns of handshakes and connections as they begin and end, for logs and metrics of your own. Set it with
/// [`ServerBuilder::observer`](crate::ServerBuilder::observer).
///
/// The methods are called on the threads of the server, with no lock held, and must not block: all connections of the
/// thread wait for them. A panic of a method is only counted
/// ([`Panics::observers`](crate::stats::Panics::observers)). By default the methods do nothing.
///
/// There is no method for a message: [`StatsHandle`](crate::stats::StatsHandle) has sums, and a
/// [`Handler`](crate::Handler) sees each message.
pub trait Observer: Send + Sync + 'static {
    /// A handshake has ended: accepted, refused or failed.
    fn handshake_ended(&self, handshake: &HandshakeEnd) {
        let _ = handshake;
    }

    /// A connection is open.
    fn opened(&self, connection: &Opened) {
        let _ = connection;
    }

    /// A connection has ended. Each connection that was [`opened`](Self::opened) ends once.
    fn closed(&self, connection: &Closed) {
        let _ = connection;
    }

    /// A connection has become slow: its transport takes no more bytes, and half of its queue's limits waits, or a
    /// message was refused or waits for room, or publications were dropped. It is slow until nothing waits any more.
    /// Until then this is not called again, except that a policy of topics closes the connection
    /// ([`SlowReason::Disconnected`](super::SlowReason::Disconnected)), which is reported in each case.
    ///
    /// It is called at the end of a turn, not per message. A queue that is full for a moment, of which the transport
    /// then takes all, is not slow. [`Pressure::became_slow`](crate::stats::Pressure::became_slow) counts the calls
    /// without those for a connection that was slow already.
    fn slow(&self, connection: &Slow) {
        let _ = connection;
    }

    /// A connection that was [`slow`](Self::slow) has caught up: nothing waits any more. If it ends before, only
    /// [`closed`](Self::closed) is called.
    fn caught_up(&self, connection: &CaughtUp) {
        let _ = connection;
    }
}

impl<T: Observer + ?Sized> Observer for Arc<T> {
    fn handshake_ended(&self, handshake: &HandshakeEnd) {
        (**self).handshake_ended(handshake);
    }

    fn opened(&self, connection: &Opened) {
        (**self).opened(connection);
    }

    fn closed(&self, connection: &Closed) {
        (**self).closed(connection);
    }

    fn slow(&self, connection: &Slow) {
        (**self).slow(connection);
    }

    fn caught_up(&self, connection: &CaughtUp) {
        (**self).caught_up(connection);
    }
}

/// A handshake that has ended, for [`Observer::handshake_ended`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeEnd {
    /// The client's address, as far as it is known: of a trusted proxy, before it has named its client.
    pub peer: Option<SocketAddr>,
    /// How the handshake ended.
    pub outcome: HandshakeOutcome,
    /// The time since the socket was accepted; of an adopted connection, since the request was passed to the server.
    pub duration: Duration,
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeOutcome {
    /// The 101 response is written.
    Accepted,
    /// The request was refused with this status.
    Refused(StatusCode),
    /// A plain HTTP request was answered by [`ServerBuilder::http`](crate::ServerBuilder::http), with this status.
    AnsweredHttp(StatusCode),
    /// It ended without a response.
    Failed(HandshakeFailure),
}

/// Why a handshake ended without a response. [`HandshakeFailures`](super::HandshakeFailures) counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// Nothing of a request came in time, or the peer did not take the response in time.
    TimedOut,
    /// The peer left, or the transport failed.
    Transport,
    /// The TLS handshake failed.
    Tls,
    /// The header of the PROXY protocol was missing or bad.
    Proxy,
    /// The server was full, and sent no response.
    Overload,
    /// The server was shutting down.
    Shutdown,
}

impl HandshakeFailure {
    pub(super) const ALL: usize = Self::Shutdown as usize + 1;

    /// The name in spans and metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::Transport => "transport",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Overload => "overload",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A connection that is open, for [`Observer::opened`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// A number that no other connection of this server has.
    pub id: u64,
    /// The client's address, as far as it is known.
    pub peer: Option<SocketAddr>,
    /// The path of the request's target, without the query, which may hold secrets.
    pub path: String,
    /// The negotiated subprotocol.
    pub subprotocol: Option<String>,
    /// Whether compression was negotiated (RFC 7692).
    pub compression: bool,
}

/// A connection that has ended, for [`Observer::closed`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The number of [`Opened::id`].
    pub id: u64,
    /// The client's address, as far as it is known.
    pub peer: Option<SocketAddr>,
    /// How the connection ended. Its [`stats`](CloseInfo::stats) and [`recording`](CloseInfo::recording) are there if
    /// the server is set to keep them.
    pub info: CloseInfo,
    /// How long the connection was open.
    pub age: Duration,
}
