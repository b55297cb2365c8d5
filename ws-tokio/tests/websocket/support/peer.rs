//! The other end of the transport.

use std::{
    io::ErrorKind,
    sync::{Arc, Mutex, MutexGuard},
    task::Waker,
};

use super::{
    Frame,
    transport::{Counts, State},
};

/// Sends and receives frames, and decides how the transport behaves.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<Mutex<State>>);

impl Peer {
    pub(crate) fn new(state: Arc<Mutex<State>>) -> Self {
        Self(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes the transport, and wakes the task that waits for the change.
    fn change(&self, change: impl FnOnce(&mut State) -> Option<Waker>) {
        let waker = change(&mut self.state());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn send(&self, frame: Frame) {
        self.send_all([frame]);
    }

    /// Sends frames that arrive in one read.
    pub(crate) fn send_all(&self, frames: impl IntoIterator<Item = Frame>) {
        self.change(|state| {
            let masked = state.peer_masks;
            for frame in frames {
                state.incoming.extend(frame.encode(masked));
            }
            state.take_reader()
        });
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.change(|state| {
            state.incoming.extend(bytes);
            state.take_reader()
        });
    }

    /// Ends the peer's stream.
    pub(crate) fn end(&self) {
        self.end_with(Ok(()));
    }

    pub(crate) fn fail_reads(&self, kind: ErrorKind) {
        self.end_with(Err(kind));
    }

    fn end_with(&self, end: Result<(), ErrorKind>) {
        self.change(|state| {
            state.end = Some(end.map_err(Into::into));
            state.take_reader()
        });
    }

    pub(crate) fn fail_writes(&self, kind: ErrorKind) {
        self.change(|state| {
            state.write_fault = Some(Some(kind));
            state.take_writer()
        });
    }

    pub(crate) fn fail_flushes(&self, kind: ErrorKind) {
        self.state().flush_fault = Some(kind);
    }

    pub(crate) fn repair_writes(&self) {
        self.state().write_fault = None;
    }

    /// Writes return `Ok(0)`.
    pub(crate) fn refuse_writes(&self) {
        self.change(|state| {
            state.write_fault = Some(None);
            state.take_writer()
        });
    }

    /// The transport takes this many more bytes, then blocks.
    pub(crate) fn take_only(&self, bytes: usize) {
        self.change(|state| {
            state.window = bytes;
            state.take_writer()
        });
    }

    pub(crate) fn take_everything(&self) {
        self.take_only(usize::MAX);
    }

    /// Reads and writes move single bytes; between two bytes the transport returns `Pending`, then `Interrupted`.
    pub(crate) fn move_single_bytes(&self) {
        let mut state = self.state();
        (state.read_size, state.write_size, state.stalls) = (1, 1, true);
    }

    /// A read returns at most this many bytes.
    pub(crate) fn read_slowly(&self, bytes: usize) {
        self.state().read_size = bytes;
    }

    pub(crate) fn require_flush(&self) {
        self.state().needs_flush = true;
    }

    pub(crate) fn answer_close(&self) {
        self.state().answers_close = true;
    }

    /// Frames received since the last call.
    pub(crate) fn received(&self) -> Vec<Frame> {
        std::mem::take(&mut self.state().frames)
    }

    /// Whether the last frame has arrived completely.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.state().decoder.is_between_frames()
    }

    /// Bytes that the peer has sent and the connection has not read.
    pub(crate) fn unread(&self) -> usize {
        self.state().incoming.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn saw_shutdown(&self) -> bool {
        self.state().shut_down
    }

    /// Whether the connection has dropped the transport.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.state().dropped
    }
}
