//! A blocked transport: what waits, in which order it is sent, and how much may wait.

use bytes::{Buf, Bytes};

use crate::{
    Connection, MessageKind, Notify, Queued, TransmitQueue, ValidConfig,
    error::{ControlError, SendError},
    memory::DEFAULT_RECEIVE_BUFFER,
};

use super::{
    endpoint::{Endpoint, both, both_with, config},
    wire::{PING, PONG, ping},
};

/// The transport is blocked after one message, which is encoded already.
pub(super) fn blocked(end: &mut Endpoint) {
    end.transport_blocks();
    end.sends_text("stuck");
}

fn queue_of(messages: usize) -> ValidConfig {
    config(|config| config.write_queue_messages = messages)
}

#[test]
fn waiting_messages_are_sent_in_order_once_the_transport_accepts_bytes() {
    both(|mut end| {
        blocked(&mut end);
        for at in 0..100 {
            end.sends_text(&format!("message {at}"));
        }
        end.sends_nothing();
        end.transport_flows();
        end.sent_text("stuck");
        for at in 0..100 {
            end.sent_text(&format!("message {at}"));
        }
        end.is_open();
    });
}

#[test]
fn a_frame_stays_whole_for_any_size_of_writes() {
    both(|mut end| {
        end.transport_blocks();
        end.sends_text("first");
        end.sends_owned(vec![7; 20_000]);
        end.sends_ping(b"between");
        end.sends_owned(vec![8; 300]);
        let mut rounds = 0;
        while !end.tx.is_empty() {
            end.transport_takes(if rounds % 3 == 0 { 1 } else { 701 });
            rounds += 1;
        }
        // The ping overtakes data that is not started.
        end.sent_text("first");
        end.sent_ping(b"between");
        end.sent_binary(vec![7; 20_000]);
        end.sent_binary(vec![8; 300]);
        end.sends_nothing();
    });
}

#[test]
fn control_frames_overtake_waiting_data() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("data");
        end.sends_ping(b"1");
        end.connection.pong(b"2", &mut end.tx).unwrap();
        end.sends_text("more");
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_ping(b"1");
        end.sent_pong(b"2");
        end.sent_text("data");
        end.sent_text("more");
        end.sends_nothing();
    });
}

#[test]
fn only_the_latest_ping_is_answered_while_the_transport_is_blocked() {
    both(|mut end| {
        blocked(&mut end);
        for at in 0..1000 {
            end.receives([ping(format!("{at}"))]);
        }
        assert_eq!(end.seen.len(), 1000);
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_pong(b"999");
        end.sends_nothing();
    });
}

#[test]
fn an_automatic_pong_does_not_displace_frames_of_the_application() {
    both(|mut end| {
        blocked(&mut end);
        end.connection.pong(b"mine", &mut end.tx).unwrap();
        end.sends_ping(b"mine too");
        end.receives([ping("old"), ping("new")]);
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_pong(b"new");
        end.sent_pong(b"mine");
        end.sent_ping(b"mine too");
        end.sends_nothing();
    });
}

#[test]
fn a_full_control_queue_accepts_frames_again_once_it_is_written() {
    both(|mut end| {
        blocked(&mut end);
        // 254 of 256 bytes: an entry takes two besides its payload.
        end.sends_ping(&[1; 125]);
        end.sends_ping(&[2; 125]);
        assert_eq!(end.connection.ping(b"x", &mut end.tx), Err(ControlError::Full));
        assert_eq!(end.connection.pong(b"x", &mut end.tx), Err(ControlError::Full));
        end.sends_ping(b"");
        assert_eq!(end.connection.ping(b"", &mut end.tx), Err(ControlError::Full));
        end.receives([ping("an answer has its own place")]);
        end.transport_flows();
        end.sent_text("stuck");
        end.sent_pong(b"an answer has its own place");
        end.sent_ping(&[1; 125]);
        end.sent_ping(&[2; 125]);
        end.sent_ping(b"");
        end.sends_ping(&[3; 125]);
        end.sent_ping(&[3; 125]);
    });
}

