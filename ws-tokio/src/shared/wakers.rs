use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use crate::foreign::{Foreign, run_unlocked};

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
    first: Option<Waker>,
    more: Vec<Waker>,
    /// When `more` has so many wakers, all tasks are woken before another one is added.
    flush_at: usize,
    /// The sender that moves the bytes while it waits for room.
    sender: Option<Waker>,
}

impl List {
    fn contains(&self, waker: &Waker) -> bool {
        self.is_sender(waker) || self.is_listed(waker)
    }

    fn is_listed(&self, waker: &Waker) -> bool {
        match &self.first {
            None => false,
            Some(first) => first.will_wake(waker) || self.more.iter().any(|known| known.will_wake(waker)),
        }
    }

    fn is_sender(&self, waker: &Waker) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.will_wake(waker))
    }

    /// Adds a waker unless it is in the list; then it is returned.
    fn push(&mut self, waker: Waker) -> Option<Waker> {
        if self.is_listed(&waker) {
            return Some(waker);
        }
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
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

    fn into_wakers(self) -> impl Iterator<Item = Waker> {
        self.first.into_iter().chain(self.more).chain(self.sender)
    }

    /// Returns whether a task other than `current` waits.
    fn has_others(&self, current: &Waker) -> bool {
        let is_other = |waker: &Option<Waker>| waker.as_ref().is_some_and(|waker| !waker.will_wake(current));
        !self.more.is_empty() || is_other(&self.first) || is_other(&self.sender)
    }
}

impl Wakers {
    /// Returns whether this task is registered. Call it before polling the transport, so that no wake-up is lost.
    #[inline]
    pub(crate) fn contains(&self, waker: &Waker) -> bool {
        self.lock().contains(waker)
    }

    /// Adds a task of the library, whose waker may be cloned under a lock, unless it is registered.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.contains(waker) {
            waiting.push(waker.clone());
        }
    }

    /// Adds a task unless it is registered.
    pub(crate) fn add(&self, waker: Waker) {
        let (known, flushed) = {
            let mut waiting = self.lock();
            let flushed = waiting.take_if_full();
            (if waiting.is_sender(&waker) { Some(waker) } else { waiting.push(waker) }, flushed)
        };
        discard(known);
        wake(flushed.into_iter().flat_map(List::into_wakers));
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
            waiting.sender.replace(clone).and_then(|before| waiting.push(before))
        };
        discard(known);
    }

    /// Removes the sender that moves the bytes and wakes its task, which may also wait for something other than room.
    pub(crate) fn release_sender(&self) {
        let sender = self.lock().sender.take();
        wake(sender);
    }

    /// Wakes and removes all tasks.
    pub(crate) fn wake_all(&self) {
        let list = self.lock().take();
        wake(list.into_wakers());
    }

    /// Wakes and removes all tasks except one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let (others, sender) = {
            let mut waiting = self.lock();
            if !waiting.has_others(current) {
                return;
            }
            let List { first, more, sender, .. } = waiting.take();
            let (mut current_task, others): (Vec<_>, Vec<_>) =
                first.into_iter().chain(more).partition(|waker| waker.will_wake(current));
            waiting.first = current_task.pop();
            let (kept, woken) = match sender {
                Some(sender) if sender.will_wake(current) => (Some(sender), None),
                sender => (None, sender),
            };
            waiting.sender = kept;
            (others, woken)
        };
        wake(others.into_iter().chain(sender));
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
}

fn discard(waker: Option<Waker>) {
    waker.into_iter().for_each(|waker| run_unlocked(Foreign::Waker(waker)));
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
        let add = || wakers.add(Waker::from(Arc::new(Counter(Arc::clone(&woken)))));
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
