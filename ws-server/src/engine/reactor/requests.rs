//! Sockets whose requests are expected.
//!
//! A request usually arrives some microseconds after its connection was accepted. Its socket waits for it on the
//! reactor's epoll descriptor, where it stays once it is a connection: it is registered once, and needs no task. If the
//! request does not come soon, or not in one piece, a task does the handshake.

use std::{
    collections::{HashMap, VecDeque},
    net::TcpStream,
    pin::Pin,
    rc::Rc,
    task::Context,
    time::Duration,
};

use rustix::event::{epoll, epoll::EventFlags};
use tokio::time::{Instant, Sleep, sleep};
use ws_tokio::internal::guarded;

use crate::{
    engine::Requests,
    handshake::{Handshake, Step, Unfinished, guard_handshake, try_immediately},
    net::epoll_socket::Socket,
    shard::{registration::ReservedId, server_state::ShutdownPhase},
};

use super::{BuildConn, NewConn, ReactorState, schedule::Schedule};

/// A socket waits for its request for once or twice this long at most, and then in a task.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);
/// The resolution of tokio's timers.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(1);
/// Most handshakes per poll. Connections get their turns in between.
const HANDSHAKES_PER_POLL: usize = 64;
/// A poll begins no more handshakes after this time. The application's hooks may take long.
const TIME_PER_POLL: Duration = Duration::from_millis(1);

/// The sockets that wait, by the ids that their connections will have.
pub(super) struct Expected<A: BuildConn> {
    sockets: HashMap<u32, Waiting<A>>,
    /// The ids of sockets that have something to read, or have waited too long.
    due: VecDeque<u32>,
    /// Ends when late sockets are looked for. `None` if no socket waits.
    look: Option<Pin<Box<Sleep>>>,
}

pub(super) struct Waiting<A: BuildConn> {
    stream: TcpStream,
    handshake: Handshake,
    id: ReservedId,
    requests: Rc<dyn Requests<A>>,
    /// What the kernel has reported so far.
    pub(super) events: EventFlags,
    /// Whether it waited already when the sockets were last looked at.
    is_late: bool,
    is_due: bool,
}

impl<A: BuildConn> Waiting<A> {
    /// Makes it due. Returns whether it was not before.
    const fn becomes_due(&mut self) -> bool {
        !std::mem::replace(&mut self.is_due, true)
    }
}

impl<A: BuildConn> Default for Expected<A> {
    fn default() -> Self {
        Self { sockets: HashMap::new(), due: VecDeque::new(), look: None }
    }
}

impl<A: BuildConn> Expected<A> {
    /// Notes an event of a socket that may be here.
    pub(super) fn note(&mut self, id: u32, events: EventFlags) {
        const TO_READ: EventFlags =
            EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP).union(EventFlags::ERR);
        let Some(waiting) = self.sockets.get_mut(&id) else { return };
        if events.intersects(TO_READ) && waiting.becomes_due() {
            self.due.push_back(id);
        }
        waiting.events |= events;
    }

    /// Takes the next socket that is due.
    pub(super) fn next_due(&mut self) -> Option<Waiting<A>> {
        let id = self.due.pop_front()?;
        self.sockets.remove(&id)
    }

    /// Whether there is nothing to look at.
    const fn is_unused(&self) -> bool {
        self.look.is_none()
    }

    /// Makes all sockets due.
    fn queue_all(&mut self) {
        for (id, waiting) in &mut self.sockets {
            if waiting.becomes_due() {
                self.due.push_back(*id);
            }
        }
    }

    /// Looks for sockets that have waited too long, every `patience`. They are due.
    fn queue_late(&mut self, cx: &mut Context<'_>, patience: Duration) {
        loop {
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(patience)));
            if look.as_mut().poll(cx).is_pending() {
                return;
            }
            for (id, waiting) in &mut self.sockets {
                if std::mem::replace(&mut waiting.is_late, true) && waiting.becomes_due() {
                    self.due.push_back(*id);
                }
            }
            if self.sockets.is_empty() {
                // Frees their memory, too.
                *self = Self::default();
                return;
            }
            self.look = None;
        }
    }
}

