use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

/// The tasks that wait for one connection. A transport remembers one waker; several tasks may use one connection
/// (its owner, a server's task around it, any number of senders), so it is given one that wakes them all.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// Mostly there is one; it needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    /// Adds a task, once. Register first and poll the transport then: no wake-up in between is lost.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut waiting = self.lock();
        match &waiting.first {
            None => waiting.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) if waiting.more.iter().any(|known| known.will_wake(waker)) => {}
            Some(_) => waiting.more.push(waker.clone()),
        }
    }

    /// Wakes and forgets all tasks. No lock is held while they are woken.
    pub(crate) fn wake_all(&self) {
        let Waiting { first, more } = mem::take(&mut *self.lock());
        first.into_iter().chain(more).for_each(Waker::wake);
    }

    /// Wakes and forgets all tasks but one.
    pub(crate) fn wake_others(&self, current: &Waker) {
        let Waiting { first, more } = {
            let mut waiting = self.lock();
            if waiting.more.is_empty() && waiting.first.as_ref().is_none_or(|first| first.will_wake(current))
            {
                return;
            }
            mem::take(&mut *waiting)
        };
        let (current_task, others): (Vec<_>, Vec<_>) =
            first.into_iter().chain(more).partition(|waker| waker.will_wake(current));
        current_task.iter().for_each(|waker| self.register(waker));
        others.into_iter().for_each(Waker::wake);
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
