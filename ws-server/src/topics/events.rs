//! The queues of events of topics. Each receiver has one.

use std::{
    collections::VecDeque,
    future::poll_fn,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use ws_tokio::internal::{Foreign, Locked, run_unlocked};

use super::event::TopicEvent;

/// The most events in a queue.
const CAPACITY: usize = 1024;

/// The queues of all receivers. Events are pushed under the lock of their topic.
#[derive(Default)]
pub(super) struct Events {
    /// Whether there are receivers.
    is_heard: AtomicBool,
    queues: Mutex<Vec<Arc<Queue>>>,
}

#[derive(Debug, Default)]
struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    events: VecDeque<TopicEvent>,
    /// Events that were dropped behind those in the queue.
    dropped: u64,
    waker: Option<Waker>,
    is_closed: bool,
}

impl Events {
    pub(super) fn receive(self: &Arc<Self>) -> TopicEvents {
        let queue = Arc::<Queue>::default();
        let mut queues = self.lock();
        queues.push(Arc::clone(&queue));
        self.is_heard.store(true, Ordering::SeqCst);
        TopicEvents { queue, events: Arc::downgrade(self) }
    }

    /// Pushes an event to all receivers.
    pub(super) fn emit(&self, event: impl FnOnce() -> TopicEvent) {
        if !self.is_heard.load(Ordering::SeqCst) {
            return;
        }
        let event = event();
        self.lock().iter().for_each(|queue| queue.push(&event));
    }

    /// Ends the events: the topics are gone.
    pub(super) fn close(&self) {
        let queues = mem::take(&mut *self.lock());
        for queue in queues {
            let mut state = queue.lock();
            state.is_closed = true;
            state.wake();
        }
    }

    fn remove(&self, queue: &Arc<Queue>) {
        let mut queues = self.lock();
        queues.retain(|other| !Arc::ptr_eq(other, queue));
        self.is_heard.store(!queues.is_empty(), Ordering::SeqCst);
    }

    fn lock(&self) -> Locked<'_, Vec<Arc<Queue>>> {
        Locked::new(|| self.queues.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Queue {
    fn push(&self, event: &TopicEvent) {
        let mut state = self.lock();
        let needed = 1 + usize::from(state.dropped > 0);
        if state.events.len() + needed > CAPACITY {
            state.dropped += 1;
        } else {
            let dropped = mem::take(&mut state.dropped);
            if dropped > 0 {
                state.events.push_back(TopicEvent::Lagged(dropped));
            }
            state.events.push_back(event.clone());
        }
        state.wake();
    }

    fn lock(&self) -> Locked<'_, QueueState> {
        Locked::new(|| self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl QueueState {
    fn pop(&mut self) -> Option<TopicEvent> {
        let next = self.events.pop_front();
        next.or_else(|| Some(mem::take(&mut self.dropped)).filter(|count| *count > 0).map(TopicEvent::Lagged))
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            run_unlocked(Foreign::Wake(waker));
        }
    }
}

/// Receives the events of [`Topics`](super::Topics), from [`Topics::events`](super::Topics::events).
///
/// It holds up to 1024 events. While it is full, further events are dropped, and [`TopicEvent::Lagged`] says how many.
pub struct TopicEvents {
    queue: Arc<Queue>,
    events: std::sync::Weak<Events>,
}

impl TopicEvents {
    /// Waits for the next event. `None` once all handles to the topics are gone.
    ///
    /// # Cancel safety
    /// Safe. Dropping the future loses nothing.
    pub async fn recv(&mut self) -> Option<TopicEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next event, if there is one at this moment.
    pub fn try_recv(&mut self) -> Option<TopicEvent> {
        self.queue.lock().pop()
    }

    fn poll_recv(&self, cx: &Context<'_>) -> Poll<Option<TopicEvent>> {
        if let Some(event) = self.queue.lock().pop() {
            return Poll::Ready(Some(event));
        }
        // Cloning a waker runs foreign code.
        let waker = cx.waker().clone();
        let mut state = self.queue.lock();
        let event = state.pop();
        if event.is_some() || state.is_closed {
            run_unlocked(Foreign::Waker(waker));
            return Poll::Ready(event);
        }
        if let Some(old) = state.waker.replace(waker) {
            run_unlocked(Foreign::Waker(old));
        }
        Poll::Pending
    }
}

impl Drop for TopicEvents {
    fn drop(&mut self) {
        if let Some(events) = self.events.upgrade() {
            events.remove(&self.queue);
        }
        if let Some(waker) = self.queue.lock().waker.take() {
            run_unlocked(Foreign::Waker(waker));
        }
    }
}

/// Shows the number of events that wait.
impl std::fmt::Debug for TopicEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicEvents")
            .field("waiting", &self.queue.lock().events.len())
            .finish_non_exhaustive()
    }
}