#[test]
fn control_frames_count_until_they_are_written() {
    both(|mut end| {
        end.transport_blocks();
        end.connection.ping(&[1; 125], &mut end.tx).unwrap();
        end.connection.ping(&[2; 125], &mut end.tx).unwrap();
        assert_eq!(end.connection.ping(b"x", &mut end.tx), Err(ControlError::Full));
        end.transport_takes(1);
        assert_eq!(end.connection.ping(b"x", &mut end.tx), Err(ControlError::Full));
    });
}

#[test]
fn a_send_between_two_writes_does_not_overtake_waiting_messages() {
    both(|mut end| {
        blocked(&mut end);
        end.sends_text("waits");
        // The transport took a byte; no waiting frame was encoded yet.
        let Endpoint { connection, tx, outbound, .. } = &mut end;
        outbound.push(&tx.chunk()[..1]);
        tx.advance(1);
        connection.send(MessageKind::Text, b"later", tx).unwrap();
        connection.send_bytes(MessageKind::Text, "last".into(), Notify::No, tx).unwrap();
        end.transport_flows();
        for expected in ["stuck", "waits", "later", "last"] {
            end.sent_text(expected);
        }
    });
}

#[test]
fn a_queue_that_never_empties_still_accepts_control_frames() {
    both(|mut end| {
        blocked(&mut end);
        for round in 0..50_u8 {
            while end.connection.send(MessageKind::Binary, &[0; 10_000], &mut end.tx).is_ok() {}
            end.sends_ping(&[round; 100]);
            // A ping is sent after at most what was encoded before it.
            end.transport_takes(200_000);
            assert!(!end.tx.is_empty());
            let pings = std::iter::from_fn(|| end.outbound.pop()).filter(|sent| sent.opcode == PING);
            assert_eq!(pings.count(), 1, "round {round}");
        }
    });
}

#[test]
fn a_flood_of_control_frames_does_not_delay_data() {
    both(|mut end| {
        blocked(&mut end);
        while end.connection.send(MessageKind::Text, &[b'x'; 1000], &mut end.tx).is_ok() {}
        let waiting = end.connection.queued(&end.tx).messages;
        // The peer takes only one pong at a time and asks for the next.
        let mut written = 0;
        for _ in 0..2000 {
            end.receives([ping([b'p'; 125])]);
            let _ = end.connection.ping(&[b'p'; 125], &mut end.tx);
            end.transport_takes(131);
            written += 131;
        }
        let done = waiting - end.connection.queued(&end.tx).messages;
        assert!(done * 1000 > written / 2, "{done} of {waiting} messages in {written} bytes");
    });
}

#[test]
fn a_full_queue_refuses_a_send_and_returns_the_payload() {
    both_with(&queue_of(3), |mut end| {
        end.transport_blocks();
        end.sends_owned("1");
        end.sends_owned("2");
        end.sends_owned("3");
        let Endpoint { connection, tx, .. } = &mut end;
        let refused = connection.send_bytes(MessageKind::Binary, "4".into(), Notify::Yes, tx).unwrap_err();
        assert_eq!(refused, SendError::Full("4".into()));
        let refused = connection.send_message("5".into(), Notify::No, tx).unwrap_err();
        assert_eq!(refused.into_payload().as_text(), Some("5"));
        assert_eq!(connection.send(MessageKind::Text, b"6", tx), Err(SendError::Full(())));
        end.transport_flows();
        for payload in ["1", "2", "3"] {
            end.sent_binary(payload);
        }
        assert_eq!(end.completions.len(), 3, "a refused send must not get a report");
        end.sends_owned("7");
        end.sent_binary("7");
        end.is_open();
    });
}

#[test]
fn with_a_queue_of_one_each_message_must_be_written_before_the_next() {
    both_with(&queue_of(1), |mut end| {
        end.transport_blocks();
        end.sends_text("one");
        assert_eq!(end.connection.send(MessageKind::Text, b"two", &mut end.tx), Err(SendError::Full(())));
        end.sends_ping(b"control frames have a queue of their own");
        end.transport_takes(3);
        assert_eq!(end.connection.send(MessageKind::Text, b"two", &mut end.tx), Err(SendError::Full(())));
        end.transport_flows();
        end.sends_text("two");
        end.sent_text("one");
        end.sent_ping(b"control frames have a queue of their own");
        end.sent_text("two");
    });
}

