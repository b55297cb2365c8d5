//! Prints the server's main figures now and then.

use std::time::Duration;

use ws_server::stats::{ServerStats, StatsHandle};

/// Prints one line on stderr in each interval.
pub(crate) async fn print_every(interval: Duration, handle: StatsHandle) {
    let mut before = handle.snapshot();
    loop {
        tokio::time::sleep(interval).await;
        let now = handle.snapshot();
        eprintln!("{}", line(&before, &now, interval));
        before = now;
    }
}

/// The figures now, and what was counted since the snapshot before, per second.
fn line(before: &ServerStats, now: &ServerStats, interval: Duration) -> String {
    let per_second = |now: u64, before: u64| (now - before) as f64 / interval.as_secs_f64();
    let refused = |stats: &ServerStats| stats.handshakes.refused.iter().map(|(_, count)| count).sum::<u64>();
    format!(
        "connections {}, opened {:.1}/s, refused {:.1}/s; received {:.0} messages/s, {:.0} bytes/s; \
         sent {:.0} messages/s, {:.0} bytes/s; queued {} bytes, memory {} bytes; panics {}",
        now.connections,
        per_second(now.handshakes.accepted, before.handshakes.accepted),
        per_second(refused(now), refused(before)),
        per_second(now.received.messages, before.received.messages),
        per_second(now.received.wire_bytes, before.received.wire_bytes),
        per_second(now.sent.messages, before.sent.messages),
        per_second(now.sent.wire_bytes, before.sent.wire_bytes),
        now.pressure.queued_bytes,
        now.memory_used,
        now.panics.total(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_differences_per_second() {
        let mut before = ServerStats::default();
        before.received.messages = 100;
        let mut now = before.clone();
        (now.connections, now.received.messages, now.sent.wire_bytes) = (3, 400, 50);
        let line = line(&before, &now, Duration::from_secs(10));
        assert!(line.starts_with("connections 3, opened 0.0/s"), "{line}");
        assert!(
            line.contains("received 30 messages/s") && line.contains("0 messages/s, 5 bytes/s"),
            "{line}"
        );
    }
}
