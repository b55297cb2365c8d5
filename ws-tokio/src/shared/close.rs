//! Ends the connection, and waits until nothing more can be sent.

use std::{
    sync::Mutex,
    task::{Context, Poll},
};

use ws_proto::{CloseCode, Event};

use super::{guard::lock, state::SharedState};
use crate::{
    foreign::poll_with_clone,
    thread_buffers::ThreadReceiveBuffer,
    wait_list::{Place, Standing},
};

impl<S> SharedState<S> {
    /// Begins the closing handshake. Messages that are held or still arrive are dropped. Without a code, the Close
    /// frame is empty.
    pub(crate) fn queue_close(&mut self, code: Option<CloseCode>, reason: &str) {
        self.refresh_now();
        self.fill_before_close();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            match code {
                Some(code) => connection.close(code, reason, self.now, tx),
                None => connection.close_without_code(self.now, tx),
            }
            self.wake_idle_server_task();
        }
    }

    /// Begins the closing handshake. Messages are delivered until the peer's Close. Without a code, the Close frame is
    /// empty.
    pub(crate) fn queue_close_and_receive(&mut self, code: Option<CloseCode>, reason: &str) {
        self.refresh_now();
        self.fill_before_close();
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            match code {
                Some(code) => connection.close_and_receive(code, reason, self.now, tx),
                None => connection.close_without_code_and_receive(self.now, tx),
            }
            self.wake_idle_server_task();
        }
    }

    /// A task no longer waits until nothing more can be sent.
    pub(crate) fn leave_closed_waiters(&mut self, place: Place) {
        self.rare().closed_waiters.leave(place);
    }

    /// Ends the connection at once, without a Close frame. The transport is dropped after the lock is released.
    pub(crate) fn abort(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let (connection, tx) = driver.parts_mut();
        connection.abort(tx);
        connection.resume();
        match driver.poll_event(&mut ThreadReceiveBuffer::take()) {
            Some(Event::Closed(info)) => self.on_closed(info),
            // The owner takes what comes before the end.
            _ => self.waiting.wake_all(),
        }
    }
}

/// Waits until nothing more can be sent. `place` is `None` at first; it is set while the task waits.
pub(crate) fn poll_closed<S>(
    shared: &Mutex<SharedState<S>>,
    cx: &Context<'_>,
    place: &mut Option<Place>,
) -> Poll<()> {
    poll_with_clone(cx, |clone| {
        let mut state = lock(shared);
        if !state.is_open() {
            if let Some(place) = place.take() {
                state.leave_closed_waiters(place);
            }
            return Some(Poll::Ready(()));
        }
        let waiters = &mut state.rare().closed_waiters;
        waiters.wait(place, Standing::Newcomer, 0, cx.waker(), clone).then_some(Poll::Pending)
    })
}
