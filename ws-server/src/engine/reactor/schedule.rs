//! Who has a turn, and who asks for another one.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Wake, Waker},
};

use rustix::event::epoll::Event;
use tokio::task::coop;
use ws_tokio::internal::{ReceiveLease, guarded};

use crate::shard::wake_queue::Pending;

use super::{EVENTS, connection::ReactorConn, table::ConnTable};

/// The reactor's own state between polls.
pub(super) struct Schedule {
    /// What connections get as their task's waker during a turn.
    again: Arc<YieldFlag>,
    waker: Waker,
    /// The thread's receive buffer, during a poll and if somebody needed it.
    pub(super) rx: Option<ReceiveLease>,
    pub(super) events: Vec<Event>,
    pub(super) notes: Pending,
    /// Those who asked for another turn.
    pub(super) next: VecDeque<u32>,
    /// Those who were called and have not had their turn.
    pub(super) called: VecDeque<u32>,
    /// How far a roll call has come.
    pub(super) sweep: Option<u32>,
}

/// The waker of whichever connection has its turn: it asks for another one.
#[derive(Default)]
struct YieldFlag(AtomicBool);

impl Wake for YieldFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Schedule {
    pub(super) fn new() -> Self {
        let again = Arc::new(YieldFlag::default());
        Self {
            waker: Waker::from(Arc::clone(&again)),
            again,
            rx: None,
            events: Vec::with_capacity(EVENTS),
            notes: Pending::default(),
            next: VecDeque::new(),
            called: VecDeque::new(),
            sweep: None,
        }
    }

    /// Gives a connection its turn, if it is still there.
    pub(super) fn turn<T: ReactorConn>(&mut self, number: u32, connections: &mut ConnTable<T>) {
        let Some(task) = connections.get_mut(number) else { return };
        if !coop::has_budget_remaining() {
            // What async functions have done in this poll is enough; tokio's other tasks come first.
            return self.put_off(number, task);
        }
        self.again.0.store(false, Ordering::Relaxed);
        let polled = guarded(|| task.poll_turn(&self.waker, &mut self.rx)).unwrap_or_else(|_panicked| {
            // It may have bytes of that connection.
            self.rx = None;
            Poll::Ready(())
        });
        if polled.is_ready() {
            // Destructors of handlers may panic too.
            let _ = guarded(|| drop(connections.remove(number)));
        } else if self.again.0.load(Ordering::Relaxed) {
            self.put_off(number, task);
        }
    }

    /// Another turn, in the next poll.
    fn put_off(&mut self, number: u32, task: &mut impl ReactorConn) {
        if !std::mem::replace(task.is_due(), true) {
            self.next.push_back(number);
        }
    }
}
