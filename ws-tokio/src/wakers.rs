use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use crate::foreign::{Foreign, run_unlocked};

/// The tasks that wait for one connection. A transport remembers one waker; several tasks may use one connection
/// (its owner, a server's task around it, any number of senders), so it is given one that wakes them all.
///
/// A waker's code is its executor's: it runs once this thread has no lock.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Mostly there is one; it needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Waiting {
    fn knows(&self, waker: &Waker) -> bool {
        match &self.first {
            None => false,
            Some(first) => first.will_wake(waker) || self.more.iter().any(|known| known.will_wake(waker)),
        }
    }

    fn push(&mut self, waker: Waker) {
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.more.push(waker);
        }
    }
}

impl Wakers {
    /// Whether this task is woken. Ask first and poll the transport then: no wake-up in between is lost.
    #[inline]
    pub(crate) fn knows(&self, waker: &Waker) -> bool {
        self.lock().knows(waker)
    }

    /// Adds a runtime's own task, once. Its waker may be cloned under a lock.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        if !waiting.knows(waker) {
            waiting.push(waker.clone());
        }
    }

    /// Adds a task, once.
    pub(crate) fn add(&self, waker: Waker) {
        let mut waiting = self.lock();
        if waiting.knows(&waker) {
            drop(waiting);
            run_unlocked(Foreign::Waker(waker));
        } else {
            waiting.push(waker);
        }
    }

    /// Wakes and forgets all tasks.
    pub(crate) fn wake_all(&self) {
        let Waiting { first, more } = mem::take(&mut *self.lock());
        first.into_iter().chain(more).for_each(|waker| run_unlocked(Foreign::Wake(waker)));
    }

    /// Wakes and forgets all tasks but one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let others = {
            let mut waiting = self.lock();
            if waiting.more.is_empty() && waiting.first.as_ref().is_none_or(|first| first.will_wake(current))
            {
                return;
            }
            let Waiting { first, more } = mem::take(&mut *waiting);
            let (mut current_task, others): (Vec<_>, Vec<_>) =
                first.into_iter().chain(more).partition(|waker| waker.will_wake(current));
            waiting.first = current_task.pop();
            others
        };
        others.into_iter().for_each(|waker| run_unlocked(Foreign::Wake(waker)));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
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
