//! The connection, its transport, and the tasks that wait for it, behind one lock. The lock is contended only if
//! several tasks use the connection at the same time.

use std::{
    sync::{Arc, Mutex},
    task::Context,
    time::Instant,
};

use ws_proto::{
    CloseCode, CloseInfo, Connection, ConnectionState, SendQueue, TransmitQueue, TransportAction,
    error::{ConnectionError, ControlError},
    recorder::Recording,
    stats::ConnectionStats,
};

use super::{
    input::Input,
    mode::{Mode, ServerTask},
    rare::Rare,
    turn,
    waiting::Waiting,
};
use crate::{driver::Driver, time::now, traffic::TrafficCounters};

pub(crate) type Shared<S> = Arc<Mutex<SharedState<S>>>;

pub(crate) struct SharedState<S> {
    /// `None` after `into_parts` or once the connection is over.
    pub(crate) driver: Option<Driver<S>>,
    pub(crate) mode: Mode<S>,
    pub(crate) now: Instant,
    /// `None` for most connections before their end.
    pub(super) rare: Option<Box<Rare<S>>>,
    /// The tasks that wait for the transport or for the end.
    pub(crate) waiting: Waiting,
    /// Where the server counts what its connections receive and send.
    pub(super) counters: Option<Arc<TrafficCounters>>,
    /// Whether the tasks that wait for room were woken because nothing more can be sent.
    pub(crate) send_end_notified: bool,
    /// The `WebSocket` was dropped, so messages are discarded.
    pub(crate) owner_dropped: bool,
    /// The latest poll stopped because the waker of its task is not registered.
    pub(crate) waker_missing: bool,
    /// The waker of the task that polls has just been registered.
    pub(crate) waker_added: bool,
    /// `recv` was polled since the last send, so the send need not read.
    pub(crate) has_received: bool,
    /// What is known of the bytes that have arrived.
    pub(crate) input: Input,
    /// A message was refused since nothing waited. A server looks at it.
    pub(super) has_refused: bool,
    /// Whether the tasks that wait for the end were woken because only held messages are left.
    finish_notified: bool,
    /// Reads the state of the transport's send queue.
    pub(crate) read_send_queue: fn(&S) -> Option<SendQueue>,
}

impl<S> SharedState<S> {
    pub(crate) fn inline(io: S, connection: Connection) -> Self {
        let mode = Mode::Inline { timer: None, accepted: 0 };
        Self::new(Driver::new(io, connection), mode, Waiting::inline())
    }

    pub(crate) fn for_server_task(driver: Driver<S>) -> Self {
        Self::new(driver, Mode::ServerTask(ServerTask::default()), Waiting::for_server_task())
    }

    fn new(mut driver: Driver<S>, mode: Mode<S>, waiting: Waiting) -> Self {
        // Messages are held, up to `max_held_bytes`, until `recv` takes them.
        driver.connection_mut().pause();
        Self {
            driver: Some(driver),
            mode,
            now: now(),
            rare: None,
            waiting,
            counters: None,
            send_end_notified: false,
            owner_dropped: false,
            waker_missing: false,
            waker_added: false,
            has_received: false,
            input: Input::Unknown,
            has_refused: false,
            finish_notified: false,
            read_send_queue: |_| None,
        }
    }

    /// Sets how to read the state of the transport's send queue.
    pub(crate) const fn watch_send_queue(&mut self, read_send_queue: fn(&S) -> Option<SendQueue>) {
        self.read_send_queue = read_send_queue;
        if let Some(driver) = &mut self.driver {
            driver.connection_mut().watch_send_queue();
        }
    }

    pub(crate) fn shared(self) -> Shared<S> {
        Arc::new(Mutex::new(self))
    }

    pub(crate) fn close_info(&self) -> Option<&CloseInfo> {
        self.rare.as_ref()?.close_info.as_ref()
    }

    /// How the connection is ending or has ended.
    pub(super) fn end_so_far(&self) -> Option<&CloseInfo> {
        match &self.driver {
            Some(driver) => driver.connection().close_info(),
            None => self.close_info(),
        }
    }

    pub(crate) fn stats(&self) -> Option<ConnectionStats> {
        match &self.driver {
            Some(driver) => driver.stats(),
            None => self.close_info()?.stats().copied(),
        }
    }

    pub(crate) fn recording(&self) -> Option<Recording> {
        match &self.driver {
            Some(driver) => driver.recording(),
            None => self.close_info()?.recording().cloned(),
        }
    }

    pub(super) fn rare(&mut self) -> &mut Rare<S> {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.driver.as_ref().map_or(ConnectionState::Closed, |driver| driver.connection().state())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state() == ConnectionState::Open
    }

    pub(crate) const fn driver(&self) -> Option<&Driver<S>> {
        self.driver.as_ref()
    }

    pub(crate) const fn driver_mut(&mut self) -> Option<&mut Driver<S>> {
        self.driver.as_mut()
    }

    /// Counts from now on what the connection receives and sends.
    pub(crate) fn count_in(&mut self, counters: Arc<TrafficCounters>) {
        self.counters = Some(counters);
    }

    /// Ends a step of the connection: counts what it moved, and returns an empty write queue to the thread. A turn of
    /// a server's task does both once, at its end.
    #[inline]
    pub(super) fn end_step(&mut self) {
        if !self.is_in_turn() {
            self.return_queue();
        }
    }

