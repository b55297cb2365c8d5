//! Large messages that follow one another: each is read into a buffer that it can take with it.
//!
//! The first large message of a connection begins in the standard window, because its length is unknown until its
//! header is parsed. That part is copied into the message's buffer. When a connection has received a large message, the
//! next read goes into a buffer of the pool that has room for a message of the same length. Such a message is not
//! copied. Any other is handled as in the standard window, and the buffer returns to the pool.

use crate::{frame::MAX_HEADER_LEN, memory::ReceiveBuffer, role::Role};

use super::{Connection, event::At, partial::DIRECT_READ_AT_MOST};

/// Headers of large frames: two bytes, a length of eight bytes, and a client's mask key.
const SERVERS_HEADER: usize = MAX_HEADER_LEN - 4;

impl Connection {
    /// Notes a message in one frame. If it was larger than the window, the next one may be so too.
    pub(super) fn expect_large(&mut self, len: usize, rx: &ReceiveBuffer) {
        if len > rx.size() {
            self.rare.get_or_insert_default().expected_large = len;
        }
    }

    /// Bytes of another message were received, so its length will show.
    #[cold]
    pub(super) fn expect_no_large(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.expected_large = 0;
            // Without it, small messages take the fast paths.
            self.rare.take_if(|rare| rare.is_empty());
        }
    }

    /// The length of the latest message, if it was large and no byte was received since. 0 if not.
    #[inline]
    pub(super) fn expected_large(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.expected_large)
    }

    /// Opens a window for a message as long as the one before, if the pool has a buffer for it and the memory budget
    /// allows it.
    #[cold]
    pub(super) fn open_large_window(&self, rx: &mut ReceiveBuffer) {
        let header = match self.role() {
            Role::Server => MAX_HEADER_LEN,
            Role::Client => SERVERS_HEADER,
        };
        let len = self.expected_large();
        // A driver may call this before it has drained the events.
        if rx.is_empty() && self.charge.allows(len, self.config.memory_budget()) {
            rx.open_large(header, len.min(DIRECT_READ_AT_MOST), len);
        }
    }

    /// The location of a message in a window for large messages. A large message takes the window with it.
    #[cold]
    pub(super) fn take_window(&mut self, at: At, rx: &mut ReceiveBuffer) -> At {
        let At::Window { start, len } = at else { return at };
        if rx.large_capacity(len).is_none() {
            return at;
        }
        self.expect_large(len, rx);
        rx.assembled = rx.take_large(start, len);
        At::Assembled
    }
}
