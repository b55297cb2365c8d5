//! Where the connection reports to its monitor.

use std::time::Instant;

use crate::{
    close::Trace,
    error::SendError,
    frame::{FrameHeader, OpCode},
    memory::TransmitQueue,
    message::MessageKind,
    recorder::{RecordedEvent, Recorder, Recording},
    stats::ConnectionStats,
};

#[cfg(feature = "deflate")]
use crate::stats::CompressedStats;

use super::{
    super::{Connection, outbox::Begun},
    Look, Monitor, largest,
};

impl Connection {
    /// What the connection has received and sent so far; also after its end. `None` without
    /// [`Config::statistics`](crate::Config::statistics).
    #[must_use]
    pub fn stats(&self, tx: &TransmitQueue) -> Option<ConnectionStats> {
        let monitor = self.monitor().filter(|_| self.config.statistics)?;
        let mut stats = monitor.stats;
        stats.queued = self.queued(tx);
        stats.queued_peak = largest(stats.queued_peak, stats.queued);
        stats.sent.wire_bytes = monitor.encoded.saturating_sub(self.unwritten(tx));
        Some(stats)
    }

    /// The latest events; also after the connection's end. `None` without
    /// [`Config::recorder`](crate::Config::recorder).
    #[must_use]
    pub fn recording(&self) -> Option<Recording> {
        self.monitor()?.recorder.as_ref().map(Recorder::recording)
    }

    /// What is known at the end, for the [`CloseInfo`](crate::CloseInfo).
    pub(in crate::connection) fn trace(&self, tx: &TransmitQueue) -> Trace {
        Trace::new(self.stats(tx), self.recording())
    }

    /// Whether the exact time of the next read or write is needed, for the round-trip time or the recorder. It is for a
    /// driver whose `now` is coarse: before it reports the read or the write, it calls
    /// [`handle_clock`](Self::handle_clock).
    #[inline]
    #[must_use]
    pub fn wants_clock(&self) -> bool {
        self.monitor().is_some_and(|monitor| monitor.pings.is_timing() || monitor.recorder.is_some())
    }

    /// It is `now`. Deadlines do not depend on it, so this time may be later than that of the next input.
    pub fn handle_clock(&mut self, now: Instant) {
        self.observe_time(now);
    }