    /// Counts what the latest steps moved, and returns an empty write queue to the thread.
    pub(super) fn return_queue(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.end_turn(self.counters.as_deref());
        }
    }

    /// Takes the connection, for the application, and where it is counted. All waiting tasks are woken.
    pub(crate) fn take_driver(&mut self) -> Option<(Driver<S>, Option<Arc<TrafficCounters>>)> {
        self.waiting.wake_all();
        self.end_senders();
        self.end_pings();
        let driver = self.driver.take()?;
        Some((self.release_transport(driver), self.counters.clone()))
    }

    /// Ends the transport. It and what waits to be written are dropped after the lock is released.
    pub(crate) fn end(&mut self) {
        self.waiting.wake_all();
        self.end_senders();
        self.end_pings();
        if let Some(mut driver) = self.driver.take() {
            driver.abort(self.counters.as_deref());
            self.rare().ended_driver = Some(Box::new(driver));
        }
    }

    /// Wakes the senders that wait: nothing more can be sent.
    pub(super) fn end_senders(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.senders.end();
        }
    }

    /// Returns whether the task's waker is registered. If not, [`lock_and_poll`] adds it and polls again. Call this
    /// before polling the transport.
    #[inline]
    pub(crate) fn has_waker_of(&mut self, cx: &Context<'_>) -> bool {
        // `Waker::will_wake` may return false for a clone, so the list is not searched for one that was just added.
        let has_it = self.waker_added || self.waiting.note_poll(cx.waker()) || self.register_server_task(cx);
        self.waker_missing = !has_it;
        has_it
    }

    /// Registers the server's task, if this is its turn. Its waker may be cloned under a lock.
    #[cold]
    fn register_server_task(&mut self, cx: &Context<'_>) -> bool {
        let is_its_turn = turn::is_entered(self, cx.waker());
        if is_its_turn {
            self.waiting.register(cx.waker());
        }
        is_its_turn
    }

    /// Polls after the waker of the task was registered. If it was removed since, the task has been woken.
    pub(crate) fn with_waker_added<T>(&mut self, poll: impl FnOnce(&mut Self) -> T) -> T {
        self.waker_added = true;
        let polled = poll(self);
        self.waker_added = false;
        polled
    }

    pub(crate) fn queue_ping(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.queue_control(payload, Connection::ping)
    }

    pub(crate) fn queue_pong(&mut self, payload: &[u8]) -> Result<(), ControlError> {
        self.queue_control(payload, Connection::pong)
    }

    fn queue_control(
        &mut self,
        payload: &[u8],
        send: fn(&mut Connection, &[u8], &mut TransmitQueue) -> Result<(), ControlError>,
    ) -> Result<(), ControlError> {
        let Some(driver) = &mut self.driver else { return Err(ControlError::Closed) };
        let (connection, tx) = driver.parts_mut();
        send(connection, payload, tx)?;
        self.wake_idle_server_task();
        Ok(())
    }

    pub(crate) fn fail(&mut self, error: ConnectionError) {
        if let Some(driver) = &mut self.driver {
            let (connection, tx) = driver.parts_mut();
            connection.fail(error, self.now, tx);
        }
    }

    /// The application has dropped its `WebSocket`. The server's task completes the closing handshake.
    pub(crate) fn on_owner_dropped(&mut self) {
        self.owner_dropped = true;
        if std::thread::panicking() {
            // The application has panicked.
            self.fail(ConnectionError::Internal);
        } else {
            self.queue_close(Some(CloseCode::NORMAL), "");
        }
        self.wake_idle_server_task();
    }

    /// Wakes a server's task that waits, so that it writes what was queued outside its turn and checks the deadlines.
    #[inline]
    pub(crate) fn wake_idle_server_task(&mut self) {
        if self.has_idle_server_task() {
            self.waiting.wake_all();
        }
    }

    /// Handles the deadlines that have passed at `at`.
    pub(crate) fn handle_timeout(&mut self, at: Instant) {
        self.advance_to(at);
        if let Some(driver) =
            self.driver.as_mut().filter(|driver| driver.poll_timeout().is_some_and(|due| due <= at))
        {
            driver.handle_timeout(at, self.read_send_queue);
        }
    }

    /// Stores how the connection ended and ends the transport.
    pub(crate) fn on_closed(&mut self, info: CloseInfo) {
        self.rare().close_info = Some(info);
        // Dropping the transport closes it.
        self.end();
    }

    /// Wakes the tasks that wait for the end, once, when only messages that the application has not taken are left.
    pub(crate) fn notify_finished(&mut self) {
        let is_finished =
            self.driver.as_ref().is_some_and(|driver| driver.transport_action() == TransportAction::Close);
        if is_finished && !self.finish_notified {
            self.finish_notified = true;
            self.waiting.wake_all();
        }
    }

    /// The time does not go back: a server's clock is coarse and may lag behind the time that another task read.
    pub(super) fn advance_to(&mut self, at: Instant) {
        advance(&mut self.now, at);
    }
}

/// Moves a time forward to `at`, never back. Returns the new time.
#[inline]
pub(super) fn advance(time: &mut Instant, at: Instant) -> Instant {
    *time = at.max(*time);
    *time
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_connection_is_small() {
        // As large as tokio's `TcpStream`.
        let (state, driver) = (size_of::<SharedState<[u64; 4]>>(), size_of::<Driver<[u64; 4]>>());
        println!("a connection's state: {state} bytes, {driver} of them for its driver");
        assert!(state <= 256, "{state}");
    }
}
