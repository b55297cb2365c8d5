//! Each field of the statistics has a test.

use std::time::{Duration, Instant};

use crate::stats::{CompressedStats, ConnectionStats, DirectionStats, RoundTrip};

const TESTS: [&str; 4] = [
    include_str!("stats.rs"),
    include_str!("stats_compression.rs"),
    include_str!("stats_ends.rs"),
    include_str!("round_trip.rs"),
];

/// The test of a field, which may be of another type.
fn by<T>(_field: T, test: &str) {
    let line = format!("\nfn {test}()");
    assert!(TESTS.iter().any(|source| source.contains(&line)), "there is no test {test}");
}

fn direction(stats: DirectionStats) {
    let DirectionStats { messages, payload_bytes, frames, wire_bytes, pings, pongs, compressed } = stats;
    by(messages, "received_messages_count_with_their_payloads_frames_and_bytes");
    by(payload_bytes, "each_kind_of_send_counts_its_payload");
    by(frames, "fragments_are_frames_of_one_message");
    by(wire_bytes, "wire_bytes_count_as_they_are_written");
    by(pings, "control_frames_count_by_kind_in_both_directions");
    by(pongs, "control_frames_count_by_kind_in_both_directions");
    let CompressedStats { messages, payload_bytes, compressed_bytes } = compressed;
    by(messages, "a_received_message_counts_inflated_and_as_on_the_wire");
    by(payload_bytes, "a_received_message_counts_inflated_and_as_on_the_wire");
    by(compressed_bytes, "sent_messages_count_before_and_after_compression");
}

/// A field that is added makes this fail to compile.
#[test]
fn each_field_of_the_statistics_has_a_test() {
    let stats = ConnectionStats::new(Instant::now());
    let ConnectionStats { opened_at, received, sent, cut_off, queued, queued_peak, round_trip } = stats;
    by(opened_at, "a_new_connection_has_counted_nothing");
    direction(received);
    direction(sent);
    by(cut_off, "a_failed_write_cuts_off_what_waits");
    by(queued, "the_queue_counts_now_and_at_its_peak");
    by(queued_peak, "the_queue_counts_now_and_at_its_peak");
    by(round_trip, "each_keepalive_ping_gives_a_sample");
    let RoundTrip { latest, smoothed, minimum, samples } = RoundTrip::first(Duration::ZERO);
    by(latest, "each_keepalive_ping_gives_a_sample");
    by(smoothed, "each_keepalive_ping_gives_a_sample");
    by(minimum, "each_keepalive_ping_gives_a_sample");
    by(samples, "other_pongs_do_not_count");
}
