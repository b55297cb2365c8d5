//! The lock of a connection's state.

use std::{
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use super::{
    state::SharedState,
    turn::{self, Entered},
};
use crate::{driver::Driver, foreign::LockMark};

/// A guard of the lock. After its release, written and abandoned payloads and an ended transport are dropped, and tasks
/// are woken.
pub(crate) struct StateGuard<'a, S> {
    // Dropped in this order.
    state: MutexGuard<'a, SharedState<S>>,
    ended_driver: Option<Box<Driver<S>>>,
    _mark: LockMark,
}

/// Locks the state. Poisoning is ignored, because the state machine is still consistent after a panic under the lock.
#[inline]
pub(crate) fn lock<S>(shared: &Mutex<SharedState<S>>) -> StateGuard<'_, S> {
    StateGuard::of(lock_briefly(shared))
}

/// Locks the state for operations that wake no task, end no transport and drop no payload.
/// [`StateGuard::of`] and [`poll_locked`] continue from there with any operation.
#[inline]
pub(crate) fn lock_briefly<S>(shared: &Mutex<SharedState<S>>) -> MutexGuard<'_, SharedState<S>> {
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if state.has_idle_server_task()
        && let Some(Entered { now, again }) = turn::enter(shared, &*state)
    {
        state.enter_turn(now, again);
    }
    state
}

impl<'a, S> StateGuard<'a, S> {
    #[inline]
    pub(crate) fn of(state: MutexGuard<'a, SharedState<S>>) -> Self {
        Self { state, ended_driver: None, _mark: LockMark::new() }
    }

    /// Releases the lock after an operation that usually leaves nothing else to do at its release.
    #[inline]
    pub(crate) fn release(state: MutexGuard<'a, SharedState<S>>) {
        if state.rare.is_some() || state.driver.as_ref().is_some_and(Driver::has_spent) {
            drop(Self::of(state));
        }
    }
}

impl<S> Deref for StateGuard<'_, S> {
    type Target = SharedState<S>;

    #[inline]
    fn deref(&self) -> &SharedState<S> {
        &self.state
    }
}

impl<S> DerefMut for StateGuard<'_, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut SharedState<S> {
        &mut self.state
    }
}

impl<S> Drop for StateGuard<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if self.state.rare.is_some() {
            self.ended_driver = self.state.finish_rare();
        }
        if let Some(driver) = &mut self.state.driver {
            driver.drop_spent();
        }
    }
}

impl<S> SharedState<S> {
    /// The part of the lock's release that concerns only some connections. Returns the driver of a connection that has
    /// just ended.
    #[inline(never)]
    fn finish_rare(&mut self) -> Option<Box<Driver<S>>> {
        let is_open = self.is_open();
        let rare = self.rare.as_mut()?;
        if rare.senders.take_owner_wake() {
            self.waiting.wake_all();
        }
        if rare.closed_waiters.has_waiting() && !is_open {
            rare.closed_waiters.end();
        }
        let ended = rare.ended_driver.take();
        self.end_feed_unless_open();
        ended
    }
}

/// Polls under the lock, for a task of the application. If its waker is not registered yet, the waker is cloned without
/// the lock, because a clone may run code of the executor, and the poll is repeated.
#[inline]
pub(crate) fn lock_and_poll<S, T>(
    shared: &Mutex<SharedState<S>>,
    cx: &mut Context<'_>,
    poll: impl FnMut(&mut SharedState<S>, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    poll_locked(shared, lock_briefly(shared), cx, poll)
}

/// As [`lock_and_poll`], for a state that is locked already.
#[inline]
pub(crate) fn poll_locked<S, T>(
    shared: &Mutex<SharedState<S>>,
    state: MutexGuard<'_, SharedState<S>>,
    cx: &mut Context<'_>,
    mut poll: impl FnMut(&mut SharedState<S>, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    {
        let mut state = StateGuard::of(state);
        (state.waker_missing, state.waker_added) = (false, false);
        let polled = poll(&mut state, cx);
        if polled.is_ready() || !state.waker_missing {
            return polled;
        }
    }
    add_waker_and_poll(shared, cx, poll)
}

#[cold]
fn add_waker_and_poll<S, T>(
    shared: &Mutex<SharedState<S>>,
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut SharedState<S>, &mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let waker = cx.waker().clone();
    let mut state = lock(shared);
    state.waiting.add(waker, cx.waker());
    state.with_waker_added(|state| poll(state, cx))
}
