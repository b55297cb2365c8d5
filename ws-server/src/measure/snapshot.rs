use http::StatusCode;
use ws_proto::close::Initiator;

use super::Histogram;

/// What a server has counted since it was built, and what it has now. From
/// [`StatsHandle::snapshot`](crate::stats::StatsHandle::snapshot).
///
/// The counters never decrease. They are summed over the threads one after another, while connections continue, so two
/// of them may differ by what happened in between. Each connection adds its messages and bytes at the end of a turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections that are open or closing now.
    pub connections: u64,
    /// Handshakes, from the accepted socket to the response.
    pub handshakes: Handshakes,
    /// Connections that have ended, by code and initiator.
    pub closes: Closes,
    /// How long the connections that have ended were open.
    pub connection_times: Histogram,
    /// From the peers.
    pub received: Traffic,
    /// To the peers.
    pub sent: Traffic,
    /// What waits to be written, and how often peers were too slow.
    pub pressure: Pressure,
    /// Round-trip times of the pings of [`keepalive`](crate::ServerBuilder::keepalive). Empty without
    /// [`statistics`](crate::ServerBuilder::statistics).
    pub round_trips: Histogram,
    /// Panics of the application's code, by place.
    pub panics: Panics,
    /// How often accepting a socket failed, so that the server paused: the process is out of descriptors or memory.
    pub accept_backoffs: u64,
    /// Bytes that count against the [`memory_budget`](crate::ServerBuilder::memory_budget) now. 0 without a budget.
    pub memory_used: u64,
}

/// Handshakes of a server, by outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Handshakes {
    /// Handshakes in progress now, and [`Reservation`](crate::adopt::Reservation)s.
    pub active: u64,
    /// Connections that were opened: the number of all connections so far.
    pub accepted: u64,
    /// Requests that were refused, by the status of the response, in ascending order; without those that are 0.
    pub refused: Vec<(StatusCode, u64)>,
    /// Plain HTTP requests that [`http`](crate::ServerBuilder::http) has answered.
    pub answered_http: u64,
    /// Handshakes that ended without a response.
    pub failed: HandshakeFailures,
    /// The time of the handshakes that were accepted, from the accepted socket to the written response.
    pub times: Histogram,
}

/// Handshakes that ended without a response, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeFailures {
    /// Nothing of a request came within the [`handshake_timeout`](crate::ServerBuilder::handshake_timeout), or the peer
    /// did not take the response in time.
    pub timed_out: u64,
    /// The peer left, or the transport failed.
    pub transport: u64,
    /// The TLS handshake failed.
    pub tls: u64,
    /// The header of the PROXY protocol was missing or bad.
    pub proxy: u64,
    /// The server was full, and sent no response: with TLS, or because too many rejections were being written.
    pub overload: u64,
    /// The server was shutting down.
    pub shutdown: u64,
}

/// Ends of connections by code and initiator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closes {
    /// Ends with a completed closing handshake ([`CloseInfo::is_clean`](crate::CloseInfo::is_clean)).
    pub clean: u64,
    /// Other ends.
    pub unclean: u64,
    /// The counts that are not 0, in ascending order of the codes. Their sum is `clean + unclean`.
    pub by_code: Vec<CloseCount>,
}

/// The number of connections that ended with a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseCount {
    /// The code of the Close frame of the side that started the end: 1000 to 1014, 1005 for a Close without a code, and
    /// 1006 if that side sent no Close. 3000 stands for all codes from 3000 to 3999, and 4000 for those from 4000 to
    /// 4999 (RFC 6455 section 7.4.2).
    pub code: u16,
    /// Which side started the end.
    pub initiator: Initiator,
    /// The number of ends.
    pub count: u64,
}

/// What a server's connections have received or sent. [`ConnectionStats`](crate::stats::ConnectionStats) says what
/// counts when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Text and binary messages.
    pub messages: u64,
    /// Bytes of their payloads: after inflating and before compressing.
    pub payload_bytes: u64,
    /// Bytes on the transport: frames with their headers; without the handshake, and without TLS.
    pub wire_bytes: u64,
    /// Pings, pongs and Close frames.
    pub control_frames: u64,
}

/// What waits to be written, and how often peers were too slow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pressure {
    /// Bytes that wait in the write queues of all connections now.
    pub queued_bytes: u64,
    /// Messages that were refused with `Full`.
    pub refused_sends: u64,
    /// How often a transport took no more bytes while some were left.
    pub blocked_writes: u64,
    /// Publications that members of the server's [topics](mod@crate::topics) did not get because their peers were too
    /// slow ([`Member::missed`](crate::topics::Member::missed)). Servers that share topics have the same number.
    pub dropped_publications: u64,
    /// How often a connection became slow ([`Observer::slow`](crate::stats::Observer::slow)).
    pub became_slow: u64,
    /// Connections that a [`SlowPolicy`](crate::topics::SlowPolicy) of topics has closed.
    pub disconnected_members: u64,
}

/// Panics of the application's code, by place. Each was caught.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Panics {
    /// Callbacks of a [`Handler`](crate::Handler), without `accept` and `on_handshake_failed`. The connection was
    /// closed with 1011, unless it was over.
    pub handlers: u64,
    /// Async functions, or the futures that they return. The connection was closed with 1011.
    pub functions: u64,
    /// `on_request`, `on_request_async`, `accept`, a custom origin policy or `http`. The request was answered with 500.
    pub requests: u64,
    /// Methods of an [`Observer`](crate::stats::Observer). They had no effect.
    pub observers: u64,
}

impl Panics {
    /// All panics.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.handlers + self.functions + self.requests + self.observers
    }
}

impl HandshakeFailures {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.timed_out + self.transport + self.tls + self.proxy + self.overload + self.shutdown
    }
}
