//! The ids of a shard's connections, with the wake-ups and timers for each.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::Waker,
};

use super::{
    timer_wheel::TimerWheel,
    wake::{ConnWaker, WakeTable},
};

pub(crate) struct Registry {
    state: Mutex<State>,
    /// While a shutdown is spread over a time, only connections with smaller ids may close.
    released: AtomicU32,
}

struct State {
    wake_table: WakeTable,
    /// All ids so far, in use or free.
    count: u32,
    free: Vec<u32>,
    used: usize,
    wheel: TimerWheel,
}

impl Registry {
    /// Creates a registry with room for `initial` connections.
    pub(super) fn new(wake_table: WakeTable, initial: usize) -> Self {
        let free = Vec::with_capacity(initial);
        let state = State { wake_table, count: 0, free, used: 0, wheel: TimerWheel::new() };
        Self { state: Mutex::new(state), released: AtomicU32::new(u32::MAX) }
    }

    /// Allocates an id. `on_first` is called if no other id is in use.
    pub(super) fn add(&self, on_first: impl FnOnce()) -> u32 {
        let mut state = self.lock();
        state.used += 1;
        if state.used == 1 {
            on_first();
        }
        state.free.pop().unwrap_or_else(|| {
            state.count += 1;
            state.count - 1
        })
    }

    /// Frees an id. It may be reused.
    pub(super) fn remove(&self, id: u32) {
        let waker = {
            let mut state = self.lock();
            state.free.push(id);
            state.used -= 1;
            state.wake_table.clear(id)
        };
        drop(waker);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().used == 0
    }

    /// Sets the waker of a connection that has a task of its own.
    pub(super) fn set_waker(&self, id: u32, waker: &Waker) {
        self.lock().wake_table.set(id, waker);
    }

    /// A waker for a connection that works on every thread and between turns. `current` is the waker of this turn.
    pub(super) fn waker(&self, id: u32, current: &Waker) -> ConnWaker {
        self.lock().wake_table.waker(id, current)
    }

    /// Wakes a connection at a tick.
    pub(super) fn wake_at(&self, id: u32, due: u64) {
        self.lock().wheel.add(id, due);
    }

    /// Wakes the connections that are due up to and including `tick`.
    pub(super) fn wake_due(&self, tick: u64) {
        let batch = {
            let mut state = self.lock();
            let State { wake_table, wheel, .. } = &mut *state;
            let mut due = Vec::new();
            wheel.advance(tick, |id| due.push(id));
            wake_table.batch(&due)
        };
        batch.wake();
    }

    pub(super) fn wake_all(&self) {
        let batch = self.lock().wake_table.all();
        batch.wake();
    }

    /// Holds all connections back when a shutdown begins.
    pub(super) fn hold_back(&self) {
        self.released.store(0, Ordering::Relaxed);
    }

    /// Whether a shutdown may close this connection.
    pub(super) fn is_released(&self, id: u32) -> bool {
        id < self.released.load(Ordering::Relaxed)
    }

    /// The ids in use, in order.
    pub(super) fn ids(&self) -> Vec<u32> {
        let (count, mut free) = {
            let state = self.lock();
            (state.count, state.free.clone())
        };
        free.sort_unstable();
        let mut free = free.into_iter().peekable();
        (0..count).filter(|id| free.next_if_eq(id).is_none()).collect()
    }

    /// Releases and wakes these connections, which come behind all that were released before.
    pub(super) fn release(&self, ids: &[u32]) {
        let Some(last) = ids.last() else { return };
        self.released.store(last + 1, Ordering::Relaxed);
        // The lock below orders the store before the turns of the connections.
        let batch = self.lock().wake_table.batch(ids);
        batch.wake();
    }

    /// Releases and wakes all connections, also later ones.
    pub(super) fn release_all(&self) {
        self.released.store(u32::MAX, Ordering::Relaxed);
        self.wake_all();
    }

    /// The number of entries on the timer wheel.
    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.lock().wheel.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Counter {
        fn take(&self) -> usize {
            self.0.swap(0, Ordering::Relaxed)
        }
    }

    /// Connections with wakers that count.
    fn connections<const N: usize>(registry: &Registry) -> [(u32, Arc<Counter>); N] {
        std::array::from_fn(|_| {
            let (id, counter) = (registry.add(|| ()), Arc::<Counter>::default());
            registry.set_waker(id, &Waker::from(Arc::clone(&counter)));
            (id, counter)
        })
    }

