//! Closing while the transport is blocked: what still goes out before the Close, and what does not.

use crate::{MessageKind, Transport};

use super::{
    backpressure::blocked,
    bench::{CLOSE_TIMEOUT, SECOND, both, both_with, config},
    wire::{close, ping, text},
};

#[test]
fn our_close_waits_behind_data_that_was_accepted() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("accepted");
        end.sends_ping(b"p");
        end.closes(1000, "");
        assert!(end.connection.send(MessageKind::Text, b"late", &mut end.tx).is_err());
        end.receives([ping("unanswered")]);
        end.sends_nothing();
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_ping(b"p");
        end.sent_text("accepted");
        end.sent_close(1000);
    });
}

#[test]
fn a_close_with_more_data_before_it_than_is_encoded_ahead_comes_last() {
    both(|mut end| {
        for at in 0..20 {
            end.connection.send(MessageKind::Binary, &[at; 15_000], &mut end.tx).unwrap();
        }
        end.connection.pump(&mut end.tx);
        end.closes(1000, "");
        for at in 0..20 {
            end.sent_binary([at; 15_000]);
        }
        end.sent_close(1000);
    });
}

#[test]
fn the_peers_close_is_answered_in_place_of_data_that_was_not_begun() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("not begun");
        end.sends_ping(b"p");
        end.receives([ping("q"), close(1000, "")]);
        end.sends_nothing();
        end.transport_takes(4);
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_pong(b"q");
        end.sent_ping(b"p");
        end.sent_close(1000);
        end.delivers_ping(b"q");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn crossing_closes_leave_a_begun_frame_whole() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_owned(vec![1; 1_000_000]);
        end.sends_text("not begun");
        end.transport_takes(500_000);
        end.closes(1000, "ours");
        end.receives([close(1001, "theirs")]);
        end.transport_flows();
        end.sent_binary(vec![1; 1_000_000]);
        assert_eq!(end.sent_close(1000), "ours");
        end.peer_hangs_up();
        assert!(end.is_finished().is_clean());
    });
}

#[test]
fn a_violation_while_a_pong_is_being_written_is_still_answered() {
    both(|mut end| {
        end.transport_blocks();
        end.receives([ping("half written")]);
        end.transport_takes(3);
        end.receives([text(b"\xff")]);
        end.transport_flows();
        end.sent_pong(b"half written");
        end.sent_close(1007);
    });
}

#[test]
fn a_peer_that_stops_reading_and_closes_is_gone_after_the_close_timeout() {
    both_with(&config(|config| config.write_queue_bytes = 16 << 20), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 8 << 20]);
        end.receives([close(1000, "")]);
        assert_eq!(end.transport(), Transport::Open);
        end.passes(CLOSE_TIMEOUT - SECOND);
        end.delivers_nothing();
        end.passes(SECOND);
        let info = end.is_finished();
        assert!(!info.is_clean());
        assert_eq!(info.sent, None);
    });
}
