//! Delivery of publications to the members of one shard, or to a part of the members outside of the shards.

mod fill;
mod inbox;
mod key_index;
mod keys;
mod members;
mod pages;
mod policies;
mod publish;
mod queue;
mod singles;
mod store;
mod subscribers;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::Instant,
};

use ws_proto::{Connection, TransmitQueue, memory::MemoryBudget};
use ws_tokio::internal::{FeedPressure, Filled, Locked, guarded};

use self::{inbox::Inbox, members::Members};
#[cfg_attr(
    not(any(target_os = "linux", test)),
    expect(unused_imports, reason = "only the reactor takes publications without a turn")
)]
pub(crate) use singles::Singles;

use super::{
    publication::{MemberId, Publication, TopicId},
    room::RoomShare,
    slow::SlowPolicy,
};

/// The place of a member in its delivery. It stays the member's until [`Delivery::remove_member`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// How a member's connection learns that publications wait for it.
#[derive(Debug)]
pub(crate) enum MemberWake {
    /// The id of the connection on the reactor, which [`Delivery::dispatch`] reports.
    Local(u32),
    Waker(Waker),
}

/// A connection of a reactor that has publications.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    /// Its id on the reactor.
    pub(crate) id: u32,
    pub(crate) slot: Slot,
}

/// What may wait for a member in all its subscriptions together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MemberLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// A change that a delivery executes, in the order of the inbox.
pub(crate) enum Command {
    /// A member joins a topic. It gets what it recovers first.
    Subscribe {
        slot: Slot,
        topic: TopicId,
        /// Within the limits of the connection.
        slow: SlowPolicy,
        recovered: Vec<Arc<Publication>>,
    },
    Unsubscribe {
        slot: Slot,
        topic: TopicId,
    },
    Publish {
        topic: TopicId,
        publication: Arc<Publication>,
        /// Dropped once the command is executed: room for further publications.
        room: RoomShare,
    },
}

/// Publications that wait for a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

/// From this many commands on, a thread that adds one executes them all. It bounds the inbox of a reactor, or of a
/// thread that dispatches, which is late.
const HELP_FROM: u64 = 4096;

/// A thread that dispatches looks this often for commands of others, and then continues with its own work.
const LOOKS: usize = 16;

/// Members whose publications are executed together: those of a reactor's shard, or a part of the members outside of
/// the shards. It has two locks. The inbox's is held for a moment, so that a publisher never waits for the members'.
/// Foreign code runs under neither.
pub(crate) struct Delivery {
    inbox: Inbox,
    members: Mutex<Members>,
    /// Set before commands are taken from the inbox, and until nothing waits for any member.
    is_busy: AtomicBool,
    mode: Mode,
}

enum Mode {
    Local {
        wake: Waker,
        /// Set from a wake-up until the reactor looks.
        is_woken: AtomicBool,
    },
    Loose {
        /// The calls of [`Delivery::kick`] that the thread which dispatches has not seen done.
        kicks: AtomicUsize,
    },
}

impl Delivery {
    /// The delivery of a reactor's shard. `wake` wakes the reactor, which calls [`dispatch`](Self::dispatch). The
    /// budget counts what waits for members, without the publications themselves.
    pub(crate) fn local(wake: Waker, budget: Option<MemoryBudget>) -> Self {
        Self::new(Mode::Local { wake, is_woken: AtomicBool::new(false) }, budget)
    }

    /// A delivery that is dispatched by the threads that call [`kick`](Self::kick).
    pub(crate) fn loose(budget: Option<MemoryBudget>) -> Self {
        Self::new(Mode::Loose { kicks: AtomicUsize::new(0) }, budget)
    }

    fn new(mode: Mode, budget: Option<MemoryBudget>) -> Self {
        Self {
            inbox: Inbox::default(),
            members: Mutex::new(Members::new(budget)),
            is_busy: AtomicBool::new(false),
            mode,
        }
    }

    /// Adds a member without subscriptions. The waker must be the library's own: it is cloned under the lock.
    pub(crate) fn add_member(&self, id: MemberId, wake: MemberWake, limits: MemberLimits) -> Slot {
        self.lock().add_member(id, wake, limits)
    }

    /// The connection is over. What waits is dropped, and commands for the slot have no effect.
    pub(crate) fn remove_member(&self, slot: Slot) {
        self.lock().remove_member(slot);
    }

    /// Appends to the inbox. May be called under a topic's lock. [`kick`](Self::kick) must follow.
    pub(crate) fn push(&self, command: Command) {
        self.inbox.push(command);
    }

    /// Executes the inbox soon. Called after the locks are released.
    pub(crate) fn kick(&self) {
        match &self.mode {
            Mode::Local { wake, is_woken } => {
                if !is_woken.swap(true, Ordering::AcqRel) {
                    // The panic hook has reported a panic.
                    let _ = guarded(|| wake.wake_by_ref());
                }
                self.help();
            }
            Mode::Loose { kicks } => self.dispatch_loose(kicks),
        }
    }

    /// Executes the inbox on this thread.
    pub(crate) fn execute(&self) {
        drop(self.lock_executed());
    }