    #[test]
    fn the_first_connection_is_reported_and_a_free_id_is_reused() {
        let registry = Registry::new(WakeTable::tasks(0), 0);
        let reports = Cell::new(0);
        let add = || registry.add(|| reports.set(reports.get() + 1));
        let (first, second) = (add(), add());
        assert_eq!((first, second, reports.get()), (0, 1, 1));
        registry.remove(first);
        assert_eq!((add(), reports.get()), (first, 1));
        registry.remove(first);
        registry.remove(second);
        assert!(registry.is_empty());
        add();
        assert_eq!(reports.get(), 2);
    }

    #[test]
    fn a_connection_is_woken_once_at_its_tick_and_not_before() {
        let registry = Registry::new(WakeTable::tasks(0), 0);
        let [(early, early_woken), (late, late_woken)] = connections(&registry);
        registry.wake_at(early, 3);
        registry.wake_at(late, 5);
        for (tick, expected) in [(2, (0, 0)), (3, (1, 0)), (4, (0, 0)), (6, (0, 1)), (1000, (0, 0))] {
            registry.wake_due(tick);
            assert_eq!((early_woken.take(), late_woken.take()), expected, "tick {tick}");
        }
        assert_eq!(registry.timers(), 0);
    }

    #[test]
    fn all_connections_are_woken_but_not_those_that_have_ended() {
        let registry = Registry::new(WakeTable::tasks(0), 0);
        let [(ended, ended_woken), (_, open_woken)] = connections(&registry);
        registry.wake_at(ended, 1);
        registry.remove(ended);
        registry.wake_all();
        registry.wake_due(1);
        assert_eq!((ended_woken.take(), open_woken.take()), (0, 1));
        assert_eq!(Arc::strong_count(&ended_woken), 1, "its waker is dropped");
    }

    #[test]
    fn the_ids_in_use_are_listed_in_order() {
        let registry = Registry::new(WakeTable::tasks(0), 0);
        assert_eq!(registry.ids(), []);
        for _ in 0..6 {
            registry.add(|| ());
        }
        for id in [4, 0, 5] {
            registry.remove(id);
        }
        assert_eq!(registry.ids(), [1, 2, 3]);
        registry.add(|| ());
        assert_eq!(registry.ids(), [1, 2, 3, 5]);
    }

    #[test]
    fn connections_are_held_back_until_they_are_released() {
        let registry = Registry::new(WakeTable::tasks(0), 0);
        let [(_, first), (_, second), (_, third)] = connections(&registry);
        let released = || [0, 1, 2].map(|id| registry.is_released(id));
        assert_eq!(released(), [true; 3]);
        registry.hold_back();
        assert_eq!(released(), [false; 3]);
        registry.release(&[]);
        registry.release(&[1]);
        // Their order is that of their ids.
        assert_eq!(released(), [true, true, false]);
        assert_eq!([&first, &second, &third].map(|counter| counter.take()), [0, 1, 0]);
        registry.release_all();
        assert_eq!(released(), [true; 3]);
        assert_eq!([first, second, third].map(|counter| counter.take()), [1; 3]);
    }

    #[test]
    fn a_waker_may_use_the_registry() {
        struct Reenter(Arc<Registry>);
        impl Wake for Reenter {
            fn wake(self: Arc<Self>) {
                self.0.remove(0);
            }
        }
        let registry = Arc::new(Registry::new(WakeTable::tasks(0), 0));
        let id = registry.add(|| ());
        registry.set_waker(id, &Waker::from(Arc::new(Reenter(Arc::clone(&registry)))));
        registry.wake_all();
        assert!(registry.is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn connections_of_a_reactor_are_woken_through_its_queue() {
        use crate::shard::wake_queue::{Pending, WakeQueue};

        let queue = Arc::<WakeQueue>::default();
        let registry = Registry::new(WakeTable::reactor(Arc::clone(&queue)), 0);
        let (first, second) = (registry.add(|| ()), registry.add(|| ()));
        let counter = Arc::<Counter>::default();
        registry.set_waker(second, &Waker::from(Arc::clone(&counter)));
        registry.wake_at(first, 1);
        registry.wake_at(second, 1);
        registry.waker(first, Waker::noop()).wake();
        registry.wake_due(1);
        let mut pending = Pending::default();
        queue.take(Waker::noop(), &mut pending);
        assert_eq!((pending.ids, counter.take()), (vec![first, first], 1));
    }
}
