//! Which connections get a turn, and in which order.
//!
//! An event of the kernel gives its connection a turn at once. Other turns wait in queues, so that each poll of the
//! reactor is short and looks for events in between:
//!
//! - `want_turn`: connections whose last turn was not enough;
//! - `due`: connections that have publications. Most need no turn for that, only a write;
//! - `woken`: connections that another thread, a timer or a future has woken, or that are due and need a turn;
//! - `sweep`: all connections, after a change that concerns them all, such as a shutdown.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use rustix::event::epoll::{Event, EventFlags};
use tokio::task::coop;
use ws_tokio::internal::{ThreadReceiveBuffer, guarded};

use crate::{
    shard::wake_queue::Pending,
    topics::{Due, Singles},
};

use super::{EVENTS_PER_CALL, connection::ReactorConn, table::ConnTable};

/// Most turns per poll for woken connections, and as many for connections that want another turn. So a broadcast delays
/// other connections by as much for ten thousand receivers as for a hundred.
pub(super) const TURNS_PER_POLL: usize = 64;
/// Connections per poll that a sweep gives a turn.
pub(super) const SWEEP_PER_POLL: u32 = 256;

/// The reactor's own state between polls.
pub(super) struct Schedule {
    flag: Arc<WantsTurn>,
    /// Sets `flag`. Connections get it as their task's waker during a turn.
    waker: Waker,
    /// The thread's receive buffer, taken in a poll by the first connection that reads.
    pub(super) rx: Option<ThreadReceiveBuffer>,
    pub(super) events: Vec<Event>,
    /// What was taken from the wake queue.
    pub(super) pending: Pending,
    pub(super) want_turn: VecDeque<u32>,
    pub(super) woken: VecDeque<u32>,
    pub(super) due: VecDeque<Due>,
    /// Connections that are opened in this poll.
    pub(super) opened: Vec<u32>,
    /// Empty. Its memory is used again.
    pub(super) singles: Singles,
    /// The next connection of a sweep that has begun.
    pub(super) sweep: Option<u32>,
}

/// Whether the connection whose turn it is wants another one.
#[derive(Default)]
struct WantsTurn(AtomicBool);

impl std::task::Wake for WantsTurn {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Schedule {
    pub(super) fn new() -> Self {
        let flag = Arc::new(WantsTurn::default());
        Self {
            waker: Waker::from(Arc::clone(&flag)),
            flag,
            rx: None,
            events: Vec::with_capacity(EVENTS_PER_CALL),
            pending: Pending::default(),
            want_turn: VecDeque::new(),
            woken: VecDeque::new(),
            due: VecDeque::new(),
            opened: Vec::new(),
            singles: Singles::default(),
            sweep: None,
        }
    }

    /// Whether turns are due apart from those of a sweep.
    pub(super) fn has_turns(&self) -> bool {
        !self.want_turn.is_empty() || !self.woken.is_empty() || !self.due.is_empty()
    }

    /// Queues the connections that the wake queue has named.
    pub(super) fn queue_pending(&mut self) {
        if mem::take(&mut self.pending.all) {
            self.sweep = Some(0);
        }
        self.woken.extend(self.pending.ids.drain(..));
    }

    /// Gives turns to connections that want another one and to woken ones, alternately, up to [`TURNS_PER_POLL`] of
    /// each.
    pub(super) fn run_queued<T: ReactorConn>(&mut self, connections: &mut ConnTable<T>) {
        // A connection that is queued during this poll gets its turn in the next one.
        let mut want_turn = self.want_turn.len().min(TURNS_PER_POLL);
        let mut woken = self.woken.len().min(TURNS_PER_POLL);
        while (want_turn > 0 || woken > 0) && coop::has_budget_remaining() {
            if want_turn > 0
                && let Some(id) = self.want_turn.pop_front()
            {
                want_turn -= 1;
                if let Some(connection) = connections.get_mut(id) {
                    *connection.wants_turn() = false;
                }
                self.turn(id, connections);
            }
            if woken > 0
                && let Some(id) = self.woken.pop_front()
            {
                woken -= 1;
                // A connection that is queued for another turn needs no further one.
                if connections.get_mut(id).is_some_and(|connection| !*connection.wants_turn()) {
                    self.turn(id, connections);
                }
            }
        }
        if self.woken.is_empty() {
            // Frees what a large broadcast has allocated.
            self.woken.shrink_to(16 * TURNS_PER_POLL);
        }
    }

