/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// The name. It ends with the unit, and with `_total` for a counter, as Prometheus recommends.
    pub name: &'static str,
    /// Whether it counts, goes up and down, or is a histogram.
    pub kind: MetricKind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub description: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// It never decreases while the server lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Times in seconds.
    Histogram,
}

use MetricKind::{Counter, Gauge, Histogram};

macro_rules! metrics {
    ($($constant:ident: $name:literal, $kind:ident, [$($label:literal),*], $description:literal;)*) => {
        $(pub(super) const $constant: &Metric = &Metric {
            name: $name,
            kind: $kind,
            labels: &[$($label),*],
            description: $description,
        };)*

        /// All metrics of a server.
        pub const METRICS: &[Metric] = &[$(*$constant),*];
    };
}

metrics! {
    CONNECTIONS: "websocket_server_connections", Gauge, [],
        "Connections that are open or closing.";
    HANDSHAKES_ACTIVE: "websocket_server_handshakes_active", Gauge, [],
        "Handshakes in progress.";
    HANDSHAKES: "websocket_server_handshakes_total", Counter, ["outcome"],
        "Handshakes that ended, by outcome: accepted, answered_http, the status that refused them, or why they failed.";
    HANDSHAKE_SECONDS: "websocket_server_handshake_seconds", Histogram, [],
        "Times of the accepted handshakes.";
    CONNECTION_SECONDS: "websocket_server_connection_seconds", Histogram, [],
        "How long the connections that have ended were open.";
    CLOSES: "websocket_server_closes_total", Counter, ["code", "initiator"],
        "Connections that ended, by the code of the side that started the end, and by that side.";
    UNCLEAN_CLOSES: "websocket_server_unclean_closes_total", Counter, [],
        "Connections that ended without a complete closing handshake.";
    MESSAGES: "websocket_server_messages_total", Counter, ["direction"],
        "Text and binary messages.";
    BYTES: "websocket_server_bytes_total", Counter, ["direction", "layer"],
        "Bytes of payloads (before compression) and on the wire (frames with headers).";
    CONTROL_FRAMES: "websocket_server_control_frames_total", Counter, ["direction"],
        "Pings, pongs and Close frames.";
    QUEUE_BYTES: "websocket_server_queue_bytes", Gauge, [],
        "Bytes that wait in the write queues.";
    QUEUE_FULL: "websocket_server_queue_full_total", Counter, [],
        "Messages that were refused because a write queue was full.";
    BLOCKED_WRITES: "websocket_server_blocked_writes_total", Counter, [],
        "How often a transport took no more bytes.";
    DROPPED_PUBLICATIONS: "websocket_server_dropped_publications_total", Counter, [],
        "Publications that slow members of topics did not get.";
    SLOW: "websocket_server_slow_total", Counter, [],
        "How often a connection became slow: its peer did not take what was sent.";
    DISCONNECTED_MEMBERS: "websocket_server_disconnected_members_total", Counter, [],
        "Connections that a policy of topics has closed because they were too slow.";
    PING_RTT_SECONDS: "websocket_server_ping_rtt_seconds", Histogram, [],
        "Round-trip times of keepalive pings; only with statistics per connection.";
    MEMORY_HELD_BYTES: "websocket_server_memory_held_bytes", Gauge, [],
        "Bytes that count against the memory budget.";
    PANICS: "websocket_server_panics_total", Counter, ["place"],
        "Panics of the application's code, by place.";
    ACCEPT_BACKOFFS: "websocket_server_accept_backoffs_total", Counter, [],
        "How often accepting a socket failed for lack of descriptors or memory.";
}