impl<A: BuildConn> ReactorState<A> {
    /// Waits for the request of an accepted socket.
    pub(super) fn expect_request(
        &self,
        requests: Rc<dyn Requests<A>>,
        stream: TcpStream,
        handshake: Handshake,
    ) {
        if self.has_ended.get() {
            return;
        }
        let id = ReservedId::new(handshake.load.shard());
        if let Err(error) = self.watch(&stream, id.id()) {
            return self.server.note_lost_socket(&error);
        }
        let (number, events) = (id.id(), EventFlags::empty());
        let waiting = Waiting { stream, handshake, id, requests, events, is_late: false, is_due: false };
        let mut expected = self.expected.borrow_mut();
        let before = expected.sockets.insert(number, waiting);
        if expected.is_unused() {
            expected.look = Some(Box::pin(sleep(self.patience())));
            // The reactor begins to look at the time.
            self.wake_queue.wake();
        }
        drop(expected);
        drop(before);
    }

    /// [`PATIENCE`], or less if a handshake may take no more than twice as long.
    fn patience(&self) -> Duration {
        (self.server.options.handshake_timeout / 2).clamp(SHORTEST_PATIENCE, PATIENCE)
    }

    /// Notes an event of a socket that is not a connection yet.
    pub(super) fn note_request(&self, id: u32, events: EventFlags) {
        self.expected.borrow_mut().note(id, events);
    }

    /// Does the handshakes whose requests have arrived, and leaves to tasks those that have waited too long, as many as
    /// one poll may. The new connections are inserted before the kernel is asked for events again, so that no event
    /// of theirs is lost. Returns whether more sockets are due.
    pub(super) fn run_handshakes(&self, cx: &mut Context<'_>, schedule: &mut Schedule) -> bool {
        if self.expected.borrow().is_unused() {
            return false;
        }
        if self.server.phase() > ShutdownPhase::Running {
            self.expected.borrow_mut().queue_all();
        }
        self.expected.borrow_mut().queue_late(cx, self.patience());
        if self.expected.borrow().due.is_empty() {
            return false;
        }
        let began = Instant::now();
        for _ in 0..HANDSHAKES_PER_POLL {
            let Some(waiting) = self.expected.borrow_mut().next_due() else { break };
            guard_handshake(&self.server, || self.run_handshake(waiting, schedule));
            if began.elapsed() >= TIME_PER_POLL {
                break;
            }
        }
        if !schedule.opened.is_empty() {
            self.insert_new_conns();
            schedule.run_opened(&mut self.connections.borrow_mut());
        }
        !self.expected.borrow().due.is_empty()
    }

    /// Drops the sockets that wait.
    pub(super) fn drop_expected(&self) {
        for (_, waiting) in self.expected.take().sockets {
            let _ = guarded(|| drop(waiting));
        }
    }

    fn run_handshake(&self, waiting: Waiting<A>, schedule: &mut Schedule) {
        let Waiting { stream, handshake, id, requests, mut events, .. } = waiting;
        let (app, number) = (requests.app(), id.id());
        match try_immediately(&**app, &self.server, &stream, handshake, Some(id)) {
            Step::Established { established, has_more } => {
                events.set(EventFlags::IN, has_more);
                let mut socket = Socket::new(stream);
                socket.note(events);
                self.new_conns.borrow_mut().push(NewConn { app: Rc::clone(app), socket, established });
                schedule.opened.push(number);
            }
            Step::Gone => {}
            Step::Unfinished(handshake) => self.leave_to_task(&requests, stream, handshake),
        }
    }

    /// Leaves a handshake to a task.
    fn leave_to_task(
        &self,
        requests: &Rc<dyn Requests<A>>,
        stream: TcpStream,
        handshake: Unfinished<A::Accepted>,
    ) {
        // The socket's id is free now, so its events must end before.
        match epoll::delete(&self.epoll, &stream) {
            Ok(()) => requests.finish_in_task(stream, handshake),
            Err(error) => self.server.note_lost_socket(&error.into()),
        }
    }
}
