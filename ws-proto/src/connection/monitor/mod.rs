//! Counts and records what a connection does. Only a connection that is configured for it has a monitor, so the others
//! pay one branch where something is counted.

mod keepalive_pings;
mod observe;

use std::time::{Duration, Instant};

use crate::{
    config::Config,
    error::SendError,
    frame::{FrameHeader, OpCode},
    recorder::{RecordedEvent, Recorder},
    stats::{ConnectionStats, DirectionStats, Queued, RoundTrip},
};

use keepalive_pings::KeepalivePings;

pub(super) struct Monitor {
    /// Without what is computed when it is asked for: `queued`, and the wire bytes sent.
    stats: ConnectionStats,
    /// The latest time that the driver reported.
    now: Instant,
    /// Bytes of frames that were encoded and not cut off.
    encoded: u64,
    pings: KeepalivePings,
    recorder: Option<Recorder>,
    /// Whether the transport accepted no more bytes, and what waited is not written since.
    was_blocked: bool,
    /// Whether reading had stopped because too much is held, as of the latest look.
    was_full: bool,
    /// A message was refused, and none was accepted since.
    has_refused: bool,
}

/// What waits, as of a look at it.
#[derive(Clone, Copy)]
struct Look {
    queued: Queued,
    /// Encoded bytes that are not written, and the rest of a frame whose header is encoded.
    unwritten: u64,
    is_blocked: bool,
    /// What is held, if reading has stopped for that.
    full: Option<usize>,
}

impl Monitor {
    pub(super) fn for_config(config: &Config, now: Instant) -> Option<Box<Self>> {
        (config.statistics || config.recorder.is_some()).then(|| {
            Box::new(Self {
                stats: ConnectionStats::new(now),
                now,
                encoded: 0,
                pings: KeepalivePings::default(),
                recorder: config.recorder.map(|length| Recorder::new(length, now)),
                was_blocked: false,
                was_full: false,
                has_refused: false,
            })
        })
    }

    fn advance_to(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn record(&mut self, event: RecordedEvent) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(event, self.now);
        }
    }

    fn on_read(&mut self, bytes: usize) {
        self.stats.received.wire_bytes += bytes as u64;
    }

    fn on_frame_received(&mut self, opcode: OpCode, fin: bool, len: u64) {
        self.stats.received.frames += 1;
        if opcode != OpCode::Close {
            self.record(RecordedEvent::FrameReceived { opcode, fin, len });
        }
    }

    fn on_message_received(&mut self, len: usize) {
        count_message(&mut self.stats.received, len);
    }

    fn on_ping(&mut self) {
        self.stats.received.pings += 1;
    }

    /// Returns the round-trip time if the pong gives one.
    fn on_pong(&mut self, payload: &[u8]) -> Option<Duration> {
        self.stats.received.pongs += 1;
        let sample = self.pings.on_pong(payload, self.now);
        if let Some(sample) = sample {
            let before = self.stats.round_trip;
            let after = before.map_or_else(|| RoundTrip::first(sample), |before| before.with(sample));
            self.stats.round_trip = Some(after);
            self.record(RecordedEvent::KeepalivePong { round_trip: sample });
        }
        sample
    }

    fn on_send<T>(&mut self, len: usize, admitted: &Result<(), SendError<T>>) {
        match admitted {
            Ok(()) => {
                count_message(&mut self.stats.sent, len);
                self.has_refused = false;
            }
            // A message that waits for room is tried again and again.
            Err(SendError::Full(_)) if !std::mem::replace(&mut self.has_refused, true) => {
                self.record(RecordedEvent::SendRefused { len: len as u64 });
            }
            Err(_) => {}
        }
    }

    pub(super) fn on_frame_sent(&mut self, header: &FrameHeader) {
        self.encoded += header.encoded_len() as u64 + header.payload_len;
        let sent = &mut self.stats.sent;
        sent.frames += 1;
        match header.opcode {
            OpCode::Ping => sent.pings += 1,
            OpCode::Pong => sent.pongs += 1,
            _ => {}
        }
        self.record(match header.opcode {
            OpCode::Ping if self.pings.is_encoding() => {
                RecordedEvent::KeepalivePing { number: self.pings.number() }
            }
            // The caller records it, with its code.
            OpCode::Close => return,
            opcode => RecordedEvent::FrameSent { opcode, fin: header.fin, len: header.payload_len },
        });
    }

    fn on_look(&mut self, look: Look) {
        let peak = &mut self.stats.queued_peak;
        *peak = largest(*peak, look.queued);
        self.pings.on_position(self.encoded.saturating_sub(look.unwritten));
        let waiting = look.queued.bytes as u64;
        if !self.was_blocked && look.is_blocked {
            self.was_blocked = true;
            self.record(RecordedEvent::WriteBlocked { waiting });
        } else if self.was_blocked && !look.is_blocked && waiting == 0 {
            self.was_blocked = false;
            self.record(RecordedEvent::WriteDrained);
        }
        if std::mem::replace(&mut self.was_full, look.full.is_some()) != look.full.is_some() {
            self.record(match look.full {
                Some(held) => RecordedEvent::ReadingStopped { held: held as u64 },
                None => RecordedEvent::ReadingResumed,
            });
        }
    }

    /// Messages are given up, and encoded bytes.
    fn on_cut_off(&mut self, messages: usize, unwritten: u64) {
        self.stats.cut_off += messages as u64;
        self.encoded = self.encoded.saturating_sub(unwritten);
        self.was_blocked &= unwritten == 0;
    }
}

fn count_message(direction: &mut DirectionStats, len: usize) {
    direction.messages += 1;
    direction.payload_bytes += len as u64;
}

fn largest(one: Queued, other: Queued) -> Queued {
    Queued { messages: one.messages.max(other.messages), bytes: one.bytes.max(other.bytes) }
}
