//! Received bytes that wait in the connection for another turn, so that other connections can run in between.

use crate::memory::{ReceiveBuffer, TransmitQueue};

use super::{Connection, closing::Phase, compressed::InflatingMessage, event::Step};

/// Received bytes that are not parsed yet.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    /// A message that is being inflated; it comes before the bytes.
    pub(super) message: Option<InflatingMessage>,
    bytes: Vec<u8>,
    /// Control frames seen in the read that brought the bytes.
    control_frames: u32,
}

impl Connection {
    /// Keeps the received bytes that are not parsed yet in the connection, so that other connections can run before the
    /// messages in them are delivered: one read may bring thousands. For a driver whose turn has lasted long enough;
    /// call it between two events. `rx` is empty afterwards. If there were bytes, [`wants_turn`](Self::wants_turn) is
    /// true and [`wants_read`](Self::wants_read) is false until [`poll_event`](Self::poll_event) has parsed them.
    ///
    /// The bytes are copied, and charged to the [memory budget](crate::memory::MemoryBudget).
    pub fn set_aside(&mut self, rx: &mut ReceiveBuffer, tx: &TransmitQueue) {
        if matches!(self.phase, Phase::Discard | Phase::Finished) || self.ends_held() {
            rx.discard();
        } else if !rx.is_empty() {
            self.set_aside_mut().keep(rx);
            self.update_charge(tx);
        }
    }

    /// Whether received bytes, or a message that is being inflated, wait for another turn.
    #[inline]
    pub(super) fn has_set_aside(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.set_aside.is_some())
    }

    /// Moves the bytes that were set aside into the window.
    pub(super) fn take_up(&mut self, rx: &mut ReceiveBuffer) -> Step {
        rx.rewind();
        let set_aside = self.set_aside_mut();
        // `extend` begins a new read; this is the rest of an earlier one.
        let inflated = rx.inflated_in_turn;
        let taken = rx.extend(&set_aside.bytes);
        (rx.inflated_in_turn, rx.control_frames) = (inflated, set_aside.control_frames);
        set_aside.bytes.drain(..taken);
        self.end_set_aside();
        Step::Continue
    }

    pub(super) fn set_aside_mut(&mut self) -> &mut SetAside {
        self.partial.get_or_insert_default().set_aside.get_or_insert_default()
    }

    /// Drops the state, unless bytes still wait in it.
    pub(super) fn end_set_aside(&mut self) {
        if let Some(partial) = &mut self.partial {
            partial.set_aside.take_if(|set_aside| set_aside.bytes.is_empty());
        }
        self.drop_idle_partial();
    }
}

impl SetAside {
    /// Payload bytes held: compressed, inflated, and not parsed.
    pub(super) fn len(&self) -> usize {
        self.message.as_ref().map_or(0, InflatingMessage::len) + self.bytes.len()
    }

    /// Whether this comes next. If not, the receive window holds bytes that were received before these, or after the
    /// message.
    pub(super) const fn is_next(&self, rx: &ReceiveBuffer) -> bool {
        self.message.is_some() || rx.is_empty()
    }

    /// Bytes of memory in use, including a borrowed inflater.
    pub(super) fn held_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, InflatingMessage::held_bytes) + self.bytes.capacity()
    }

    /// Memory allocated for bytes alone.
    #[cfg(all(test, feature = "deflate"))]
    pub(super) fn capacity(&self) -> usize {
        self.message.as_ref().map_or(0, InflatingMessage::capacity) + self.bytes.capacity()
    }

    /// Takes the unparsed received bytes and puts them before those that already wait.
    pub(super) fn keep(&mut self, rx: &mut ReceiveBuffer) {
        if !rx.is_empty() {
            self.control_frames = rx.control_frames;
            self.bytes.splice(..0, rx.unprocessed().iter().copied());
        }
        rx.discard();
    }
}
