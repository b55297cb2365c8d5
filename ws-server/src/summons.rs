//! How the connections of a shard are called to a turn: by the waker of each one's task, or, where one task runs them
//! all, by a note to that one.

use std::{sync::Arc, task::Waker};

use crate::notices::Notices;

pub(crate) enum Summons {
    /// A waker per seat.
    Tasks(Vec<Option<Waker>>),
    Reactor(Arc<Notices>),
}

impl Summons {
    pub(crate) fn tasks(initial: usize) -> Self {
        Self::Tasks(Vec::with_capacity(initial))
    }

    /// There is one more seat.
    pub(crate) fn add(&mut self) {
        match self {
            Self::Tasks(wakers) => {
                if wakers.len() == wakers.capacity() {
                    // Slowly: a doubled table of many connections is mostly air.
                    wakers.reserve_exact(64 + wakers.len() / 8);
                }
                wakers.push(None);
            }
            Self::Reactor(_) => {}
        }
    }

    /// Remembers who sits on a seat.
    pub(crate) fn set(&mut self, seat: u32, waker: Option<&Waker>) {
        match self {
            Self::Tasks(wakers) => wakers[seat as usize] = waker.cloned(),
            Self::Reactor(_) => {}
        }
    }

    /// What wakes the connection on `seat`, whose turn got `current`, from anywhere and at any time.
    pub(crate) fn waker(&self, seat: u32, current: &Waker) -> Waker {
        match self {
            Self::Tasks(_) => current.clone(),
            Self::Reactor(notices) => notices.waker(seat),
        }
    }

    /// Nobody yet.
    pub(crate) fn calls(&self) -> Calls {
        match self {
            Self::Tasks(_) => Calls::Tasks(Vec::new()),
            Self::Reactor(notices) => Calls::Reactor(Arc::clone(notices), Vec::new()),
        }
    }

    /// Everybody.
    pub(crate) fn everybody(&self) -> Calls {
        match self {
            Self::Tasks(wakers) => Calls::Tasks(wakers.iter().flatten().cloned().collect()),
            Self::Reactor(notices) => Calls::Everybody(Arc::clone(notices)),
        }
    }
}

/// Who is called; made once no lock is held any more.
#[must_use]
pub(crate) enum Calls {
    Tasks(Vec<Waker>),
    Reactor(Arc<Notices>, Vec<u32>),
    Everybody(Arc<Notices>),
}

impl Calls {
    pub(crate) fn add(&mut self, seat: u32, summons: &Summons) {
        match (self, summons) {
            (Self::Tasks(calls), Summons::Tasks(wakers)) => {
                calls.extend(wakers.get(seat as usize).cloned().flatten());
            }
            (Self::Reactor(_, seats), _) => seats.push(seat),
            // Calls are made for one summons.
            _ => {}
        }
    }

    pub(crate) fn make(self) {
        match self {
            Self::Tasks(wakers) => wakers.into_iter().for_each(Waker::wake),
            Self::Reactor(notices, seats) => notices.notify(&seats),
            Self::Everybody(notices) => notices.notify_everybody(),
        }
    }
}