    #[inline]
    pub(in crate::connection) fn observe_time(&mut self, now: Instant) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.advance_to(now);
        }
    }

    #[inline]
    fn monitor(&self) -> Option<&Monitor> {
        self.rare.as_ref()?.monitor.as_deref()
    }

    #[inline]
    fn monitor_mut(&mut self) -> Option<&mut Monitor> {
        self.rare.as_mut()?.monitor.as_deref_mut()
    }

    /// Encoded bytes that are not written, and the rest of a frame whose header is encoded.
    fn unwritten(&self, tx: &TransmitQueue) -> u64 {
        let rest = match self.outbox.as_ref().and_then(|outbox| outbox.begun.as_ref()) {
            Some(Begun::Masking(masking)) => masking.payload.len(),
            _ => 0,
        };
        (tx.len() + rest) as u64
    }

    #[inline]
    pub(in crate::connection) fn observe_read(&mut self, bytes: usize, now: Instant) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.advance_to(now);
            monitor.on_read(bytes);
        }
    }

    /// A message in one frame was received.
    #[inline]
    pub(in crate::connection) fn observe_fast_message(&mut self, kind: MessageKind, len: usize) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_frame_received(kind.opcode(), true, len as u64);
            monitor.on_message_received(len);
        }
    }

    pub(in crate::connection) fn observe_header(&mut self, header: &FrameHeader) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_frame_received(header.opcode, header.fin, header.payload_len);
        }
    }

    pub(in crate::connection) fn observe_message(&mut self, len: usize) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_message_received(len);
        }
    }

    pub(in crate::connection) fn observe_control(
        &mut self,
        opcode: OpCode,
        payload: &[u8],
        tx: &mut TransmitQueue,
    ) {
        tx.traffic.received.control_frames += 1;
        let Some(monitor) = self.monitor_mut() else { return };
        match opcode {
            OpCode::Ping => monitor.on_ping(),
            OpCode::Pong => tx.traffic.round_trip = monitor.on_pong(payload).or(tx.traffic.round_trip),
            _ => {}
        }
    }

    #[inline]
    pub(in crate::connection) fn observe_send(
        &mut self,
        len: usize,
        admitted: &Result<(), SendError>,
        tx: &TransmitQueue,
    ) {
        if admitted.is_err() {
            self.observe_queue(tx);
        }
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_send(len, admitted);
        }
    }

    /// A frame that is already encoded is queued.
    pub(in crate::connection) fn observe_framed(&mut self, frame: &[u8]) {
        if let Some(monitor) = self.monitor_mut()
            && let Ok(Some(header)) = FrameHeader::parse(frame)
        {
            monitor.on_frame_sent(&header);
        }
    }

    #[cfg(feature = "deflate")]
    pub(in crate::connection) fn observe_inflated(&mut self, len: usize, compressed: usize) {
        if let Some(monitor) = self.monitor_mut() {
            count_compressed(&mut monitor.stats.received.compressed, true, len, compressed);
        }
    }

    /// `len` bytes of a message were compressed, the last of them if `fin` is set.
    #[cfg(feature = "deflate")]
    pub(in crate::connection) fn observe_deflated(&mut self, fin: bool, len: usize, compressed: usize) {
        if let Some(monitor) = self.monitor_mut() {
            count_compressed(&mut monitor.stats.sent.compressed, fin, len, compressed);
        }
    }

    /// A message is sent as a frame that was compressed before.
    #[cfg(feature = "deflate")]
    pub(in crate::connection) fn observe_compressed_frame(&mut self, len: usize, frame: &[u8]) {
        if let Some(monitor) = self.monitor_mut()
            && let Ok(Some(header)) = FrameHeader::parse(frame)
        {
            let compressed = frame.len() - header.encoded_len();
            count_compressed(&mut monitor.stats.sent.compressed, true, len, compressed);
        }
    }

    /// The payload of the next keepalive ping: empty, or a number that its pong is recognised by.
    pub(in crate::connection) fn next_keepalive_payload(&mut self) -> Option<[u8; 8]> {
        self.monitor_mut().map(|monitor| monitor.pings.next_payload())
    }

    pub(in crate::connection) fn observe_keepalive(&mut self) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.pings.on_encoded(monitor.encoded);
        }
    }

    #[inline]
    pub(in crate::connection) fn observe_write(&mut self, now: Instant) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.advance_to(now);
            monitor.pings.on_write(monitor.now);
        }
    }

    /// Records an event that only the recorder needs.
    #[inline]
    pub(in crate::connection) fn observe(&mut self, event: RecordedEvent) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.record(event);
        }
    }

    /// Call it before what waits becomes less, and after a write.
    #[inline]
    pub(in crate::connection) fn observe_queue(&mut self, tx: &TransmitQueue) {
        if self.monitor().is_some() {
            let look = self.look(tx);
            if let Some(monitor) = self.monitor_mut() {
                monitor.on_look(look);
            }
        }
    }

    fn look(&self, tx: &TransmitQueue) -> Look {
        Look {
            queued: self.queued(tx),
            unwritten: self.unwritten(tx),
            is_blocked: tx.is_blocked(),
            full: self.is_full().then(|| self.held_bytes()),
        }
    }

    /// All that waits is about to be given up.
    pub(in crate::connection) fn observe_cut_off(&mut self, tx: &TransmitQueue) {
        self.observe_queue(tx);
        let look = self.look(tx);
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_cut_off(look.queued.messages, look.unwritten);
        }
    }

    /// Messages that are not encoded, or not completely, are given up.
    pub(in crate::connection) fn observe_dropped(&mut self, messages: usize) {
        if let Some(monitor) = self.monitor_mut() {
            monitor.on_cut_off(messages, 0);
        }
    }
}

#[cfg(feature = "deflate")]
fn count_compressed(compressed: &mut CompressedStats, is_complete: bool, payload: usize, bytes: usize) {
    compressed.messages += u64::from(is_complete);
    compressed.payload_bytes += payload as u64;
    compressed.compressed_bytes += bytes as u64;
}