    /// Gives new connections their first turn.
    pub(super) fn run_opened<T: ReactorConn>(&mut self, connections: &mut ConnTable<T>) {
        let mut opened = mem::take(&mut self.opened);
        for id in opened.drain(..) {
            self.turn(id, connections);
        }
        self.opened = opened;
    }

    /// Continues a sweep: gives a turn to the next [`SWEEP_PER_POLL`] connections.
    pub(super) fn run_sweep<T: ReactorConn>(&mut self, connections: &mut ConnTable<T>) {
        let Some(start) = self.sweep.take() else { return };
        let end = start.saturating_add(SWEEP_PER_POLL).min(connections.end());
        for id in start..end {
            self.turn(id, connections);
        }
        self.sweep = (end < connections.end()).then_some(end);
    }

    /// Tells a connection what the kernel reported, and gives it a turn. `false`: it is not there.
    #[inline]
    pub(super) fn turn_after_event<T: ReactorConn>(
        &mut self,
        id: u32,
        events: EventFlags,
        connections: &mut ConnTable<T>,
    ) -> bool {
        let Some(connection) = connections.get_mut(id) else { return false };
        if *connection.wants_turn() || !coop::has_budget_remaining() {
            // A connection that is queued for another turn reads its events then.
            let _ = guarded(|| connection.note_events(events));
            self.queue_turn(id, connection);
            return true;
        }
        let turn = |connection: &mut T, waker: &Waker, rx: &mut Option<ThreadReceiveBuffer>| {
            connection.turn_after_event(events, waker, rx)
        };
        if self.run(id, connection, turn).is_ready() {
            remove(id, connections);
        }
        true
    }

    /// Gives a connection a turn, if it is still there.
    pub(super) fn turn<T: ReactorConn>(&mut self, id: u32, connections: &mut ConnTable<T>) {
        let Some(connection) = connections.get_mut(id) else { return };
        if !coop::has_budget_remaining() {
            // Async functions have used up the budget of this poll, so tokio's other tasks come first.
            return self.queue_turn(id, connection);
        }
        if self.run(id, connection, T::turn).is_ready() {
            remove(id, connections);
        }
    }

    /// Runs a turn, and queues another one that the connection wants. A panic ends here. `Ready`: the connection is
    /// over.
    #[inline]
    fn run<T: ReactorConn>(
        &mut self,
        id: u32,
        connection: &mut T,
        turn: impl FnOnce(&mut T, &Waker, &mut Option<ThreadReceiveBuffer>) -> Poll<()>,
    ) -> Poll<()> {
        self.flag.0.store(false, Ordering::Relaxed);
        let turn = guarded(|| turn(connection, &self.waker, &mut self.rx));
        let polled = turn.unwrap_or_else(|_panicked| {
            // It may hold bytes of that connection.
            self.rx = None;
            self.flag.0.store(true, Ordering::Relaxed);
            guarded(|| connection.on_panic()).unwrap_or(Poll::Ready(()))
        });
        if polled.is_pending() && self.flag.0.load(Ordering::Relaxed) {
            self.queue_turn(id, connection);
        }
        polled
    }

    /// Queues a connection for another turn, in the next poll.
    pub(super) fn queue_turn(&mut self, id: u32, connection: &mut impl ReactorConn) {
        if !mem::replace(connection.wants_turn(), true) {
            self.want_turn.push_back(id);
        }
    }
}

/// Drops a connection that is over. Destructors of handlers may panic too.
#[cold]
fn remove<T>(id: u32, connections: &mut ConnTable<T>) {
    let _ = guarded(|| drop(connections.remove(id)));
}
