//! A coarse timer wheel: one per shard, instead of a timer per connection.
//!
//! ```text
//!            cursor
//!              ▼
//!   ┌───┬───┬───┬───┬───┬───┐   slot = due tick % SLOTS
//!   │   │   │ ● │   │ ● │   │   an entry that is not due yet when its slot comes round is left for the next round
//!   └───┴───┴───┴───┴───┴───┘
//! ```
//! Adding costs one push, a tick costs what is due in it. An entry is never moved or removed: a connection whose
//! deadline has moved away is woken once, looks, and adds itself again.

/// Slots; at the coarsest tick (100 ms) one round takes 51 s.
const SLOTS: usize = 512;

#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Vec<Vec<Entry>>,
    /// The next tick to be looked at.
    cursor: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    seat: u32,
    due: u64,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS], cursor: 0 }
    }

    /// Adds an entry that is due at a tick; one in the past is due at the next.
    pub(crate) fn add(&mut self, seat: u32, due: u64) {
        let due = due.max(self.cursor);
        self.slots[slot(due)].push(Entry { seat, due });
    }

    /// Moves on to `tick`, inclusive; calls `fire` with the seats that are due.
    pub(crate) fn advance(&mut self, tick: u64, mut fire: impl FnMut(u32)) {
        let rounds = (tick + 1).saturating_sub(self.cursor).min(SLOTS as u64);
        let first = (tick + 1).saturating_sub(rounds);
        for at in first..=tick {
            let entries = &mut self.slots[slot(at)];
            entries.retain(|entry| {
                let waits = entry.due > tick;
                if !waits {
                    fire(entry.seat);
                }
                waits
            });
            if entries.is_empty() && entries.capacity() > 64 {
                *entries = Vec::new();
            }
        }
        self.cursor = self.cursor.max(tick + 1);
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut Wheel, tick: u64) -> Vec<u32> {
        let mut seats = Vec::new();
        wheel.advance(tick, |seat| seats.push(seat));
        seats.sort_unstable();
        seats
    }

    #[test]
    fn entries_fire_at_their_tick_and_once() {
        let mut wheel = Wheel::new();
        wheel.add(1, 5);
        wheel.add(2, 6);
        assert_eq!(fired(&mut wheel, 4), []);
        assert_eq!(fired(&mut wheel, 5), [1]);
        assert_eq!(fired(&mut wheel, 7), [2]);
        assert_eq!(fired(&mut wheel, 10_000), []);
    }

    #[test]
    fn an_entry_beyond_one_round_waits_for_its_own() {
        let mut wheel = Wheel::new();
        wheel.add(1, SLOTS as u64 + 3);
        assert_eq!(fired(&mut wheel, 3), []);
        assert_eq!(fired(&mut wheel, SLOTS as u64 + 2), []);
        assert_eq!(fired(&mut wheel, SLOTS as u64 + 3), [1]);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_tick() {
        let mut wheel = Wheel::new();
        fired(&mut wheel, 100);
        wheel.add(1, 7);
        assert_eq!(fired(&mut wheel, 101), [1]);
    }

    #[test]
    fn a_long_jump_fires_everything_that_was_due() {
        let mut wheel = Wheel::new();
        for seat in 0..2000 {
            wheel.add(seat, u64::from(seat));
        }
        assert_eq!(fired(&mut wheel, 1500).len(), 1501);
        assert_eq!(fired(&mut wheel, 5000).len(), 499);
    }
}
