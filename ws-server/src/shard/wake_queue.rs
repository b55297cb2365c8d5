//! The queue through which other threads and timers wake the connections of a reactor.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Wake, Waker},
};

use ws_tokio::internal::Home;

/// The ids of connections that need a turn without an event of their socket.
pub(crate) struct WakeQueue {
    /// The number of the reactor's shard.
    shard: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: Pending,
    /// The waker of the reactor's task, while that task waits.
    reader: Option<Waker>,
}

/// Wake-ups since the reactor last took them.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) ids: Vec<u32>,
    pub(crate) all: bool,
}

impl Default for WakeQueue {
    fn default() -> Self {
        /// Unique in the process, because servers may share their topics.
        static SHARDS: AtomicU32 = AtomicU32::new(0);
        Self { shard: SHARDS.fetch_add(1, Ordering::Relaxed), state: Mutex::default() }
    }
}

impl WakeQueue {
    /// The number of the reactor's shard, which is unique in the process.
    pub(crate) const fn shard(&self) -> u32 {
        self.shard
    }

    /// The place of a connection of this reactor.
    pub(crate) const fn home(&self, id: u32) -> Home {
        Home { shard: self.shard, id }
    }

    /// Wakes these connections.
    pub(crate) fn push(&self, ids: &[u32]) {
        if !ids.is_empty() {
            self.change(|pending| pending.ids.extend_from_slice(ids));
        }
    }

    /// Wakes all connections.
    pub(crate) fn push_all(&self) {
        self.change(|pending| pending.all = true);
    }

    /// Wakes the reader, without a connection.
    pub(crate) fn wake(&self) {
        self.change(|_| {});
    }

    /// Swaps what is pending with `spare`, whose allocation is used next. The next push wakes `reader`.
    pub(crate) fn take(&self, reader: &Waker, spare: &mut Pending) {
        let mut state = self.lock();
        mem::swap(&mut state.pending, spare);
        state.reader.get_or_insert_with(|| reader.clone()).clone_from(reader);
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let reader = {
            let mut state = self.lock();
            change(&mut state.pending);
            state.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A waker of the reactor itself.
impl Wake for WakeQueue {
    fn wake(self: Arc<Self>) {
        Self::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Self::wake(self);
    }
}

/// The waker of an async function's future on a reactor. It pushes its id at most once between two turns.
pub(crate) struct TurnWaker {
    queue: Arc<WakeQueue>,
    id: u32,
    woken: AtomicBool,
}

impl TurnWaker {
    pub(crate) fn new(queue: &Arc<WakeQueue>, id: u32) -> Arc<Self> {
        Arc::new(Self { queue: Arc::clone(queue), id, woken: AtomicBool::new(false) })
    }

    /// Begins a turn. A later wake-up asks for another turn.
    pub(crate) fn begin_turn(&self) {
        // The swap also acquires. A thread that found the flag set has pushed nothing, and this turn must see what that
        // thread did before. A thread that sets the flag after this load pushes the id, so another turn follows.
        if self.woken.load(Ordering::Relaxed) {
            self.woken.swap(false, Ordering::AcqRel);
        }
    }
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.queue.push(&[self.id]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn reader() -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter::default());
        (Arc::clone(&counter), Waker::from(counter))
    }

    #[test]
    fn ids_are_taken_in_order_and_once() {
        let (queue, (_, reader), mut pending) = (WakeQueue::default(), reader(), Pending::default());
        queue.push(&[3, 1]);
        queue.push(&[2]);
        queue.take(&reader, &mut pending);
        assert_eq!((pending.ids.as_slice(), pending.all), ([3, 1, 2].as_slice(), false));
        pending.ids.clear();
        queue.push_all();
        queue.take(&reader, &mut pending);
        assert_eq!((pending.ids.as_slice(), pending.all), ([].as_slice(), true));
    }

    #[test]
    fn the_reader_is_woken_once_per_sleep() {
        let (queue, (counter, reader), mut pending) = (WakeQueue::default(), reader(), Pending::default());
        queue.push(&[1]);
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "it does not sleep yet");
        queue.take(&reader, &mut pending);
        queue.push(&[]);
        assert_eq!(counter.0.load(Ordering::Relaxed), 0, "nothing was pushed");
        queue.push(&[1]);
        queue.push(&[2]);
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        queue.take(&reader, &mut pending);
        queue.push_all();
        assert_eq!(counter.0.load(Ordering::Relaxed), 2);
        queue.take(&reader, &mut pending);
        queue.wake();
        queue.wake();
        assert_eq!(counter.0.load(Ordering::Relaxed), 3, "without an id");
    }

    #[test]
    fn a_turn_waker_pushes_its_id_once_between_two_turns() {
        let (queue, (_, reader), mut pending) =
            (Arc::new(WakeQueue::default()), reader(), Pending::default());
        let waker = TurnWaker::new(&queue, 7);
        waker.wake_by_ref();
        waker.wake_by_ref();
        queue.take(&reader, &mut pending);
        assert_eq!(pending.ids, [7]);
        waker.wake_by_ref();
        waker.begin_turn();
        waker.wake_by_ref();
        pending.ids.clear();
        queue.take(&reader, &mut pending);
        assert_eq!(pending.ids, [7], "only the wake-up after the turn began");
    }
}
