//! A sample: the statistics of the server at a moment, as JSON.

use serde_json::{Map, Value, json};
use ws_server::{
    close::Initiator,
    stats::{HandshakeFailures, Handshakes, Histogram, ServerStats, Traffic},
};

/// When and of which server a sample is. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// When the server was started: samples of another server do not continue these.
    pub(crate) server: u64,
    /// When the sample was taken, by a clock that never goes back.
    pub(crate) at: u64,
    /// The time between two samples, in milliseconds.
    pub(crate) tick: u64,
}

/// Counters are totals since the start of the server. Counts by kind are left out if they are 0. Sizes are in bytes.
pub(crate) fn sample(moment: Moment, stats: &ServerStats) -> Value {
    let Moment { server, at, tick } = moment;
    let pressure = &stats.pressure;
    let closes = stats.closes.by_code.iter();
    let closes: Vec<Value> =
        closes.map(|close| json!([close.code, initiator(close.initiator), close.count])).collect();
    json!({
        "server": server,
        "at": at,
        "tick": tick,
        "connections": stats.connections,
        "handshakes": handshakes(&stats.handshakes),
        "closes": closes,
        "unclean": stats.closes.unclean,
        "received": traffic(&stats.received),
        "sent": traffic(&stats.sent),
        "round_trips": buckets(&stats.round_trips),
        "queued": pressure.queued_bytes,
        "blocked_writes": pressure.blocked_writes,
        "refused_sends": pressure.refused_sends,
        "dropped": pressure.dropped_publications,
        "memory": stats.memory_used,
        "panics": stats.panics.total(),
        "backoffs": stats.accept_backoffs,
    })
}

fn traffic(traffic: &Traffic) -> Value {
    json!({ "messages": traffic.messages, "bytes": traffic.wire_bytes })
}

fn handshakes(handshakes: &Handshakes) -> Value {
    let refused = handshakes.refused.iter();
    let refused: Map<_, _> =
        refused.map(|(status, count)| (status.as_str().to_owned(), json!(count))).collect();
    json!({
        "active": handshakes.active,
        "accepted": handshakes.accepted,
        "http": handshakes.answered_http,
        "refused": refused,
        "failed": failures(&handshakes.failed),
    })
}

fn failures(failed: &HandshakeFailures) -> Map<String, Value> {
    let by_cause = [
        ("timed_out", failed.timed_out),
        ("transport", failed.transport),
        ("tls", failed.tls),
        ("proxy", failed.proxy),
        ("overload", failed.overload),
        ("shutdown", failed.shutdown),
    ];
    let counted = by_cause.into_iter().filter(|(_, count)| *count > 0);
    counted.map(|(cause, count)| (cause.to_owned(), json!(count))).collect()
}

/// Bucket and count of each bucket that is not empty. Bucket `n` has the times from 2^(n - 1) µs to less than 2^n µs.
fn buckets(times: &Histogram) -> Vec<[u64; 2]> {
    let counts = times.buckets().iter().enumerate();
    counts.filter(|(_, count)| **count > 0).map(|(bucket, &count)| [bucket as u64, count]).collect()
}

const fn initiator(initiator: Initiator) -> &'static str {
    match initiator {
        Initiator::Local => "local",
        Initiator::Remote => "remote",
        _ => "library",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_totals_and_leaves_out_the_kinds_that_never_happened() {
        let mut stats = ServerStats::default();
        (stats.connections, stats.memory_used) = (2, 100);
        (stats.received.messages, stats.received.wire_bytes, stats.received.payload_bytes) = (7, 70, 28);
        (stats.handshakes.failed.tls, stats.panics.handlers, stats.panics.requests) = (3, 1, 2);
        let sample = sample(Moment { server: 5, at: 6, tick: 1000 }, &stats);
        let expected = json!({
            "server": 5, "at": 6, "tick": 1000, "connections": 2,
            "handshakes": { "active": 0, "accepted": 0, "http": 0, "refused": {}, "failed": { "tls": 3 } },
            "closes": [], "unclean": 0,
            "received": { "messages": 7, "bytes": 70 }, "sent": { "messages": 0, "bytes": 0 },
            "round_trips": [], "queued": 0, "blocked_writes": 0, "refused_sends": 0, "dropped": 0,
            "memory": 100, "panics": 3, "backoffs": 0,
        });
        assert_eq!(sample, expected);
    }
}
