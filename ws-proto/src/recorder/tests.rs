use std::time::{Duration, Instant};

use super::{RecordedEvent, Recorder, packed::Packed};
use crate::{
    CloseCode,
    error::{ConnectionError, TimedOut},
    frame::OpCode,
};

const ERROR: ConnectionError = ConnectionError::TimedOut(TimedOut::Idle);

/// One of each kind, with values at their limits.
fn events() -> Vec<RecordedEvent> {
    let (code, none) = (Some(CloseCode::new(4999).unwrap()), None);
    vec![
        RecordedEvent::FrameReceived { opcode: OpCode::Pong, fin: true, len: u64::MAX },
        RecordedEvent::FrameReceived { opcode: OpCode::Continuation, fin: false, len: 0 },
        RecordedEvent::FrameSent { opcode: OpCode::Binary, fin: false, len: 1 },
        RecordedEvent::SendRefused { len: u64::MAX },
        RecordedEvent::WriteBlocked { waiting: 3 },
        RecordedEvent::WriteDrained,
        RecordedEvent::Paused,
        RecordedEvent::Resumed,
        RecordedEvent::ReadingStopped { held: 4 },
        RecordedEvent::ReadingResumed,
        RecordedEvent::KeepalivePing { number: u64::MAX },
        RecordedEvent::KeepalivePong { round_trip: Duration::from_nanos(u64::MAX) },
        RecordedEvent::KeepaliveLate,
        RecordedEvent::CloseRequested { code },
        RecordedEvent::CloseSent { code: none },
        RecordedEvent::CloseReceived { code },
        RecordedEvent::StreamEnded,
        RecordedEvent::Failed(ERROR),
        RecordedEvent::Aborted,
        RecordedEvent::Ended,
    ]
}

#[test]
fn an_event_takes_16_bytes() {
    assert_eq!(size_of::<Packed>(), 16);
}

#[test]
fn each_event_is_read_as_it_was_recorded() {
    let start = Instant::now();
    let mut recorder = Recorder::new(100, start);
    for (micros, event) in (0..).zip(events()) {
        recorder.record(event, start + Duration::from_micros(micros));
    }
    let recording = recorder.recording();
    assert_eq!(recording.events().map(|recorded| recorded.event).collect::<Vec<_>>(), events());
    let times = recording.events().map(|recorded| recorded.at.as_micros()).collect::<Vec<_>>();
    assert_eq!(times, (0..events().len() as u128).collect::<Vec<_>>());
    assert_eq!(recording.omitted(), 0);
}

#[test]
fn the_latest_events_are_kept_in_order() {
    let start = Instant::now();
    for length in 1..=40 {
        let mut recorder = Recorder::new(length, start);
        for number in 1..=100 {
            recorder.record(RecordedEvent::KeepalivePing { number }, start);
            let (kept, recording) = (number.min(length as u64), recorder.recording());
            let first = number - kept + 1;
            let expected = (first..=number).map(|number| RecordedEvent::KeepalivePing { number });
            assert!(recording.events().map(|recorded| recorded.event).eq(expected));
            assert_eq!(recording.omitted(), number - kept);
        }
    }
}

#[test]
fn no_place_is_allocated_beyond_the_length() {
    let mut recorder = Recorder::new(37, Instant::now());
    for _ in 0..100 {
        recorder.record(RecordedEvent::Paused, Instant::now());
        assert!(recorder.capacity() <= 37);
    }
}

#[test]
fn only_the_first_error_is_recorded() {
    let start = Instant::now();
    let mut recorder = Recorder::new(10, start);
    recorder.record(RecordedEvent::Failed(ERROR), start);
    recorder.record(RecordedEvent::Failed(ConnectionError::Eof), start);
    let events = recorder.recording().events().map(|recorded| recorded.event).collect::<Vec<_>>();
    assert_eq!(events, [RecordedEvent::Failed(ERROR)]);
}

#[test]
fn an_event_prints_as_a_line() {
    let lines = events().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let expected = "\
received pong, 18446744073709551615 bytes
received continuation, 0 bytes, not final
sent binary, 1 byte, not final
write queue full: refused a message of 18446744073709551615 bytes
the transport accepts no more: 3 bytes wait
all that waited is written
delivery paused
delivery resumed
reading stopped: 4 bytes are held
reading resumed
sent keepalive ping 18446744073709551615
keepalive pong after 18446744073.709551615s
keepalive pong is late
close requested 4999
sent Close without a code
received Close 4999
the peer's stream ended
failed: a deadline passed: no data in either direction within the idle timeout
aborted
ended";
    assert_eq!(lines, expected);
}

#[test]
fn a_time_beyond_the_range_counts_as_its_end() {
    let packed = Packed::new(Duration::MAX, RecordedEvent::Ended);
    assert_eq!(packed.at(), Duration::from_micros((1 << 48) - 1));
    assert_eq!(packed.event(None), RecordedEvent::Ended);
}
