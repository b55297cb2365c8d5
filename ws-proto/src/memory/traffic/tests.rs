use std::time::Instant;

use bytes::Buf as _;

use super::*;

#[test]
fn what_is_written_counts_and_what_is_cut_off_does_not() {
    let mut tx = TransmitQueue::new();
    tx.push_slice(b"abcdef");
    tx.advance(4);
    assert_eq!(tx.traffic(2).0.sent.wire_bytes, 4);
    tx.abort();
    assert_eq!(tx.traffic(0).0.sent.wire_bytes, 0);
    tx.push_slice(b"xy");
    tx.advance(2);
    assert_eq!(tx.traffic(0).0.sent.wire_bytes, 2);
}

#[test]
fn a_transport_blocks_once_until_it_takes_something() {
    let mut tx = TransmitQueue::new();
    tx.push_slice(b"abc");
    tx.set_blocked(Instant::now());
    tx.set_blocked(Instant::now());
    tx.advance(1);
    tx.set_blocked(Instant::now());
    assert_eq!(tx.traffic(2).0.blocked, 2);
    tx.discard_traffic(2);
    assert_eq!(*tx.traffic(2).0, Traffic::NONE);
}

#[test]
fn the_growth_of_what_waits_adds_up_to_what_waits() {
    let mut tx = TransmitQueue::new();
    let growth: Vec<_> = [500, 100, 100, 0].map(|waiting| tx.traffic(waiting).1).into();
    let sums = growth.iter().scan(0_u64, |sum, growth| {
        *sum = sum.wrapping_add(*growth);
        Some(*sum)
    });
    assert_eq!(sums.collect::<Vec<_>>(), [500, 100, 100, 0]);
}
