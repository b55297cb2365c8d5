//! Owned payloads that are too large to be encoded at once: a server's are sent in place, a client's are masked in
//! pieces.

use std::io::ErrorKind;

use bytes::Bytes;

use crate::{
    Completion::{CutOff, Written},
    Queued,
};

use super::{
    endpoint::{Endpoint, SECOND, both, both_with, config},
    wire::{close, ping},
};

/// Not a multiple of any block size.
const LARGE: usize = 1_000_003;

fn large() -> Bytes {
    (0..LARGE).map(|at| (at % 251) as u8).collect()
}

/// The transport takes everything in small steps.
fn accepts_in_small_steps(end: &mut Endpoint) {
    for _ in 0..100 {
        end.transport_takes(12_345);
    }
    end.transport_flows();
}

#[test]
fn large_sends_arrive_whole_for_any_size_of_writes() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_text("behind");
        accepts_in_small_steps(&mut end);
        end.sent_binary(large());
        end.sent_text("behind");
        assert_eq!(end.completions, [Written]);
        end.is_open();
    });
}

#[test]
fn a_shared_payload_is_not_changed() {
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
        let Queued { messages, bytes } = end.connection.queued(&end.tx);
        assert!(messages == 0 || bytes <= LARGE);
    });
}

#[test]
fn a_large_send_is_counted_until_it_is_written() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        for taken in [0, 100_000, 400_000] {
            end.transport_takes(taken);
            assert_eq!(end.connection.queued(&end.tx).messages, 1);
        }
        let bytes = end.connection.queued(&end.tx).bytes;
        assert!((LARGE - 500_000..LARGE - 500_000 + 100).contains(&bytes), "{bytes}");
        end.transport_flows();
        assert_eq!(end.connection.queued(&end.tx), Queued::default());
    });
}

#[test]
fn control_frames_are_sent_after_a_started_large_send_and_before_the_next() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_text("next");
        end.transport_takes(100);
        end.receives([ping("now")]);
        end.sends_ping(b"ours");
        accepts_in_small_steps(&mut end);
        end.sent_binary(large());
        end.sent_pong(b"now");
        end.sent_ping(b"ours");
        end.sent_text("next");
    });
}

#[test]
fn a_started_large_send_is_completed_before_the_peers_close_is_answered() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(large());
        end.sends_owned("dropped");
        end.transport_takes(100);
        end.receives([close(1000, "")]);
        assert_eq!(end.completions, [], "the first message may still be written");
        accepts_in_small_steps(&mut end);
        end.sent_binary(large());
        end.sent_close(1000);
        assert_eq!(end.completions, [Written, CutOff]);
        end.peer_hangs_up();
        end.seen.clear();
    });
}

#[test]
fn a_started_large_send_is_reported_as_cut_off_once() {
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
