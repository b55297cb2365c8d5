//! How the connections of a shard are called to a turn: by the waker of a connection's own task, or, where one task
//! runs many, by a note to that one.

use std::{sync::Arc, task::Waker};

use crate::notices::Notices;

/// Who is called how.
pub(crate) struct Summons {
    /// By seat; only connections with a task of their own have one.
    wakers: Vec<Option<Waker>>,
    /// For all others.
    notices: Option<Arc<Notices>>,
}

impl Summons {
    /// By wakers only, with room for `initial` of them.
    pub(crate) fn tasks(initial: usize) -> Self {
        Self { wakers: Vec::with_capacity(initial), notices: None }
    }

    /// By notes to the shard's reactor, but for those with a task of their own.
    #[cfg(target_os = "linux")]
    pub(crate) const fn reactor(notices: Arc<Notices>) -> Self {
        Self { wakers: Vec::new(), notices: Some(notices) }
    }

    /// The connection on `seat` has a task of its own.
    pub(crate) fn set(&mut self, seat: u32, waker: &Waker) {
        let seat = seat as usize;
        if seat >= self.wakers.len() {
            let more = seat + 1 - self.wakers.len();
            if seat >= self.wakers.capacity() {
                // Slowly: a doubled table of many connections is mostly air.
                self.wakers.reserve_exact(more + 64 + self.wakers.len() / 8);
            }
            self.wakers.resize(seat + 1, None);
        }
        self.wakers[seat] = Some(waker.clone());
    }

    /// Nobody sits on `seat` any more.
    pub(crate) fn clear(&mut self, seat: u32) {
        if let Some(waker) = self.wakers.get_mut(seat as usize) {
            *waker = None;
        }
    }

    /// What calls the connection on `seat`, whose turn got `current`, from anywhere and at any time.
    pub(crate) fn caller(&self, seat: u32, current: &Waker) -> Caller {
        match (self.waker_of(seat), &self.notices) {
            (None, Some(notices)) => Caller::Seat(Arc::clone(notices), seat),
            _ => Caller::Task(current.clone()),
        }
    }

    /// Those of `seats` who are there.
    pub(crate) fn calls(&self, seats: &[u32]) -> Calls {
        let mut calls = Calls { notices: self.notices.clone(), ..Calls::default() };
        for seat in seats {
            match self.waker_of(*seat) {
                Some(waker) => calls.wakers.push(waker.clone()),
                None => calls.seats.push(*seat),
            }
        }
        calls
    }

    /// Everybody.
    pub(crate) fn everybody(&self) -> Calls {
        Calls {
            wakers: self.wakers.iter().flatten().cloned().collect(),
            notices: self.notices.clone(),
            seats: Vec::new(),
            everybody: true,
        }
    }

    fn waker_of(&self, seat: u32) -> Option<&Waker> {
        self.wakers.get(seat as usize)?.as_ref()
    }
}

/// Calls one connection. It may outlive the connection; whoever has the seat then gets a turn for nothing.
pub(crate) enum Caller {
    Task(Waker),
    Seat(Arc<Notices>, u32),
}

impl Caller {
    pub(crate) fn call(&self) {
        match self {
            Self::Task(waker) => waker.wake_by_ref(),
            Self::Seat(notices, seat) => notices.notify(&[*seat]),
        }
    }
}

/// Who is called; made once no lock is held any more.
#[derive(Default)]
#[must_use]
pub(crate) struct Calls {
    wakers: Vec<Waker>,
    notices: Option<Arc<Notices>>,
    seats: Vec<u32>,
    everybody: bool,
}

impl Calls {
    pub(crate) fn make(self) {
        self.wakers.into_iter().for_each(Waker::wake);
        let Some(notices) = self.notices else { return };
        if self.everybody {
            notices.notify_everybody();
        } else {
            notices.notify(&self.seats);
        }
    }
}
