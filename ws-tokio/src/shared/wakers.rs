//! The tasks that wait for one connection, and a waker that wakes them all.

use std::{
    mem, ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{RawWakerVTable, Wake, Waker},
};

use crate::foreign::{Foreign, drop_waker, run_unlocked, wake_tasks, wake_unlocked};

/// The tasks that wait for one connection. A transport stores only one waker, but several tasks may use a connection:
/// its owner, a server's task, and any number of senders. So the transport gets a waker that wakes them all.
///
/// A waker runs code of its executor, so it is called and dropped while this thread holds no lock.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<List>);

/// The first value of [`List::flush_at`], and the last: as many senders as the default write queue has messages may
/// wait.
const FIRST_FLUSH: usize = 64;
const LAST_FLUSH: usize = 64 * 1024;

#[derive(Debug, Default)]
struct List {
    /// The usual case is one task, which needs no allocation.
    first: Option<First>,
    more: Vec<Waker>,
    /// When `more` has so many wakers, all tasks are woken before another one is added.
    flush_at: usize,
    /// The sender that moves the bytes while it waits for room.
    sender: Option<Waker>,
}

/// A task whose waker is kept when the transport wakes it: it will most likely poll again.
#[derive(Debug)]
struct First {
    waker: Waker,
    /// The table of the waker that `waker` is a clone of, if both have the same data. Some executors lend their tasks a
    /// waker whose table differs from that of its clones, so `Waker::will_wake` is false for them.
    lent_as: Option<&'static RawWakerVTable>,
    /// It was woken and has not polled since, so it counts as not listed.
    is_woken: bool,
}

impl First {
    const fn new(waker: Waker, lent_as: Option<&'static RawWakerVTable>) -> Self {
        Self { waker, lent_as, is_woken: false }
    }

    fn will_wake(&self, waker: &Waker) -> bool {
        self.waker.will_wake(waker)
            || self.waker.data() == waker.data()
                && self.lent_as.is_some_and(|table| ptr::eq(table, waker.vtable()))
    }
}

/// The table of `lent` if `clone`, which is a clone of it, has the same data. The clone keeps the data alive, so
/// another waker with the same data and table is one of the same task.
fn shared_table(clone: &Waker, lent: &Waker) -> Option<&'static RawWakerVTable> {
    (clone.data() == lent.data()).then(|| lent.vtable())
}

impl List {
    /// Notes that this task polls, so that it counts as not woken. Returns whether it is listed.
    fn note_poll(&mut self, waker: &Waker) -> bool {
        self.is_sender(waker) || self.is_listed(waker)
    }

    fn is_listed(&mut self, waker: &Waker) -> bool {
        match &mut self.first {
            None => false,
            Some(first) if first.will_wake(waker) => {
                first.is_woken = false;
                true
            }
            Some(_) => self.more.iter().any(|known| known.will_wake(waker)),
        }
    }

    fn is_sender(&self, waker: &Waker) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.will_wake(waker))
    }

    /// Adds a waker unless it is in the list. Returns a waker to drop.
    fn push(&mut self, waker: Waker, lent_as: Option<&'static RawWakerVTable>) -> Option<Waker> {
        if self.is_listed(&waker) {
            return Some(waker);
        }
        if self.first.as_ref().is_none_or(|first| first.is_woken) {
            return self.first.replace(First::new(waker, lent_as)).map(|before| before.waker);
        }
        self.more.push(waker);
        None
    }

    /// Removes all wakers.
    fn take(&mut self) -> Self {
        let flush_at = self.flush_at;
        mem::replace(self, Self { flush_at, ..Self::default() })
    }

    /// Removes all wakers if there are too many. `Waker::will_wake` may return false for wakers of the same task, so a
    /// task may be listed once for each of its polls. The limit doubles, so that the list has room for all tasks.
    fn take_if_full(&mut self) -> Option<Self> {
        let flush_at = self.flush_at.max(FIRST_FLUSH);
        if self.more.len() < flush_at {
            return None;
        }
        self.flush_at = (2 * flush_at).min(LAST_FLUSH);
        Some(self.take())
    }

    /// Wakes all tasks.
    fn wake(self) {
        if let Some(first) = self.first {
            let waker = first.waker;
            run_unlocked(if first.is_woken { Foreign::Waker(waker) } else { Foreign::Wake(waker) });
        }
        wake_tasks(self.more.into_iter().chain(self.sender));
    }

    /// Returns whether a task other than `current` waits.
    fn has_others(&self, current: &Waker) -> bool {
        let other_first =
            self.first.as_ref().is_some_and(|first| !first.is_woken && !first.will_wake(current));
        let other_sender = self.sender.as_ref().is_some_and(|sender| !sender.will_wake(current));
        !self.more.is_empty() || other_first || other_sender
    }
}

