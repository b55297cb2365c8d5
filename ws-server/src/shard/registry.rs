//! The connections of a shard by their ids: how each is woken, and when.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use super::{
    timer_wheel::TimerWheel,
    wake::{ConnWaker, WakeTable},
};

pub(crate) struct Registry(Mutex<State>);

struct State {
    wake_table: WakeTable,
    /// Ids that have been given out, in use or free.
    count: u32,
    free: Vec<u32>,
    used: usize,
    wheel: TimerWheel,
}

impl Registry {
    /// A registry with room for `initial` connections.
    pub(super) fn new(wake_table: WakeTable, initial: usize) -> Self {
        let free = Vec::with_capacity(initial);
        Self(Mutex::new(State { wake_table, count: 0, free, used: 0, wheel: TimerWheel::new() }))
    }

    /// Gives out an id. `on_first` runs before it is used if no other id is in use.
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

    /// Takes an id back; it may be given out again.
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

    /// Remembers how to wake a connection that has a task of its own.
    pub(super) fn set_waker(&self, id: u32, waker: &Waker) {
        self.lock().wake_table.set(id, waker);
    }

    /// What wakes a connection from anywhere and at any time; `current` is the waker that its turn got.
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

    /// Entries on the timer wheel.
    #[cfg(test)]
    pub(super) fn timers(&self) -> usize {
        self.lock().wheel.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
