//! Owned payloads that are too large to be encoded at once: a server's go out in place, a client's are masked piece by
//! piece.

use std::io::ErrorKind;

use bytes::Bytes;

use crate::Completion::{CutOff, Written};

use super::{
    bench::{Endpoint, SECOND, both, both_with, config},
    wire::{close, ping},
};

/// Not a multiple of anything.
const LARGE: usize = 1_000_003;

fn large() -> Bytes {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

/// Everything is taken, a little at a time.
fn flows_slowly(end: &mut Endpoint) {
    for _ in 0..100 {
        end.transport_takes(12_345);
    }
    end.transport_flows();
}

#[test]
fn they_arrive_whole_however_little_the_transport_takes() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_text("behind");
        flows_slowly(&mut end);
        end.sent_binary(large());
        end.sent_text("behind");
        assert_eq!(end.completions, [Written]);
        end.is_open();
    });
}

#[test]
fn a_payload_that_others_still_hold_is_not_touched() {
    both(|mut end| {
        let payload = large();
        end.sends_owned(payload.clone());
        end.sent_binary(&payload);
        assert_eq!(payload, large());
    });
}

#[test]
fn a_masked_copy_is_never_larger_than_a_piece() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        for _ in 0..100 {
            end.transport_takes(12_345);
            assert!(end.tx.capacity() <= 128 * 1024, "{}", end.tx.capacity());
        }
        let (messages, bytes) = end.connection.queued(&end.tx);
        assert!(messages == 0 || bytes <= LARGE);
    });
}

#[test]
fn what_waits_is_counted_until_it_is_written() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        for taken in [0, 100_000, 400_000] {
            end.transport_takes(taken);
            assert_eq!(end.connection.queued(&end.tx).0, 1);
        }
        let (_, bytes) = end.connection.queued(&end.tx);
        assert!((LARGE - 500_000..LARGE - 500_000 + 100).contains(&bytes), "{bytes}");
        end.transport_flows();
        assert_eq!(end.connection.queued(&end.tx), (0, 0));
    });
}

#[test]
fn control_frames_come_behind_one_that_has_begun_and_before_the_next() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_text("next");
        end.transport_takes(100);
        end.receives([ping("now")]);
        end.sends_ping(b"ours");
        flows_slowly(&mut end);
        end.sent_binary(large());
        end.sent_pong(b"now");
        end.sent_ping(b"ours");
        end.sent_text("next");
    });
}

#[test]
fn one_that_has_begun_is_finished_before_the_peers_close_is_answered() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_owned("dropped");
        end.transport_takes(100);
        end.receives([close(1000, "")]);
        assert_eq!(end.completions, [], "the first may still be written");
        flows_slowly(&mut end);
        end.sent_binary(large());
        end.sent_close(1000);
        assert_eq!(end.completions, [Written, CutOff]);
        end.peer_hangs_up();
        end.seen.clear();
    });
}

#[test]
fn one_that_has_begun_is_cut_off_once() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_owned("waits");
        end.transport_takes(200_000);
        end.connection.handle_transport_error(ErrorKind::ConnectionReset, &mut end.tx);
        end.drive();
        assert_eq!(end.completions, [CutOff, CutOff]);
        end.is_finished();
    });
    both_with(&config(|config| config.write_timeout = Some(SECOND)), |mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.transport_takes(200_000);
        end.closes(1000, "");
        end.passes(SECOND);
        assert_eq!(end.completions, [CutOff]);
        assert_eq!(end.is_finished().sent, None);
    });
}