impl Wakers {
    /// Notes that this task polls. Returns whether it is registered. Call it before polling the transport, so that no
    /// wake-up is lost.
    #[inline]
    pub(crate) fn note_poll(&self, waker: &Waker) -> bool {
        self.lock().note_poll(waker)
    }

    /// Adds a task of the library, whose waker may be cloned under a lock, unless it is registered.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.note_poll(waker) {
            let clone = waker.clone();
            let table = shared_table(&clone, waker);
            let before = waiting.push(clone, table);
            drop(waiting);
            drop_waker(before);
        }
    }

    /// Adds a task unless it is registered. `waker` is a clone of `lent`, the waker that the task polls with.
    pub(crate) fn add(&self, waker: Waker, lent: &Waker) {
        let table = shared_table(&waker, lent);
        let (known, flushed) = {
            let mut waiting = self.lock();
            let flushed = waiting.take_if_full();
            (if waiting.is_sender(&waker) { Some(waker) } else { waiting.push(waker, table) }, flushed)
        };
        drop_waker(known);
        if let Some(flushed) = flushed {
            flushed.wake();
        }
    }

    /// Returns whether this task is the sender that moves the bytes.
    pub(crate) fn has_sender(&self, waker: &Waker) -> bool {
        self.lock().is_sender(waker)
    }

    /// Makes a task the sender that moves the bytes; `clone` is a clone of its waker.
    pub(crate) fn set_sender(&self, clone: Waker) {
        let known = {
            let mut waiting = self.lock();
            // The task of the previous sender may also wait for something other than room.
            waiting.sender.replace(clone).and_then(|before| waiting.push(before, None))
        };
        drop_waker(known);
    }

    /// Removes the sender that moves the bytes and wakes its task, which may also wait for something other than room.
    pub(crate) fn release_sender(&self) {
        let sender = self.lock().sender.take();
        wake_tasks(sender);
    }

    /// Wakes and removes all tasks.
    pub(crate) fn wake_all(&self) {
        let list = self.lock().take();
        list.wake();
    }

    /// Wakes all tasks. They do not wait any more, but the first one's waker is kept.
    fn wake_and_keep(&self) {
        let mut list = self.lock().take();
        let first = list.first.take();
        list.wake();
        let Some(First { waker, lent_as, is_woken }) = first else { return };
        let Some(waker) = (if is_woken { Some(waker) } else { wake_unlocked(waker) }) else { return };
        let kept = First { waker, lent_as, is_woken: true };
        let mut waiting = self.lock();
        if waiting.first.is_none() {
            waiting.first = Some(kept);
            return;
        }
        drop(waiting);
        drop_waker(Some(kept.waker));
    }

    /// Wakes and removes all tasks except one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let others = {
            let mut waiting = self.lock();
            if !waiting.has_others(current) {
                return;
            }
            let mut others = waiting.take();
            waiting.first = others.first.take_if(|first| first.will_wake(current));
            waiting.sender = others.sender.take_if(|sender| sender.will_wake(current));
            if waiting.first.is_none()
                && let Some(at) = others.more.iter().position(|waker| waker.will_wake(current))
            {
                waiting.first = Some(First::new(others.more.swap_remove(at), None));
            }
            others
        };
        others.wake();
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_and_keep();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_and_keep();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A waker that no other one is equal to.
    struct Counter(Arc<AtomicUsize>);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_whose_wakers_are_never_equal_does_not_grow_the_list_without_bound() {
        let (wakers, woken) = (Wakers::default(), Arc::new(AtomicUsize::new(0)));
        let add = || {
            let waker = Waker::from(Arc::new(Counter(Arc::clone(&woken))));
            wakers.add(waker.clone(), &waker);
        };
        // The first one is not in `more`.
        (0..=FIRST_FLUSH).for_each(|_| add());
        assert_eq!(woken.load(Ordering::Relaxed), 0);
        add();
        assert_eq!(woken.load(Ordering::Relaxed), FIRST_FLUSH + 1, "all that were listed are woken");
        // Then twice as many have room, so that tasks that all wait do not wake each other for ever.
        (0..2 * FIRST_FLUSH).for_each(|_| add());
        assert_eq!(woken.load(Ordering::Relaxed), FIRST_FLUSH + 1);
        add();
        assert_eq!(woken.load(Ordering::Relaxed), 3 * FIRST_FLUSH + 2);
    }
}
