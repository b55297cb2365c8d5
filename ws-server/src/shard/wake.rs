//! Ways to wake a connection: the waker of its own task, or an entry in the wake queue of the reactor that runs it.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use ws_tokio::internal::Home;

use super::wake_queue::WakeQueue;

/// Wakers by connection id.
pub(crate) struct WakeTable {
    /// Only connections with a task of their own have a waker.
    wakers: Vec<Option<Waker>>,
    /// Wakes all other connections.
    queue: Option<Arc<WakeQueue>>,
}

impl WakeTable {
    /// A table for connections that are tasks, with room for `initial` of them.
    pub(crate) fn tasks(initial: usize) -> Self {
        Self { wakers: Vec::with_capacity(initial), queue: None }
    }

    /// A table for a reactor's connections. It also takes wakers, for connections with a task of their own.
    #[cfg(target_os = "linux")]
    pub(crate) const fn reactor(queue: Arc<WakeQueue>) -> Self {
        Self { wakers: Vec::new(), queue: Some(queue) }
    }

    /// Sets the waker of a connection that has a task of its own.
    pub(super) fn set(&mut self, id: u32, waker: &Waker) {
        let id = id as usize;
        if id >= self.wakers.len() {
            let more = id + 1 - self.wakers.len();
            if id >= self.wakers.capacity() {
                // Small steps, because doubling would leave half of a large table unused.
                self.wakers.reserve_exact(more + 64 + self.wakers.len() / 8);
            }
            self.wakers.resize(id + 1, None);
        }
        self.wakers[id] = Some(waker.clone());
    }

    /// Removes a connection's waker and returns it. Dropping a waker runs its executor's code, so drop it without a
    /// lock.
    pub(super) fn clear(&mut self, id: u32) -> Option<Waker> {
        self.wakers.get_mut(id as usize)?.take()
    }

    /// A waker for a connection that works on every thread and between turns. `current` is the waker of this turn.
    pub(super) fn waker(&self, id: u32, current: &Waker) -> ConnWaker {
        match (self.waker_of(id), &self.queue) {
            (None, Some(queue)) => ConnWaker::Queue(Arc::clone(queue), id),
            _ => ConnWaker::Task(current.clone()),
        }
    }

    /// The wake-ups of these connections.
    pub(super) fn batch(&self, ids: &[u32]) -> WakeBatch {
        let mut batch = WakeBatch { queue: self.queue.clone(), ..WakeBatch::default() };
        for id in ids {
            match self.waker_of(*id) {
                Some(waker) => batch.wakers.push(waker.clone()),
                None => batch.ids.push(*id),
            }
        }
        batch
    }

    /// The wake-ups of all connections.
    pub(super) fn all(&self) -> WakeBatch {
        WakeBatch {
            wakers: self.wakers.iter().flatten().cloned().collect(),
            queue: self.queue.clone(),
            ids: Vec::new(),
            all: true,
        }
    }

    fn waker_of(&self, id: u32) -> Option<&Waker> {
        self.wakers.get(id as usize)?.as_ref()
    }
}

/// Wakes one connection. It may outlive the connection; then it wakes the next connection with this id, which is
/// harmless.
pub(crate) enum ConnWaker {
    Task(Waker),
    Queue(Arc<WakeQueue>, u32),
}

impl ConnWaker {
    pub(crate) fn wake(&self) {
        match self {
            Self::Task(waker) => waker.wake_by_ref(),
            Self::Queue(queue, id) => queue.push(&[*id]),
        }
    }

    /// A waker that does the same. To clone it runs no foreign code, but to make it may, so call this without a lock.
    pub(crate) fn to_waker(&self) -> Waker {
        Waker::from(Arc::new(match self {
            Self::Task(waker) => Self::Task(waker.clone()),
            Self::Queue(queue, id) => Self::Queue(Arc::clone(queue), *id),
        }))
    }

    /// The place of a connection that a reactor runs.
    pub(crate) fn home(&self) -> Option<Home> {
        match self {
            Self::Task(_) => None,
            Self::Queue(queue, id) => Some(queue.home(*id)),
        }
    }
}

impl Wake for ConnWaker {
    fn wake(self: Arc<Self>) {
        (*self).wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        (**self).wake();
    }
}

/// Wake-ups to deliver once no lock is held.
#[derive(Default)]
#[must_use]
pub(crate) struct WakeBatch {
    wakers: Vec<Waker>,
    queue: Option<Arc<WakeQueue>>,
    ids: Vec<u32>,
    all: bool,
}

impl WakeBatch {
    pub(super) fn wake(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        let Some(queue) = self.queue else { return };
        if self.all {
            queue.push_all();
        } else {
            queue.push(&self.ids);
        }
    }
}
