//! Whether a connection's peer is too slow. The observer learns when that changes.

use ws_tokio::internal::Pressure;

use crate::{measure::SlowReason, shard::registration::Registration};

/// Whether a connection is slow. It becomes slow for one of the [reasons](SlowReason), and is slow until nothing waits
/// any more: a peer that takes some bytes now and then stays slow.
///
/// One byte, because each connection has it.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slowness(u8);

const SLOW: u8 = 1;
/// The connection itself has refused a message since nothing waited.
const REFUSED: u8 = 2;

impl Slowness {
    #[inline]
    pub(super) const fn is_slow(self) -> bool {
        self.0 & SLOW != 0
    }

    /// Whether [`follow`](Self::follow) may find a change, whatever the transport does.
    #[inline]
    pub(super) const fn is_pressed(self) -> bool {
        self.0 != 0
    }

    pub(super) const fn note_refusal(&mut self) {
        self.0 |= REFUSED;
    }

    pub(super) const fn has_refused(self) -> bool {
        self.0 & REFUSED != 0
    }

    const fn set_slow(&mut self, is_slow: bool) {
        self.0 = self.0 & REFUSED | if is_slow { SLOW } else { 0 };
    }

    /// Follows the pressure, at the end of a turn and with no lock held.
    pub(super) fn follow(&mut self, pressure: &Pressure, registration: &mut Registration) {
        let was_slow = self.is_slow();
        if pressure.queued.bytes == 0 {
            self.0 &= SLOW;
        }
        match self.reason(pressure, registration) {
            Some(reason) => {
                self.set_slow(true);
                registration.note_slow(reason, pressure, was_slow);
            }
            None if was_slow && pressure.queued.bytes == 0 && pressure.blocked_since.is_none() => {
                self.set_slow(false);
                registration.note_caught_up();
            }
            None => {}
        }
    }

    /// The connection is over. If a policy has closed it in its last turn, the observer learns it.
    pub(super) fn follow_end(&mut self, pressure: &Pressure, registration: &mut Registration) {
        if pressure.cut_off {
            registration.note_slow(SlowReason::Disconnected, pressure, self.is_slow());
        }
        self.set_slow(false);
    }

    /// Why the connection becomes slow. A close by a policy is reported even if the connection is slow already.
    fn reason(self, pressure: &Pressure, registration: &Registration) -> Option<SlowReason> {
        if pressure.cut_off {
            return Some(SlowReason::Disconnected);
        }
        if self.is_slow() || pressure.blocked_since.is_none() {
            return None;
        }
        let config = &registration.shard().server.protocol;
        let is_half_full = pressure.queued.messages >= config.write_queue_messages.div_ceil(2)
            || pressure.queued.bytes >= config.write_queue_bytes.div_ceil(2);
        if pressure.missed {
            Some(SlowReason::MissedPublications)
        } else if pressure.refused {
            Some(SlowReason::NoRoom)
        } else {
            is_half_full.then_some(SlowReason::Backlog)
        }
    }
}
