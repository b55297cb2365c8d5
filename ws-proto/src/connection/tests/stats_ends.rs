//! The counters of a connection that ends: what was cut off, and what the report says.

use std::io::ErrorKind;

use crate::{ConnectionState, MessageKind, Notify, PreparedMessage, Queued, Role, close::Initiator};

use super::{
    endpoint::{Endpoint, both, both_with},
    stats::counting,
    wire::{close, text},
};

#[test]
fn a_failed_write_cuts_off_what_waits() {
    both_with(&counting(), |mut end| {
        end.sends_text("written");
        end.transport_blocks();
        end.sends_owned("encoded");
        end.sends_owned("waits");
        end.connection.send_prepared(&PreparedMessage::new("too"), Notify::No, &mut end.tx).unwrap();
        end.transport_takes(3);
        end.connection.handle_write_error(ErrorKind::BrokenPipe, end.now, &mut end.tx);
        end.drive();
        let stats = end.stats();
        assert_eq!((stats.sent.messages, stats.cut_off, stats.queued), (4, 3, Queued::default()));
        assert_eq!(stats.queued_peak.messages, 3);
        end.counts_what_was_written();
        end.peer_hangs_up();
        assert_eq!(end.stats().cut_off, 3);
        end.counts_what_was_written();
    });
}

#[test]
fn a_large_message_that_is_cut_off_counts_its_written_part() {
    for taken in [0, 1, 20, 70_000, 500_000] {
        both_with(&counting(), |mut end| {
            end.transport_blocks();
            end.sends_owned(vec![7; 1_000_003]);
            end.transport_takes(taken);
            end.counts_what_was_written();
            end.connection.abort(&mut end.tx);
            end.drive();
            let stats = end.stats();
            assert_eq!((stats.sent.messages, stats.cut_off, stats.sent.wire_bytes), (1, 1, taken as u64));
        });
    }
}

#[test]
fn the_peers_close_cuts_off_messages_that_are_not_encoded() {
    both_with(&counting(), |mut end| {
        end.transport_blocks();
        end.sends_text("encoded");
        end.sends_text("not encoded");
        end.receives([close(1000, "")]);
        let stats = end.stats();
        assert_eq!((stats.sent.messages, stats.cut_off, stats.queued.messages), (2, 1, 1));
        end.transport_flows();
        end.sent_text("encoded");
        end.sent_close(1000);
        end.counts_what_was_written();
        assert_eq!((end.stats().cut_off, end.stats().queued), (1, Queued::default()));
    });
}

#[test]
fn messages_before_our_close_are_not_cut_off() {
    both_with(&counting(), |mut end| {
        end.transport_blocks();
        end.sends_text("one");
        end.sends_text("two");
        end.closes(1000, "");
        end.transport_flows();
        assert_eq!((end.stats().sent.messages, end.stats().cut_off, end.stats().sent.frames), (2, 0, 3));
        end.counts_what_was_written();
    });
}

#[test]
fn the_report_of_the_end_has_the_statistics() {
    both_with(&counting(), |mut end| {
        end.receives([text("hello")]);
        end.delivers_text("hello");
        end.sends_text("world!");
        assert!(end.connection.close_info().is_none());
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        let info = end.is_finished();
        let stats = *info.stats().unwrap();
        assert_eq!(stats, end.stats());
        assert_eq!((stats.received.messages, stats.sent.payload_bytes), (1, 6));
        assert_eq!((stats.received.frames, stats.sent.frames), (2, 2));
        assert_eq!(end.connection.close_info().unwrap().stats(), Some(&stats));
    });
    both(|mut end| {
        end.peer_hangs_up();
        let info = end.is_finished();
        assert!(info.stats().is_none() && info.recording().is_none());
    });
}

#[test]
fn reports_with_and_without_statistics_are_equal() {
    let report = |config| {
        let mut end = Endpoint::with(Role::Server, config);
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        end.is_finished()
    };
    let (with, without) = (report(&counting()), report(&crate::ValidConfig::default()));
    assert_eq!(with, without);
    assert_eq!((with.initiator, with.stats().is_some(), without.stats()), (Initiator::Remote, true, None));
}

#[test]
fn any_order_of_sends_and_writes_counts_exactly_what_was_written() {
    let mut state = 7_u32;
    let mut dice = |sides: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % sides
    };
    for round in 0..60 {
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let mut end = Endpoint::with(role, &counting());
        let (mut messages, mut payload) = (0, 0);
        end.transport_blocks();
        for _ in 0..80 {
            let len = [0, 5, 126, 20_000, 70_000, 200_000][dice(6) as usize];
            let sent = match dice(6) {
                0 => end.connection.send(MessageKind::Binary, &vec![0; len], &mut end.tx).is_ok(),
                1 => {
                    let bytes = vec![1; len].into();
                    end.connection.send_bytes(MessageKind::Binary, bytes, Notify::Yes, &mut end.tx).is_ok()
                }
                2 => {
                    let prepared = PreparedMessage::new(vec![2; len]);
                    end.connection.send_prepared(&prepared, Notify::No, &mut end.tx).is_ok()
                }
                3 => {
                    let _ = end.connection.ping(b"ping", &mut end.tx);
                    false
                }
                _ => {
                    end.transport_takes(dice(150_000) as usize);
                    false
                }
            };
            messages += u64::from(sent);
            payload += if sent { len as u64 } else { 0 };
            end.counts_what_was_written();
            assert_eq!((end.stats().sent.messages, end.stats().sent.payload_bytes), (messages, payload));
        }
        match dice(3) {
            0 => end.connection.abort(&mut end.tx),
            1 => end.connection.handle_write_error(ErrorKind::BrokenPipe, end.now, &mut end.tx),
            _ => end.transport_flows(),
        }
        end.drive();
        end.counts_what_was_written();
        let written = std::iter::from_fn(|| end.outbound.pop()).filter(|sent| sent.opcode < 8).count() as u64;
        assert_eq!(messages, written + end.stats().cut_off);
        if end.connection.state() == ConnectionState::Open {
            assert_eq!(end.stats().cut_off, 0);
        }
    }
}
