//! A coarse timer wheel: one per shard, instead of a timer per connection.
//!
//! ```text
//!            cursor
//!              ▼
//!   ┌───┬───┬───┬───┬───┬───┐   slot = due tick % SLOTS
//!   │   │   │ ● │   │ ● │   │   an entry of a later round waits in its slot
//!   └───┴───┴───┴───┴───┴───┘
//! ```
//! Adding costs one push. A tick costs one look at each entry of its slot. Entries are never moved or removed: a
//! connection whose deadline was postponed is woken early once, and adds another entry.

/// Number of slots. With the longest tick, 100 ms, one round takes 51 s.
const SLOTS: u64 = 512;

#[derive(Debug)]
pub(crate) struct TimerWheel {
    slots: Vec<Vec<Entry>>,
    /// The next tick.
    cursor: u64,
}

/// Kept small: there is at least one per connection with a deadline.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u32,
    /// Rounds to wait before the one in which it is due.
    rounds: u32,
}

impl TimerWheel {
    pub(crate) fn new() -> Self {
        Self { slots: vec![Vec::new(); SLOTS as usize], cursor: 0 }
    }

    /// The number of entries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().map(Vec::len).sum()
    }

    /// Adds an entry that is due at tick `due`. An entry in the past is due at the next tick.
    pub(crate) fn add(&mut self, id: u32, due: u64) {
        let due = due.max(self.cursor);
        let rounds = u32::try_from((due - self.cursor) / SLOTS).unwrap_or(u32::MAX);
        let entries = &mut self.slots[slot(due)];
        if entries.len() == entries.capacity() {
            // Small steps, because there may be as many entries as connections.
            entries.reserve_exact(8 + entries.len() / 8);
        }
        entries.push(Entry { id, rounds });
    }

    /// Advances up to and including `tick`. Calls `fire` with each id that is due.
    pub(crate) fn advance(&mut self, tick: u64, mut fire: impl FnMut(u32)) {
        let passed = (tick + 1).saturating_sub(self.cursor);
        for at in 0..passed.min(SLOTS) {
            // How often the cursor passes this slot on the way to `tick`.
            let visits = u32::try_from(1 + (passed - 1 - at) / SLOTS).unwrap_or(u32::MAX);
            let entries = &mut self.slots[slot(self.cursor + at)];
            entries.retain_mut(|entry| match entry.rounds.checked_sub(visits) {
                Some(left) => {
                    entry.rounds = left;
                    true
                }
                None => {
                    fire(entry.id);
                    false
                }
            });
            if entries.is_empty() {
                *entries = Vec::new();
            }
        }
        self.cursor += passed;
    }
}

fn slot(tick: u64) -> usize {
    (tick % SLOTS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired(wheel: &mut TimerWheel, tick: u64) -> Vec<u32> {
        let mut ids = Vec::new();
        wheel.advance(tick, |id| ids.push(id));
        ids.sort_unstable();
        ids
    }

    #[test]
    fn entries_fire_at_their_tick_and_once() {
        let mut wheel = TimerWheel::new();
        wheel.add(1, 5);
        wheel.add(2, 6);
        assert_eq!(fired(&mut wheel, 4), []);
        assert_eq!(fired(&mut wheel, 5), [1]);
        assert_eq!(fired(&mut wheel, 7), [2]);
        assert_eq!(fired(&mut wheel, 10_000), []);
    }

    #[test]
    fn an_entry_beyond_one_round_waits_for_its_round() {
        let mut wheel = TimerWheel::new();
        wheel.add(1, SLOTS + 3);
        assert_eq!(fired(&mut wheel, 3), []);
        assert_eq!(fired(&mut wheel, SLOTS + 2), []);
        assert_eq!(fired(&mut wheel, SLOTS + 3), [1]);
    }

    #[test]
    fn a_deadline_in_the_past_fires_at_the_next_tick() {
        let mut wheel = TimerWheel::new();
        fired(&mut wheel, 100);
        wheel.add(1, 7);
        assert_eq!(fired(&mut wheel, 101), [1]);
    }

    #[test]
    fn several_entries_of_one_id_fire_each() {
        let mut wheel = TimerWheel::new();
        wheel.add(1, 2);
        wheel.add(1, 2);
        wheel.add(1, 4);
        assert_eq!(fired(&mut wheel, 2), [1, 1]);
        assert_eq!(fired(&mut wheel, 4), [1]);
    }

    #[test]
    fn a_tick_that_is_repeated_or_past_fires_nothing() {
        let mut wheel = TimerWheel::new();
        wheel.add(1, 10);
        assert_eq!(fired(&mut wheel, 9), []);
        assert_eq!(fired(&mut wheel, 9), []);
        assert_eq!(fired(&mut wheel, 3), []);
        assert_eq!(fired(&mut wheel, 10), [1]);
    }

    #[test]
    fn an_empty_slot_holds_no_memory() {
        let mut wheel = TimerWheel::new();
        for id in 0..1000 {
            wheel.add(id, 5);
        }
        assert_eq!(wheel.len(), 1000);
        assert_eq!(fired(&mut wheel, 5).len(), 1000);
        assert!(wheel.slots.iter().all(|slot| slot.capacity() == 0));
    }

    #[test]
    fn a_long_jump_fires_everything_that_was_due() {
        let mut wheel = TimerWheel::new();
        for id in 0..2000 {
            wheel.add(id, u64::from(id));
        }
        assert_eq!(fired(&mut wheel, 1500).len(), 1501);
        assert_eq!(fired(&mut wheel, 5000).len(), 499);
    }

    #[test]
    fn any_steps_fire_every_entry_exactly_once_and_never_early() {
        let mut wheel = TimerWheel::new();
        let mut seed = 7_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        let (mut tick, mut due) = (0, Vec::new());
        for _ in 0..2000 {
            let at = tick + 1 + random(3 * SLOTS);
            wheel.add(due.len() as u32, at);
            due.push(Some(at));
            let next = tick + random(if due.len() % 50 == 0 { 5 * SLOTS } else { 4 });
            wheel.advance(next, |id| {
                let at = due[id as usize].take().expect("fired once");
                assert!(at <= next, "{at} fired at {next}");
            });
            tick = tick.max(next);
            assert!(due.iter().flatten().all(|at| *at > next), "something due by {next} did not fire");
        }
    }
}
