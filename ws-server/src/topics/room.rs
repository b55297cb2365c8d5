//! Room for publications: what waits in front of the shards is bounded, and topics count against the memory budget.

use std::{
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use ws_proto::memory::{MemoryAccount, MemoryBudget};
use ws_tokio::internal::{Foreign, Locked, run_unlocked};

/// The budget's account is a multiple of this many bytes, so that few publications touch it.
const STEP: usize = 64 * 1024;

/// The bytes that wait between publish and the shards.
pub(crate) struct Room {
    limit: usize,
    used: AtomicUsize,
    /// Whether `waiters` is not empty.
    is_awaited: AtomicBool,
    waiters: Mutex<Vec<Waiter>>,
    next_waiter: AtomicU64,
}

struct Waiter {
    id: u64,
    waker: Waker,
}

impl Room {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            is_awaited: AtomicBool::new(false),
            waiters: Mutex::default(),
            next_waiter: AtomicU64::new(0),
        })
    }

    /// The bytes that wait.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::SeqCst)
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether a publication may be added. The one that reaches the limit may exceed it.
    pub(crate) fn is_free(&self) -> bool {
        self.used() < self.limit
    }

    /// Takes room, even beyond the limit.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> RoomShare {
        self.used.fetch_add(bytes, Ordering::SeqCst);
        RoomShare { room: Some(Arc::clone(self)), bytes }
    }

    fn is_roomy(&self) -> bool {
        self.used() <= self.limit / 2
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.is_awaited.load(Ordering::SeqCst) && self.is_roomy() {
            let waiters = {
                let mut list = self.lock();
                self.is_awaited.store(false, Ordering::SeqCst);
                mem::take(&mut *list)
            };
            waiters.into_iter().for_each(|waiter| run_unlocked(Foreign::Wake(waiter.waker)));
        }
    }

    fn lock(&self) -> Locked<'_, Vec<Waiter>> {
        Locked::new(|| lock(&self.waiters))
    }

    /// Waits until at most half of the room is used. `id` is `None` at first; it is set while the task waits.
    fn poll_ready(&self, cx: &Context<'_>, id: &mut Option<u64>) -> Poll<()> {
        if self.is_roomy() {
            return Poll::Ready(());
        }
        // Cloning a waker runs foreign code.
        let waker = cx.waker().clone();
        let mine = *id.get_or_insert_with(|| self.next_waiter.fetch_add(1, Ordering::Relaxed));
        let mut waiters = self.lock();
        let old = match waiters.iter_mut().find(|waiter| waiter.id == mine) {
            Some(waiter) => Some(mem::replace(&mut waiter.waker, waker)),
            None => {
                waiters.push(Waiter { id: mine, waker });
                None
            }
        };
        old.into_iter().for_each(|old| run_unlocked(Foreign::Waker(old)));
        self.is_awaited.store(true, Ordering::SeqCst);
        drop(waiters);
        // Room that was released before the flag was set woke no task.
        if self.is_roomy() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn leave(&self, id: u64) {
        let mut waiters = self.lock();
        if let Some(at) = waiters.iter().position(|waiter| waiter.id == id) {
            run_unlocked(Foreign::Waker(waiters.swap_remove(at).waker));
        }
        if waiters.is_empty() {
            self.is_awaited.store(false, Ordering::SeqCst);
        }
    }
}

/// Waits until publications have room again.
pub(crate) struct Ready<'a> {
    room: &'a Room,
    id: Option<u64>,
}

impl<'a> Ready<'a> {
    pub(crate) const fn new(room: &'a Room) -> Self {
        Self { room, id: None }
    }
}

impl Future for Ready<'_> {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { room, id } = &mut *self;
        room.poll_ready(cx, id)
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.room.leave(id);
        }
    }
}

/// The share of one command in the [`Room`]. Dropping it makes room.
#[derive(Default)]
pub(crate) struct RoomShare {
    room: Option<Arc<Room>>,
    bytes: usize,
}

impl Drop for RoomShare {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.release(self.bytes);
        }
    }
}

impl fmt::Debug for RoomShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RoomShare").field(&self.bytes).finish()
    }
}

/// Counts the topics, publications and presence data of a [`Topics`](super::Topics) against a memory budget, wherever
/// they are held.
pub(crate) struct Ledger {
    budget: MemoryBudget,
    used: AtomicUsize,
    account: Mutex<MemoryAccount>,
}

impl Ledger {
    pub(crate) fn new(budget: &MemoryBudget) -> Arc<Self> {
        Arc::new(Self {
            budget: budget.clone(),
            used: AtomicUsize::new(0),
            account: Mutex::new(budget.account()),
        })
    }

    /// Charges bytes until the charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        self.changed(before, before.wrapping_add(bytes));
        Charge { ledger: Some(Arc::clone(self)), bytes }
    }

    /// Whether they hold no more than what is free beside them, which is the budget's rule for all holders.
    pub(crate) fn is_within(&self) -> bool {
        self.used.load(Ordering::Relaxed) <= self.budget.limit().saturating_sub(self.budget.used())
    }

    /// Whether they hold more than their part of the budget, although histories keep less already: two times what is
    /// free beside them.
    fn is_short(&self) -> bool {
        let free = self.budget.limit().saturating_sub(self.budget.used());
        self.used.load(Ordering::Relaxed) > free.saturating_mul(2)
    }

    fn changed(&self, before: usize, now: usize) {
        if before / STEP != now / STEP {
            let mut account = lock(&self.account);
            account.set(self.used.load(Ordering::Relaxed) / STEP * STEP);
        }
    }
}

/// A charge. Dropping it releases the bytes. The default charges nothing.
#[derive(Default)]
pub(crate) struct Charge {
    ledger: Option<Arc<Ledger>>,
    bytes: usize,
}

impl Charge {
    /// Whether the memory budget has no room for more of what waits.
    pub(crate) fn is_short(&self) -> bool {
        self.ledger.as_ref().is_some_and(|ledger| ledger.is_short())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            let before = ledger.used.fetch_sub(self.bytes, Ordering::Relaxed);
            ledger.changed(before, before.wrapping_sub(self.bytes));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
