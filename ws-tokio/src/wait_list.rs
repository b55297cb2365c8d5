//! Senders that wait for room on a connection, in the order of their arrival.
//!
//! ```text
//!   promised: woken, with room kept for each message         waiting: first in, first out
//!   ┌───┐ ┌───┐                                              ┌───┐   ┌───┐   ┌───┐
//!   │ 4 │ │ 7 │                                              │ 2 │──▶│ 9 │──▶│ 5 │
//!   └───┘ └───┘                                              └───┘   └───┘   └───┘
//! ```
//! Free room is promised to the senders that came first, and only they are woken. A newcomer gets neither promised room
//! nor, while a sender waits, any other room. So each send costs a constant number of wake-ups, and no sender starves.
//! A sender that is dropped leaves its place at once, and room that was promised to it goes to the next one.

use std::{mem, task::Waker};

use ws_proto::memory::Backlog;

use crate::foreign::{drop_waker, wake_tasks};

const NONE: u32 = u32::MAX;

/// The senders that wait for room. It allocates only while a sender waits.
///
/// A waker runs code of its executor. The list calls and drops wakers with
/// [`run_unlocked`](crate::internal::run_unlocked), so have a [`LockMark`](crate::internal::LockMark) while the list is
/// used, and drop it after the lock that protects the list is released. The list never clones a waker.
#[derive(Debug, Default)]
pub struct WaitList(Option<Box<List>>);

/// A sender's place in a [`WaitList`]. Return it with [`leave`](WaitList::leave).
#[derive(Debug)]
pub struct Place(u32);

/// How a task stands in a [`WaitList`]: whether a sender may try to send. In a list of tasks that wait for the
/// connection's end, all are newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It has not waited, and no other sender waits.
    Newcomer,
    /// Room was promised to it. It has left its place.
    Promised,
    /// It must wait: other senders come first, or it has no promise yet.
    Waits,
}

#[derive(Debug)]
struct List {
    places: Vec<Node>,
    /// The first free place; `next` links the others.
    free: u32,
    /// The waiting senders, linked in both directions.
    first: u32,
    last: u32,
    taken: usize,
    promised: Backlog,
    /// The connection's owner waits too. It has no place in the list, and its waker is elsewhere.
    owner_waits: bool,
    /// The owner must be woken.
    owner_wake_due: bool,
    /// The owner was served before the waiting senders, and none of them has been served since.
    owner_passed: bool,
}

#[derive(Debug)]
struct Node {
    waker: Option<Waker>,
    /// Length of the message in bytes.
    len: usize,
    previous: u32,
    next: u32,
    state: State,
    /// See [`WaitList::set_mark`].
    mark: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Promised,
    /// It was woken because the connection accepts no more messages.
    Ended,
}

impl WaitList {
    /// Creates an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }

    /// Returns whether no sender has a place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|list| list.taken == 0)
    }

    /// Returns whether a sender waits without a promise. Then newcomers wait too.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|list| list.first != NONE)
    }

    /// Returns the promised room, which counts as taken for all other senders.
    #[must_use]
    pub fn promised(&self) -> Backlog {
        self.0.as_ref().map_or_else(Backlog::default, |list| list.promised)
    }

    /// Returns whether this sender may try to send now. If room was promised to it, it leaves its place.
    pub fn enter(&mut self, place: &mut Option<Place>) -> Standing {
        let Some(at) = place.as_ref().map(|place| place.0) else {
            return if self.has_waiting() { Standing::Waits } else { Standing::Newcomer };
        };
        if self.0.as_ref().is_some_and(|list| list.node(at).state == State::Waiting) {
            return Standing::Waits;
        }
        if let Some(place) = place.take() {
            self.leave(place);
        }
        Standing::Promised
    }

    /// Makes a sender wait for room for `len` bytes. It keeps its place or gets a new one: the first one if its promise
    /// could not be kept, otherwise the last one. If the list does not have the task's waker, this takes `clone`.
    /// Returns false if `clone` is `None`: then try again with a clone that was made without a lock, as
    /// [`poll_with_clone`](crate::internal::poll_with_clone) does.
    pub fn wait(
        &mut self,
        place: &mut Option<Place>,
        standing: Standing,
        len: usize,
        waker: &Waker,
        clone: &mut Option<Waker>,
    ) -> bool {
        let list = self.0.get_or_insert_with(|| Box::new(List::new()));
        let at = place.get_or_insert_with(|| Place(list.join(standing == Standing::Promised, len))).0;
        let known = &mut list.node_mut(at).waker;
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return true;
        }
        let Some(clone) = clone.take() else { return false };
        drop_waker(known.replace(clone));
        true
    }

    /// Notes a mark of the connection's [`Feed`](crate::internal::Feed) for a sender that waits: of the feed, only what
    /// came before that mark goes before the sender's message.
    pub fn set_mark(&mut self, place: Option<&Place>, mark: Option<u64>) {
        if let Some((list, place)) = self.0.as_mut().zip(place) {
            list.node_mut(place.0).mark = mark;
        }
    }

    /// Returns the mark that was noted for a sender. Call it before [`enter`](Self::enter), which may free the place.
    #[must_use]
    pub fn mark(&self, place: Option<&Place>) -> Option<u64> {
        self.0.as_ref()?.node(place?.0).mark
    }

    /// Returns whether this sender is the first of the waiting senders.
    #[must_use]
    pub fn is_first(&self, place: Option<&Place>) -> bool {
        let first = self.0.as_ref().map_or(NONE, |list| list.first);
        place.is_some_and(|place| place.0 == first)
    }

    /// Removes a sender. Room that was promised to it is free; call [`promise`](Self::promise) for the next one.
    pub fn leave(&mut self, Place(at): Place) {
        let Some(list) = &mut self.0 else { return };
        let Node { state, len, .. } = *list.node(at);
        match state {
            State::Waiting => list.unlink(at),
            State::Promised => list.promised.remove(len, 0),
            State::Free | State::Ended => {}
        }
        list.release(at);
        list.request_owner_wake();
        self.free_if_unused();
    }

    /// Promises room to waiting senders, in order, while `fits` returns true. `fits` gets the message's length and the
    /// room that is promised to others. Returns whether room was promised.
    pub fn promise(&mut self, mut fits: impl FnMut(usize, &Backlog) -> bool) -> bool {
        let Some(list) = &mut self.0 else { return false };
        let mut any = false;
        while list.first != NONE && fits(list.node(list.first).len, &list.promised) {
            let at = list.first;
            list.promised.add(list.node(at).len, 0);
            list.remove_and_wake(at, State::Promised);
            any = true;
        }
        if any {
            list.owner_passed = false;
            list.request_owner_wake();
        }
        any
    }

    /// Wakes all waiting senders, because the connection accepts no more messages.
    pub fn end(&mut self) {
        let Some(list) = &mut self.0 else { return };
        while list.first != NONE {
            list.remove_and_wake(list.first, State::Ended);
        }
        list.request_owner_wake();
    }

    /// Wakes the first of the waiting senders, without a promise.
    pub fn wake_first(&mut self) {
        let Some(list) = self.0.as_mut().filter(|list| list.first != NONE) else { return };
        let first = list.first;
        wake_tasks(list.node_mut(first).waker.take());
    }

    /// Returns whether the connection's owner, which has no place in the list, may send before the waiting senders. It
    /// may once; then one of them must be served first.
    pub fn owner_may_pass(&mut self) -> bool {
        match self.0.as_mut().filter(|list| list.first != NONE) {
            Some(list) => !mem::replace(&mut list.owner_passed, true),
            None => true,
        }
    }

    /// Makes the owner wait until promised room is free or a sender was served. Wake it once
    /// [`take_owner_wake`](Self::take_owner_wake) returns true.
    pub fn wait_as_owner(&mut self) {
        if let Some(list) = &mut self.0 {
            list.owner_waits = true;
        }
    }

    /// Returns whether the owner must be woken. Call it after each change.
    #[inline]
    pub fn take_owner_wake(&mut self) -> bool {
        let is_due = self.0.as_mut().is_some_and(|list| mem::take(&mut list.owner_wake_due));
        if is_due {
            self.free_if_unused();
        }
        is_due
    }

    fn free_if_unused(&mut self) {
        self.0.take_if(|list| list.taken == 0 && !list.owner_waits && !list.owner_wake_due);
    }
}

impl List {
    const fn new() -> Self {
        Self {
            places: Vec::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            taken: 0,
            promised: Backlog::new(),
            owner_waits: false,
            owner_wake_due: false,
            owner_passed: false,
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.places[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.places[at as usize]
    }

    fn join(&mut self, first: bool, len: usize) -> u32 {
        let (previous, next) = if first { (NONE, self.first) } else { (self.last, NONE) };
        let node = Node { waker: None, len, previous, next, state: State::Waiting, mark: None };
        let at = self.insert(node);
        self.set_next(previous, at);
        self.set_previous(next, at);
        at
    }

    fn insert(&mut self, node: Node) -> u32 {
        self.taken += 1;
        if self.free == NONE {
            self.places.push(node);
            return (self.places.len() - 1) as u32;
        }
        let at = self.free;
        self.free = self.node(at).next;
        *self.node_mut(at) = node;
        at
    }

    fn release(&mut self, at: u32) {
        let next = self.free;
        let free = Node { waker: None, len: 0, previous: NONE, next, state: State::Free, mark: None };
        let Node { waker, .. } = mem::replace(self.node_mut(at), free);
        drop_waker(waker);
        self.free = at;
        self.taken -= 1;
    }

    fn unlink(&mut self, at: u32) {
        let Node { previous, next, .. } = *self.node(at);
        self.set_next(previous, next);
        self.set_previous(next, previous);
    }

    fn set_next(&mut self, at: u32, next: u32) {
        match at {
            NONE => self.first = next,
            at => self.node_mut(at).next = next,
        }
    }

    fn set_previous(&mut self, at: u32, previous: u32) {
        match at {
            NONE => self.last = previous,
            at => self.node_mut(at).previous = previous,
        }
    }

    /// Removes a sender from the queue, with this state, and wakes it.
    fn remove_and_wake(&mut self, at: u32, state: State) {
        self.unlink(at);
        let node = self.node_mut(at);
        node.state = state;
        wake_tasks(node.waker.take());
    }

    fn request_owner_wake(&mut self) {
        self.owner_wake_due |= mem::take(&mut self.owner_waits);
    }
}

#[cfg(test)]
mod tests;
