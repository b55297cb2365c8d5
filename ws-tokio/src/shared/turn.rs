//! The turn of a server's task that runs on this thread.
//!
//! A turn begins without the lock of its connection: the first lock within it [enters](enter) it. It also ends without
//! the lock if the application waits in `recv`, whose last poll has done what there was to do, which is the usual end.

use std::{cell::Cell, task::Waker, time::Instant};

/// Addresses identify a turn. They are only compared.
struct Current {
    /// The lock of the connection; 0 if no turn runs.
    lock: Cell<usize>,
    /// The connection's state, once the turn is entered.
    state: Cell<usize>,
    /// The task's waker: its data and its functions.
    waker: Cell<(usize, usize)>,
    now: Cell<Option<Instant>>,
    is_done: Cell<bool>,
}

thread_local! {
    static CURRENT: Current = const {
        Current {
            lock: Cell::new(0),
            state: Cell::new(0),
            waker: Cell::new((0, 0)),
            now: Cell::new(None),
            is_done: Cell::new(false),
        }
    };
}

/// A turn that is entered.
pub(super) struct Entered {
    pub(super) now: Instant,
    /// The turn was entered before.
    pub(super) again: bool,
}

fn address<T>(of: &T) -> usize {
    std::ptr::from_ref(of).addr()
}

fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), address(waker.vtable()))
}

/// Begins a turn of the task with this waker, for the connection that has this lock.
pub(crate) fn begin<T>(lock: &T, waker: &Waker, now: Instant) {
    CURRENT.with(|current| {
        current.lock.set(address(lock));
        current.state.set(0);
        current.waker.set(identity(waker));
        current.now.set(Some(now));
        current.is_done.set(false);
    });
}

/// Enters the turn, if it is one of the connection with this lock and state. From here on it is not done.
#[inline]
pub(super) fn enter<T, U>(lock: &T, state: &U) -> Option<Entered> {
    CURRENT.with(|current| {
        if current.lock.get() != address(lock) {
            return None;
        }
        current.is_done.set(false);
        let again = current.state.replace(address(state)) != 0;
        Some(Entered { now: current.now.get()?, again })
    })
}

/// Whether a turn of this task, for the connection with this state, is entered.
#[inline]
pub(super) fn is_entered<U>(state: &U, waker: &Waker) -> bool {
    CURRENT.with(|current| current.state.get() == address(state) && current.waker.get() == identity(waker))
}

/// Nothing is left to do in the turn that is entered.
#[inline]
pub(super) fn set_done() {
    CURRENT.with(|current| current.is_done.set(true));
}

/// Whether a turn of the connection with this lock runs, and nothing is left to do in it.
#[inline]
pub(crate) fn is_done<T>(lock: &T) -> bool {
    CURRENT.with(|current| current.is_done.get() && current.lock.get() == address(lock))
}

/// Ends the turn of the connection with this lock, if it runs.
#[inline]
pub(crate) fn end<T>(lock: &T) {
    CURRENT.with(|current| {
        if current.lock.get() == address(lock) {
            current.lock.set(0);
            current.state.set(0);
            current.is_done.set(false);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_connection_of_the_turn_enters_it_and_only_until_its_end() {
        let (lock, state, other) = (0_u8, 0_u8, 0_u8);
        let (waker, now) = (Waker::noop(), Instant::now());
        assert!(enter(&lock, &state).is_none());
        begin(&lock, waker, now);
        assert!(enter(&other, &state).is_none() && !is_entered(&state, waker));
        assert!(enter(&lock, &state).is_some_and(|entered| entered.now == now && !entered.again));
        assert!(is_entered(&state, waker) && !is_entered(&other, waker));
        end(&other);
        assert!(enter(&lock, &state).is_some_and(|entered| entered.again));
        end(&lock);
        assert!(enter(&lock, &state).is_none() && !is_entered(&state, waker));
    }

    #[test]
    fn a_turn_that_is_entered_again_is_not_done() {
        let (lock, state, other) = (0_u8, 0_u8, 0_u8);
        begin(&lock, Waker::noop(), Instant::now());
        enter(&lock, &state);
        assert!(!is_done(&lock));
        set_done();
        assert!(is_done(&lock) && !is_done(&other));
        enter(&lock, &state);
        assert!(!is_done(&lock));
        set_done();
        begin(&lock, Waker::noop(), Instant::now());
        assert!(!is_done(&lock));
        end(&lock);
    }
}
