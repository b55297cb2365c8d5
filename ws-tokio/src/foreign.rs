//! Foreign code: callbacks, destructors of payloads, and wakers, which are not part of the library.
//!
//! Foreign code may panic, and it may use the connection that runs it. So its panics are caught, and it never runs
//! while this thread holds a lock of a connection: [`run_unlocked`] defers it until the thread holds none.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    fmt,
    marker::PhantomData,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use ws_proto::{Message, PreparedMessage};

use crate::feed::Feed;

/// The destructor of a panic's payload may panic too, with another payload. After this many panics the last payload is
/// leaked.
const MAX_PANICS: usize = 16;

/// Deferred entries for which memory stays allocated.
const FEW: usize = 64;

thread_local! {
    /// How many locks of connections this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
    /// Whether `LATER` is not empty.
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
    /// Runs once this thread holds no lock.
    static LATER: RefCell<Vec<Foreign>> = const { RefCell::new(Vec::new()) };
}

/// A panic was caught and its payload dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// A value whose destructor or use runs foreign code.
pub enum Foreign {
    /// A payload to drop. Its owner may have a destructor.
    Payload(Bytes),
    /// A message to drop.
    Message(Message),
    /// A prepared message to drop.
    Prepared(PreparedMessage),
    /// A waker to drop.
    Waker(Waker),
    /// A waker to wake.
    Wake(Waker),
    /// A feed to drop.
    Feed(Arc<dyn Feed>),
}

/// Omits payloads, to keep them out of logs.
impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Payload(_) => "Payload",
            Self::Message(_) => "Message",
            Self::Prepared(_) => "Prepared",
            Self::Waker(_) => "Waker",
            Self::Wake(_) => "Wake",
            Self::Feed(_) => "Feed",
        })
    }
}

impl Foreign {
    fn run(self) {
        // The panic hook has reported the panic.
        let _ = guarded(move || match self {
            Self::Wake(waker) => waker.wake(),
            other => drop(other),
        });
    }
}

/// Runs foreign code. Catches a panic of it, and a panic of the destructor of that panic's payload.
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

/// Runs foreign code and catches its panic. It runs at once, or, if this thread has a [`LockMark`], when the last one
/// is dropped.
pub fn run_unlocked(foreign: Foreign) {
    if HELD.get() == 0 {
        return foreign.run();
    }
    let mut foreign = Some(foreign);
    // Fails only while the thread exits.
    let _ = LATER.try_with(|later| later.borrow_mut().extend(foreign.take()));
    IS_DUE.set(true);
    if let Some(foreign) = foreign {
        foreign.run();
    }
}

/// Wakes tasks with [`run_unlocked`].
#[inline]
pub(crate) fn wake_tasks(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
}

/// Drops a waker with [`run_unlocked`].
#[inline]
pub(crate) fn drop_waker(waker: Option<Waker>) {
    waker.into_iter().for_each(|waker| run_unlocked(Foreign::Waker(waker)));
}

/// Wakes a task and returns the waker, to be used again. `None` if this thread has a [`LockMark`]: then it is woken and
/// dropped later.
pub(crate) fn wake_unlocked(waker: Waker) -> Option<Waker> {
    if HELD.get() > 0 {
        run_unlocked(Foreign::Wake(waker));
        return None;
    }
    // The panic hook has reported the panic.
    let _ = guarded(|| waker.wake_by_ref());
    Some(waker)
}

/// Polls with `attempt`, which takes a lock and releases it. `None`: the task's waker has to be stored, and `attempt`
/// has no clone of it. A clone may run code of the executor, so it is made without the lock, and the attempt is
/// repeated.
pub fn poll_with_clone<T>(
    cx: &Context<'_>,
    mut attempt: impl FnMut(&mut Option<Waker>) -> Option<Poll<T>>,
) -> Poll<T> {
    let mut clone = None;
    loop {
        if let Some(polled) = attempt(&mut clone) {
            return polled;
        }
        clone = Some(cx.waker().clone());
    }
}

/// Marks that this thread holds a lock. While there is one, [`run_unlocked`] defers foreign code. Drop it after the
/// lock is released.
#[derive(Debug)]
pub struct LockMark(PhantomData<*const ()>);

impl LockMark {
    /// Creates the mark. Create it before foreign code can be passed to [`run_unlocked`] under the lock.
    #[inline]
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it counts")]
    pub fn new() -> Self {
        HELD.set(HELD.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for LockMark {
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

/// A guard of a mutex, with a [`LockMark`]. Foreign code that is given to [`run_unlocked`] runs after the lock is
/// released.
#[derive(Debug)]
pub struct Locked<'a, T> {
    // Dropped in this order.
    guard: MutexGuard<'a, T>,
    _mark: LockMark,
}

impl<'a, T> Locked<'a, T> {
    /// Locks a mutex with `lock`.
    #[inline]
    pub fn new(lock: impl FnOnce() -> MutexGuard<'a, T>) -> Self {
        let mark = LockMark::new();
        Self { guard: lock(), _mark: mark }
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
