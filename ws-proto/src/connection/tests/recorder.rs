//! The recorder tells why a connection closed.

use std::time::Duration;

use crate::{
    CloseCode, Config, Keepalive, MessageKind, ValidConfig,
    error::SendError,
    frame::OpCode,
    recorder::{RecordedEvent, Recording},
};

use super::{
    endpoint::{CLOSE_TIMEOUT, Endpoint, SECOND, both_with, config},
    wire::{binary, close, continuation, empty_close, frame, ping, pong, text},
};

const HALF: Duration = Duration::from_millis(500);

fn recording(change: impl FnOnce(&mut Config)) -> ValidConfig {
    config(|config| {
        config.recorder = Some(100);
        config.keepalive = None;
        config.message_timeout = None;
        change(config);
    })
}

/// Checks that the connection is over, and that its recording prints like this.
#[track_caller]
fn tells(end: &mut Endpoint, expected: &str) {
    end.seen.retain(|seen| matches!(seen, super::endpoint::Seen::Closed(_)));
    let info = end.is_finished();
    let recording = info.recording().expect("the connection records");
    assert_eq!(format!("\n{recording}"), expected);
    assert_eq!(end.connection.recording().as_ref(), Some(recording));
}

fn events(recording: Option<Recording>) -> Vec<RecordedEvent> {
    recording.unwrap().events().map(|recorded| recorded.event).collect()
}