#[test]
fn the_queue_is_bounded_in_bytes_and_accepts_a_larger_message_alone() {
    both_with(&config(|config| config.write_queue_bytes = 1000), |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![1; 5000]);
        assert_eq!(end.connection.send(MessageKind::Text, b"x", &mut end.tx), Err(SendError::Full(())));
        end.transport_flows();
        end.sent_binary(vec![1; 5000]);
        end.transport_blocks();
        end.sends_owned(vec![2; 500]);
        assert!(end.connection.send(MessageKind::Text, &[3; 500], &mut end.tx).is_err());
        end.sends_owned(vec![4; 200]);
    });
}

#[test]
fn empty_messages_are_bounded_too() {
    both_with(&config(|config| config.write_queue_bytes = 10_000), |mut end| {
        end.transport_blocks();
        let mut accepted = 0;
        while end.connection.send(MessageKind::Text, b"", &mut end.tx).is_ok() {
            end.drive();
            accepted += 1;
            assert!(accepted < 10_000);
        }
        assert!(accepted > 100);
    });
}

#[test]
fn pending_reports_are_bounded_in_bytes() {
    both_with(&config(|config| config.write_queue_bytes = 100_000), |mut end| {
        let Endpoint { connection, tx, .. } = &mut end;
        let send = |connection: &mut Connection, tx: &mut TransmitQueue, notify| {
            connection.send_bytes(MessageKind::Binary, Bytes::new(), notify, tx)
        };
        let reported = (0..100_000).take_while(|_| send(connection, tx, Notify::Yes).is_ok()).count();
        assert!((1000..=100_000 / 32).contains(&reported), "{reported}");
        assert!(tx.held_bytes() >= 32 * reported, "the budget counts them too");
        tx.abort();
        // Sends without a report share an entry.
        let plain = (0..100_000).take_while(|_| send(connection, tx, Notify::No).is_ok()).count();
        assert!(plain >= 10_000, "{plain}");
    });
}

#[test]
fn each_message_of_a_read_can_be_answered_with_a_report() {
    both(|mut end| {
        // The smallest frames that fill a read.
        for _ in 0..DEFAULT_RECEIVE_BUFFER / 6 {
            end.connection.send_bytes(MessageKind::Binary, Bytes::new(), Notify::Yes, &mut end.tx).unwrap();
        }
    });
}

#[test]
fn a_queue_frees_its_memory_when_it_becomes_short() {
    both_with(&config(|config| config.write_queue_bytes = 1 << 24), |mut end| {
        blocked(&mut end);
        for _ in 0..50_000 {
            end.connection.send(MessageKind::Binary, b"x", &mut end.tx).unwrap();
        }
        let entries = |end: &Endpoint| end.connection.outbox.as_ref().map_or(0, |outbox| outbox.capacity());
        assert!(entries(&end) >= 50_000);
        while end.connection.queued(&end.tx).messages > 1000 {
            end.transport_takes(1000);
        }
        assert!(entries(&end) <= 5000, "{}", entries(&end));
    });
}

#[test]
fn queued_messages_and_bytes_are_reported() {
    both(|mut end| {
        assert_eq!(end.connection.queued(&end.tx), Queued::default());
        blocked(&mut end);
        end.sends_text("waits");
        let Queued { messages, bytes } = end.connection.queued(&end.tx);
        assert_eq!(messages, 2);
        assert!(bytes >= 10);
        end.transport_flows();
        assert_eq!(end.connection.queued(&end.tx), Queued::default());
    });
}

#[test]
fn answers_to_a_peer_that_reads_a_byte_at_a_time_stay_bounded() {
    both(|mut end| {
        end.transport_blocks();
        for _ in 0..5000 {
            end.receives([ping([b'p'; 125])]);
            end.transport_takes(1);
        }
        assert!(end.tx.len() < 70_000, "{} bytes wait", end.tx.len());
        let pongs = std::iter::from_fn(|| end.outbound.pop()).all(|sent| sent.opcode == PONG);
        assert!(pongs);
    });
}