    fn help(&self) {
        if self.inbox.len() >= HELP_FROM {
            self.execute();
        }
    }

    /// One thread executes the inbox; the others leave their commands to it. It looks again if calls came while it
    /// executed, so no command stays behind. Wakers run when the lock is released. They may call this.
    fn dispatch_loose(&self, kicks: &AtomicUsize) {
        if kicks.fetch_add(1, Ordering::AcqRel) > 0 {
            return self.help();
        }
        let mut seen = 1;
        for _ in 0..LOOKS {
            self.execute();
            match kicks.fetch_sub(seen, Ordering::AcqRel) - seen {
                0 => return,
                more => seen = more,
            }
        }
        // Threads that call from now on execute their commands. Those of the calls before are in the inbox.
        kicks.swap(0, Ordering::AcqRel);
        self.execute();
    }

    /// Executes the inbox. Appends the local connections that have publications now and were not due before. A
    /// connection that is due calls [`fill`](Self::fill), even if its write queue has no room, and again by itself
    /// until nothing waits, unless [`take_singles`](Self::take_singles) has taken what waits.
    #[cfg_attr(
        not(any(target_os = "linux", test)),
        expect(dead_code, reason = "only the reactor has a delivery of its own")
    )]
    pub(crate) fn dispatch(&self, due: &mut VecDeque<Due>) {
        let was_woken = match &self.mode {
            Mode::Local { is_woken, .. } => {
                is_woken.load(Ordering::Relaxed) && is_woken.swap(false, Ordering::AcqRel)
            }
            Mode::Loose { .. } => false,
        };
        if was_woken || self.inbox.is_pending() {
            self.lock_executed().store.take_due(due);
        }
    }

    /// Executes the inbox, then moves what waits for a member into the write queue, as
    /// [`Feed::fill`](ws_tokio::internal::Feed::fill). A member that a policy closes closes its connection.
    pub(crate) fn fill(
        &self,
        slot: Slot,
        limit: usize,
        before: Option<u64>,
        connection: &mut Connection,
        tx: &mut TransmitQueue,
        now: Instant,
    ) -> Filled {
        // In this order: a thread that takes commands sets `is_busy` first.
        if !self.inbox.is_pending() && !self.is_busy.load(Ordering::Acquire) {
            return Filled::Empty;
        }
        let mut members = self.lock_executed();
        let Some(member) = members.store.find(slot) else { return Filled::Empty };
        members.store.fill(member, limit, before, connection, tx, now)
    }

    /// The number of the newest command.
    pub(crate) fn last_number(&self) -> u64 {
        self.inbox.last()
    }

    /// Publications that the member did not get because it was too slow: dropped, replaced by a newer one, or past
    /// their deadline. 0 once it is removed.
    pub(crate) fn missed(&self, slot: Slot) -> u64 {
        let members = self.lock_executed();
        members.store.find(slot).map_or(0, |member| members.store.members[member].missed)
    }

    /// As [`missed`](Self::missed), of all members together, also those that are removed.
    pub(crate) fn missed_by_all(&self) -> u64 {
        self.lock_executed().store.missed_by_all
    }

    /// As [`missed`](Self::missed), of one topic. 0 without a subscription.
    pub(crate) fn missed_in(&self, slot: Slot, topic: TopicId) -> u64 {
        let members = self.lock_executed();
        let missed = members.find(slot, topic).and_then(|at| members.store.missed.get(&at).copied());
        missed.unwrap_or(0)
    }

    /// What waits for the member.
    pub(crate) fn waiting(&self, slot: Slot) -> Waiting {
        let members = self.lock_executed();
        members.store.find(slot).map_or_else(Waiting::default, |member| members.store.waiting(member))
    }

    /// What waits for the member, and whether it has missed publications.
    pub(crate) fn pressure(&self, slot: Slot) -> FeedPressure {
        let members = self.lock_executed();
        let pressure = members.store.find(slot).map(|member| {
            let Waiting { messages, bytes } = members.store.waiting(member);
            FeedPressure { messages, bytes, missed: members.store.members[member].is_slow }
        });
        pressure.unwrap_or_default()
    }

    /// Locks the members, after the inbox is executed.
    fn lock_executed(&self) -> Guard<'_> {
        let mut members = self.lock();
        if self.inbox.is_pending() {
            self.is_busy.store(true, Ordering::Release);
            members.execute(&self.inbox);
        }
        members
    }

    fn lock(&self) -> Guard<'_> {
        let members = Locked::new(|| self.members.lock().unwrap_or_else(PoisonError::into_inner));
        Guard { is_busy: &self.is_busy, members }
    }
}

/// The locked members. `is_busy` is right again when it is dropped.
struct Guard<'a> {
    is_busy: &'a AtomicBool,
    members: Locked<'a, Members>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.is_busy.store(!self.members.store.is_quiet(), Ordering::Release);
    }
}

impl std::ops::Deref for Guard<'_> {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.members
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut Members {
        &mut self.members
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("last_number", &self.last_number()).finish_non_exhaustive()
    }
}