#[test]
fn a_normal_close() {
    both_with(&recording(|_| ()), |mut end| {
        end.echoes = true;
        end.passes(HALF);
        end.receives([text("hello")]);
        end.passes(3 * HALF);
        end.receives([close(1000, "bye")]);
        end.passes(Duration::from_micros(1));
        end.peer_hangs_up();
        let expected = "
    0.500000 s  received text, 5 bytes
    0.500000 s  sent text, 5 bytes
    2.000000 s  received Close 1000
    2.000000 s  sent Close 1000
    2.000001 s  the peer's stream ended
    2.000001 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn a_close_of_this_side() {
    both_with(&recording(|_| ()), |mut end| {
        end.closes(4000, "reason");
        end.passes(HALF);
        end.receives([pong("late"), empty_close()]);
        end.peer_hangs_up();
        let expected = "
    0.000000 s  close requested 4000
    0.000000 s  sent Close 4000
    0.500000 s  received pong, 4 bytes
    0.500000 s  received Close without a code
    0.500000 s  the peer's stream ended
    0.500000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn a_slow_peer_that_is_cut_off() {
    let one = recording(|config| config.write_queue_messages = 1);
    both_with(&one, |mut end| {
        end.passes(HALF);
        end.transport_blocks();
        end.sends_owned(vec![0; 125]);
        end.passes(HALF);
        let refused = end.connection.send(MessageKind::Text, b"refused", &mut end.tx);
        assert_eq!(refused, Err(SendError::Full(())));
        end.transport_takes(100);
        end.passes(Duration::from_secs(70));
        let waiting = if end.role() == crate::Role::Server { 127 } else { 131 };
        // The time is that of the latest input: the application's send brings none.
        let expected = format!(
            "
    0.000000 s  sent binary, 125 bytes
    0.000000 s  the transport accepts no more: {waiting} bytes wait
    0.000000 s  write queue full: refused a message of 7 bytes
   61.000000 s  failed: a deadline passed: no bytes taken by the peer within the write timeout
   61.000000 s  ended"
        );
        tells(&mut end, &expected);
    });
}

#[test]
fn a_full_queue_is_recorded_once_until_a_message_is_accepted() {
    let one = recording(|config| config.write_queue_messages = 1);
    both_with(&one, |mut end| {
        end.transport_blocks();
        end.sends_owned(vec![0; 125]);
        for payload in [&b"refused"[..], b"refused", b"another"] {
            let refused = end.connection.send(MessageKind::Text, payload, &mut end.tx);
            assert_eq!(refused, Err(SendError::Full(())));
        }
        end.transport_flows();
        end.transport_blocks();
        end.sends_owned(vec![0; 125]);
        for _ in 0..2 {
            let refused = end.connection.send(MessageKind::Text, b"late", &mut end.tx);
            assert_eq!(refused, Err(SendError::Full(())));
        }
        let refused = |event: &RecordedEvent| matches!(event, RecordedEvent::SendRefused { .. });
        let refusals: Vec<_> = events(end.connection.recording()).into_iter().filter(refused).collect();
        assert_eq!(refusals, [7, 4].map(|len| RecordedEvent::SendRefused { len }));
    });
}

#[test]
fn a_slow_peer_that_catches_up_is_blocked_once() {
    both_with(&recording(|_| ()), |mut end| {
        end.transport_blocks();
        end.sends_text("one");
        for _ in 0..3 {
            end.transport_takes(1);
        }
        end.sends_text("two");
        end.transport_flows();
        end.sends_text("three");
        let sent = |len| RecordedEvent::FrameSent { opcode: OpCode::Text, fin: true, len };
        let waiting = if end.role() == crate::Role::Server { 5 } else { 9 };
        let blocked = RecordedEvent::WriteBlocked { waiting };
        let expected = [sent(3), blocked, sent(3), RecordedEvent::WriteDrained, sent(5)];
        assert_eq!(events(end.connection.recording()), expected);
    });
}

#[test]
fn a_protocol_error() {
    both_with(&recording(|_| ()), |mut end| {
        end.passes(HALF);
        end.receives([text("fine").not_final(), ping("")]);
        end.passes(HALF);
        end.receives([frame(3, b"")]);
        end.passes(HALF);
        end.peer_hangs_up();
        let expected = "
    0.500000 s  received text, 4 bytes, not final
    0.500000 s  received ping, 0 bytes
    0.500000 s  sent pong, 0 bytes
    1.000000 s  failed: the peer violated the protocol: reserved opcode 3
    1.000000 s  sent Close 1002
    1.500000 s  the peer's stream ended
    1.500000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn a_keepalive_timeout() {
    let keepalive = recording(|config| {
        config.keepalive = Some(Keepalive::new(10 * SECOND, 25 * SECOND));
    });
    both_with(&keepalive, |mut end| {
        end.passes(10 * SECOND);
        let payload = end.outbound.pop().unwrap().payload;
        end.passes(HALF);
        end.receives([pong(payload)]);
        end.passes(40 * SECOND);
        assert_eq!(end.connection.stats(&end.tx), None);
        end.passes(CLOSE_TIMEOUT);
        let expected = "
   10.000000 s  sent keepalive ping 1
   10.500000 s  received pong, 8 bytes
   10.500000 s  keepalive pong after 500ms
   20.500000 s  sent keepalive ping 2
   30.500000 s  keepalive pong is late
   40.500000 s  keepalive pong is late
   45.500000 s  failed: a deadline passed: no pong within the keepalive timeout
   45.500000 s  sent Close 1011
   50.500000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn an_idle_timeout() {
    both_with(&recording(|config| config.idle_timeout = Some(SECOND)), |mut end| {
        end.passes(SECOND);
        end.receives([close(1001, "")]);
        end.peer_hangs_up();
        let expected = "
    1.000000 s  failed: a deadline passed: no data in either direction within the idle timeout
    1.000000 s  sent Close 1001
    1.000000 s  received Close 1001
    1.000000 s  the peer's stream ended
    1.000000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn a_close_that_the_peer_does_not_answer() {
    both_with(&recording(|_| ()), |mut end| {
        end.closes(1000, "");
        end.passes(CLOSE_TIMEOUT);
        let expected = "
    0.000000 s  close requested 1000
    0.000000 s  sent Close 1000
    5.000000 s  failed: a deadline passed: closing handshake not complete within the close timeout
    5.000000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn an_end_without_a_close_and_an_abort() {
    both_with(&recording(|_| ()), |mut end| {
        end.passes(HALF);
        end.peer_hangs_up();
        let expected = "
    0.500000 s  the peer's stream ended
    0.500000 s  failed: the byte stream ended without a Close frame
    0.500000 s  ended";
        tells(&mut end, expected);
    });
    both_with(&recording(|_| ()), |mut end| {
        end.connection.abort(&mut end.tx);
        end.drive();
        tells(&mut end, "\n    0.000000 s  aborted\n    0.000000 s  ended");
    });
}

#[test]
fn a_paused_application_and_what_is_held_for_it() {
    let little = recording(|config| config.limits.max_held_bytes = 10);
    both_with(&little, |mut end| {
        end.pauses();
        end.pauses();
        end.receives([text("t").not_final(), continuation("ext that is held")]);
        end.passes(SECOND);
        end.resumes();
        end.receives([binary("")]);
        let held = RecordedEvent::ReadingStopped { held: end_held() };
        let expected = [RecordedEvent::Paused, held, RecordedEvent::Resumed, RecordedEvent::ReadingResumed];
        let events = events(end.connection.recording());
        let states: Vec<_> = events
            .into_iter()
            .filter(|event| !matches!(event, RecordedEvent::FrameReceived { .. }))
            .collect();
        assert_eq!(states, expected);
    });
}

/// A text of 17 bytes with its header, and the overhead of an entry.
const fn end_held() -> u64 {
    17 + 2 + crate::memory::MESSAGE_OVERHEAD as u64
}

#[test]
fn the_hold_between_two_messages_is_not_a_pause() {
    both_with(&recording(|_| ()), |mut end| {
        for _ in 0..3 {
            end.connection.hold();
            end.resumes();
        }
        assert_eq!(events(end.connection.recording()), []);
    });
}

#[test]
fn the_recorder_keeps_the_latest_events() {
    both_with(&recording(|config| config.recorder = Some(3)), |mut end| {
        for number in 0..10 {
            end.passes(SECOND);
            end.receives([binary(vec![0; number])]);
        }
        end.receives([close(1000, "")]);
        end.peer_hangs_up();
        let expected = "
(11 earlier events)
   10.000000 s  sent Close 1000
   10.000000 s  the peer's stream ended
   10.000000 s  ended";
        tells(&mut end, expected);
    });
}

#[test]
fn the_clock_of_a_driver_with_coarse_time_is_used() {
    both_with(&recording(|_| ()), |mut end| {
        assert!(end.connection.wants_clock());
        end.connection.handle_clock(end.now + Duration::from_micros(1234));
        end.receives([text("x")]);
        let recording = end.connection.recording().unwrap();
        assert_eq!(recording.opened_at(), end.now);
        assert_eq!(recording.to_string(), "    0.001234 s  received text, 1 byte");
        assert_eq!(end.connection.poll_timeout(&end.tx), None);
    });
}

#[test]
fn a_recording_contains_no_payload_and_no_reason() {
    both_with(&recording(|config| config.statistics = true), |mut end| {
        end.receives([text("secret"), ping("secret"), close(4000, "secret")]);
        end.peer_hangs_up();
        end.seen.retain(|seen| matches!(seen, super::endpoint::Seen::Closed(_)));
        let info = end.is_finished();
        let recording = info.recording().unwrap();
        let printed = format!("{recording} {recording:?} {:?}", info.stats());
        assert!(printed.contains("4000") && !printed.contains("secret"), "{printed}");
        assert_eq!(info.received.as_ref().and_then(|frame| frame.code), CloseCode::new(4000).ok());
    });
}
