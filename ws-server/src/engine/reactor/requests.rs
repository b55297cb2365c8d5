//! Sockets whose requests are expected.
//!
//! A request usually arrives some microseconds after its connection was accepted. Its socket waits for it on the
//! reactor's epoll descriptor, where it stays once it is a connection: it is registered once, and needs no task. A
//! request that does not come soon, or not in one piece, is a matter of tasks.

use std::{
    collections::{HashMap, VecDeque},
    net::TcpStream,
    pin::Pin,
    rc::Rc,
    task::Context,
    time::Duration,
};

use rustix::event::{epoll, epoll::EventFlags};
use tokio::time::{Sleep, sleep};
use ws_tokio::internal::guarded;

use crate::{
    engine::Requests,
    handshake::{Handshake, Step, try_immediately},
    measure::log_limited,
    net::epoll_socket::Socket,
    shard::{registration::ReservedId, server_state::ShutdownPhase},
};

use super::{BuildConn, NewConn, ReactorState, schedule::Schedule};

/// A socket waits for its request for once or twice this long, and then in a task.
const PATIENCE: Duration = Duration::from_millis(20);
/// Most handshakes per poll. Connections get their turns in between.
const HANDSHAKES_PER_POLL: usize = 64;
/// Room for sockets that is kept when none waits.
const KEPT_SOCKETS: usize = 128;

/// What does with a handshake what needs more than one read.
pub(super) type Continue<A> = Rc<dyn Requests<A>>;

/// The sockets that wait, by the ids that their connections will have.
pub(super) struct Expected<A: BuildConn> {
    sockets: HashMap<u32, Waiting<A>>,
    /// The ids of sockets with something to read.
    arrived: VecDeque<u32>,
    /// Ends when sockets that wait are to be looked at.
    look: Option<Pin<Box<Sleep>>>,
}

struct Waiting<A: BuildConn> {
    stream: TcpStream,
    handshake: Handshake,
    id: ReservedId,
    requests: Continue<A>,
    /// What the kernel has reported so far.
    events: EventFlags,
    /// Whether it waited already when the sockets were last looked at.
    is_late: bool,
}

impl<A: BuildConn> Default for Expected<A> {
    fn default() -> Self {
        Self { sockets: HashMap::new(), arrived: VecDeque::new(), look: None }
    }
}

impl<A: BuildConn> Expected<A> {
    /// Notes an event of a socket that may be here.
    fn note(&mut self, id: u32, events: EventFlags) {
        const TO_READ: EventFlags =
            EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::HUP).union(EventFlags::ERR);
        let Some(waiting) = self.sockets.get_mut(&id) else { return };
        if !waiting.events.intersects(TO_READ) && events.intersects(TO_READ) {
            self.arrived.push_back(id);
        }
        waiting.events |= events;
    }

    /// The next socket with something to read.
    fn next_arrived(&mut self) -> Option<Waiting<A>> {
        loop {
            let id = self.arrived.pop_front()?;
            if let Some(waiting) = self.sockets.remove(&id) {
                return Some(waiting);
            }
        }
    }

    /// The sockets that have waited too long. With `all`, every socket has.
    fn take_late(&mut self, cx: &mut Context<'_>, all: bool) -> Vec<Waiting<A>> {
        let mut late = Vec::new();
        while !self.sockets.is_empty() {
            if all {
                self.arrived.clear();
                late.extend(self.sockets.drain().map(|(_, waiting)| waiting));
                break;
            }
            let look = self.look.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
            if look.as_mut().poll(cx).is_pending() {
                return late;
            }
            self.look = None;
            let is_late = |waiting: &mut Waiting<A>| std::mem::replace(&mut waiting.is_late, true);
            late.extend(self.sockets.extract_if(|_, waiting| is_late(waiting)).map(|(_, waiting)| waiting));
        }
        if self.sockets.capacity() > 2 * KEPT_SOCKETS {
            self.sockets.shrink_to(KEPT_SOCKETS);
            self.arrived.shrink_to(KEPT_SOCKETS);
        }
        late
    }
}

impl<A: BuildConn> ReactorState<A> {
    /// Waits for the request of an accepted socket.
    pub(super) fn expect_request(&self, requests: Continue<A>, stream: TcpStream, handshake: Handshake) {
        if self.has_ended.get() {
            return;
        }
        let id = ReservedId::new(handshake.load.shard());
        if let Err(error) = self.watch(&stream, id.id()) {
            return tracing::warn!(%error, "registering a socket with epoll failed");
        }
        let (number, events) = (id.id(), EventFlags::empty());
        let waiting = Waiting { stream, handshake, id, requests, events, is_late: false };
        let mut expected = self.expected.borrow_mut();
        let before = expected.sockets.insert(number, waiting);
        if expected.look.is_none() {
            // The reactor looks at the time that the socket waits.
            self.wake_queue.wake();
        }
        drop(expected);
        drop(before);
    }

    /// Notes an event of a socket that is no connection yet.
    pub(super) fn note_request(&self, id: u32, events: EventFlags) {
        self.expected.borrow_mut().note(id, events);
    }

    /// Does the handshakes whose requests have arrived, as many as one poll may, and leaves those to tasks that have
    /// waited for long. The new connections are inserted before the kernel is asked for events again, so that no event
    /// of theirs is lost.
    pub(super) fn run_handshakes(&self, cx: &mut Context<'_>, schedule: &mut Schedule) {
        for _ in 0..HANDSHAKES_PER_POLL {
            let Some(waiting) = self.expected.borrow_mut().next_arrived() else { break };
            // Destructors of the application's values may panic.
            self.guard_handshake(|| self.run_handshake(waiting, schedule));
        }
        if !schedule.opened.is_empty() {
            self.insert_new_conns();
            schedule.run_opened(&mut self.connections.borrow_mut());
        }
        let is_shutting_down = self.server.phase() > ShutdownPhase::Running;
        let late = self.expected.borrow_mut().take_late(cx, is_shutting_down);
        for Waiting { stream, handshake, requests, .. } in late {
            self.guard_handshake(|| self.go_on(&requests, stream, Step::Wait(handshake)));
        }
    }

    /// Whether more requests have arrived than one poll handles.
    pub(super) fn has_requests(&self) -> bool {
        !self.expected.borrow().arrived.is_empty()
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
            Step::Established(established, has_more) => {
                events.set(EventFlags::IN, has_more);
                let mut socket = Socket::new(stream);
                socket.note(events);
                self.new_conns.borrow_mut().push(NewConn { app: Rc::clone(app), socket, established });
                schedule.opened.push(number);
            }
            Step::Gone => {}
            step => self.go_on(&requests, stream, step),
        }
    }

    /// Leaves a handshake to tasks.
    fn go_on(&self, requests: &Continue<A>, stream: TcpStream, step: Step<A::Accepted>) {
        // The socket's id is free now, so its events must end before.
        match epoll::delete(&self.epoll, &stream) {
            Ok(()) => requests.go_on(stream, step),
            Err(error) => tracing::warn!(%error, "deregistering a socket from epoll failed"),
        }
    }

    fn guard_handshake(&self, step: impl FnOnce()) {
        if guarded(step).is_err() {
            // A `tracing` subscriber may panic too.
            let limits = &self.server.log_limits;
            let _ = guarded(|| log_limited!(limits, Panic, error, "a handshake panicked"));
        }
    }
}
