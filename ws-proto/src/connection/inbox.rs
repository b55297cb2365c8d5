//! Messages that came while the application had paused reading, and the end that came behind them.

use std::{collections::VecDeque, time::Instant};

use crate::{
    buffer::PooledBuffer,
    close::CloseFrame,
    error::ConnectionError,
    frame::{FrameHeader, MAX_HEADER_LEN},
    message::MessageKind,
};

/// What ends the incoming stream of messages.
#[derive(Debug)]
pub(super) enum End {
    PeerClose(CloseFrame),
    Failure(ConnectionError),
}

/// What an assembled message counts beside its payload, so that a flood of empty ones is bounded too.
const MESSAGE_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    held: VecDeque<Held>,
    /// What all of it takes: headers of packed messages, overhead of assembled ones, and payloads.
    bytes: usize,
    /// Takes effect once the held messages are delivered, or at the deadline.
    pub(super) end: Option<(End, Instant)>,
}

/// Small messages are packed side by side as unmasked frames, so that holding a message never costs more memory
/// than it took on the wire; assembled ones are moved.
#[derive(Debug)]
enum Held {
    Packed { frames: Vec<u8>, read: usize },
    Message(MessageKind, PooledBuffer),
}

impl Inbox {
    /// `more` says how many received bytes are still to be looked at: what may follow.
    pub(super) fn push_slice(&mut self, kind: MessageKind, payload: &[u8], more: usize) {
        let mut header = [0; MAX_HEADER_LEN];
        let len = FrameHeader::new(kind.opcode(), payload.len() as u64, None).encode(&mut header);
        if !matches!(self.held.back(), Some(Held::Packed { .. })) {
            let frames = Vec::with_capacity(len + payload.len() + more);
            self.held.push_back(Held::Packed { frames, read: 0 });
        }
        if let Some(Held::Packed { frames, .. }) = self.held.back_mut() {
            frames.extend_from_slice(&header[..len]);
            frames.extend_from_slice(payload);
            self.bytes += len + payload.len();
        }
    }

    pub(super) fn push_buffer(&mut self, kind: MessageKind, buffer: PooledBuffer) {
        self.bytes += MESSAGE_OVERHEAD + buffer.len();
        self.held.push_back(Held::Message(kind, buffer));
    }

    pub(super) fn pop(&mut self) -> Option<(MessageKind, PooledBuffer)> {
        let (kind, buffer, size, exhausted) = match self.held.front_mut()? {
            Held::Message(kind, buffer) => {
                let buffer = std::mem::take(buffer);
                let size = MESSAGE_OVERHEAD + buffer.len();
                (*kind, buffer, size, true)
            }
            Held::Packed { frames, read } => {
                let (kind, payload, frame_len) = unpack(&frames[*read..])?;
                let buffer = PooledBuffer::from(payload.to_vec());
                *read += frame_len;
                (kind, buffer, frame_len, *read == frames.len())
            }
        };
        if exhausted {
            self.held.pop_front();
        }
        self.bytes -= size;
        Some((kind, buffer))
    }

    pub(super) fn has_messages(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

/// The first frame of those that [`Inbox::push_slice`] wrote.
fn unpack(frames: &[u8]) -> Option<(MessageKind, &[u8], usize)> {
    let (header, header_len) = FrameHeader::parse(frames).ok()??;
    let kind =
        if header.opcode == MessageKind::Text.opcode() { MessageKind::Text } else { MessageKind::Binary };
    let frame_len = header_len + header.payload_len as usize;
    Some((kind, &frames[header_len..frame_len], frame_len))
}
