//! Code that is not the library's: callbacks, destructors of payloads, wakers.
//!
//! It may panic, and it may use the connection that runs it. So it runs guarded, and never while this thread holds a
//! connection's lock: [`run_unlocked`] puts it off until the thread holds none.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::MutexGuard,
    task::Waker,
};

use bytes::Bytes;
use ws_proto::{Message, PreparedMessage};

/// The destructor of a panic's payload may panic too, and so on. After so many panics the last payload is leaked.
const MAX_PANICS: usize = 16;

/// Room for so many is kept.
const FEW: usize = 64;

thread_local! {
    /// How many locks this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// Whether something is in `LATER`.
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
    /// What runs once this thread holds no lock.
    static LATER: RefCell<Vec<Foreign>> = const { RefCell::new(Vec::new()) };
}

/// A panic was caught, and its payload dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Something whose destructor, or whose use, runs code that is not the library's.
pub enum Foreign {
    /// A payload to drop; it may have an owner with a destructor.
    Payload(Bytes),
    /// A message to drop.
    Message(Message),
    /// A prepared message to drop.
    Prepared(PreparedMessage),
    /// A waker to drop.
    Waker(Waker),
    /// A waker to wake.
    Wake(Waker),
}

impl Foreign {
    fn run(self) {
        // The panic hook has reported it.
        let _ = guarded(move || match self {
            Self::Wake(waker) => waker.wake(),
            other => drop(other),
        });
    }
}

/// Runs code that is not the library's. A panic ends here, and so does a panic of its payload's destructor.
///
/// # Errors
/// [`Panicked`].
#[inline]
pub fn guarded<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(f)).map_err(discard)
}

#[cold]
fn discard(mut payload: Box<dyn Any + Send>) -> Panicked {
    for _ in 0..MAX_PANICS {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return Panicked,
            Err(next) => payload = next,
        }
    }
    mem::forget(payload);
    Panicked
}

/// Runs it guarded: at once, or, while this thread has a [`Hold`], when the last one is dropped.
pub fn run_unlocked(foreign: Foreign) {
    if HELD.get() == 0 {
        return foreign.run();
    }
    let mut foreign = Some(foreign);
    // Fails only while the thread ends.
    let _ = LATER.try_with(|later| later.borrow_mut().extend(foreign.take()));
    IS_DUE.set(true);
    if let Some(foreign) = foreign {
        foreign.run();
    }
}

/// Says that this thread holds a lock. While there is one, [`run_unlocked`] puts off what it is given. Drop it after the
/// lock is released.
#[derive(Debug)]
pub struct Hold(PhantomData<*const ()>);

impl Hold {
    /// Make it before taking the lock.
    #[inline]
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it counts")]
    pub fn new() -> Self {
        HELD.set(HELD.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Hold {
    #[inline]
    fn drop(&mut self) {
        let held = HELD.get() - 1;
        HELD.set(held);
        if held == 0 && IS_DUE.get() {
            run_due();
        }
    }
}

#[cold]
fn run_due() {
    while IS_DUE.replace(false) {
        let mut due = LATER.try_with(RefCell::take).unwrap_or_default();
        due.drain(..).for_each(Foreign::run);
        due.shrink_to(FEW);
        // Keeps the allocation.
        let _ = LATER.try_with(|later| {
            let mut later = later.borrow_mut();
            if later.capacity() == 0 {
                *later = due;
            }
        });
    }
}

/// A mutex that is locked. What the locked code gives to [`run_unlocked`] runs once the lock is free.
#[derive(Debug)]
pub struct Locked<'a, T> {
    // Dropped in this order.
    guard: MutexGuard<'a, T>,
    _hold: Hold,
}

impl<'a, T> Locked<'a, T> {
    /// Locks with `lock`.
    #[inline]
    pub fn new(lock: impl FnOnce() -> MutexGuard<'a, T>) -> Self {
        let hold = Hold::new();
        Self { guard: lock(), _hold: hold }
    }
}

impl<T> std::ops::Deref for Locked<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> std::ops::DerefMut for Locked<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
