//! One task for all plain TCP connections of a shard, on an epoll descriptor of its own: those that handlers serve, and
//! those with an async function each.
//!
//! tokio keeps 256 bytes for each socket and at least as many for each task, and a wake-up goes through both. Here a
//! socket is its descriptor and two flags, a connection is an entry in a table, and an event of the kernel leads
//! straight to a turn. tokio watches the one descriptor and runs everything else: handshakes, timers, and what the
//! application spawns.
//!
//! ```text
//!   tokio's epoll ──▶ Reactor::poll ──▶ our epoll ──▶ seat number ──▶ Pages ──▶ Resident::poll_turn
//!                          ▲
//!          Notices ────────┘  deadlines, senders, shutdown
//! ```

mod end;
mod pages;
mod resident;
mod socket;
mod turns;

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, EventData, EventFlags},
};
use tokio::{io::unix::AsyncFd, task::coop};
use ws_tokio::{WebSocket, guarded, yield_turn};

use crate::{
    app::{App, Connect, Established, HandlerApp, ServeApp},
    handler::Handler,
    handler_task::HandlerTask,
    host::Host,
    hub::Hub,
    notices::Notices,
    request::Request,
    stream::ServerStream,
    summons::Summons,
    tasks::Tasks,
    watch::watch,
};

use end::Ending;
use pages::Pages;
use resident::Resident;
use turns::Turns;

pub(crate) use resident::Served;
pub(crate) use socket::Socket;

/// Events taken from the kernel at a time; then tokio's other tasks have their turn.
const EVENTS: usize = 256;
/// Connections that have a turn per poll of those who were called, and of those who asked for another turn. So what a
/// broadcast costs others does not grow with the number of its receivers.
const CALLS: usize = 64;
/// Connections looked at per poll when everybody is called.
const ROLL_CALL: u32 = 256;

/// A handle to the reactor of this thread.
pub(crate) struct Reactor<A: Settle>(Rc<Shared<A>>);

struct Shared<A: Settle> {
    epoll: AsyncFd<OwnedFd>,
    notices: Arc<Notices>,
    connections: RefCell<Pages<A::Resident>>,
    /// Connections whose handshakes are done. They are settled in the reactor's own time, when the memory of those
    /// handshakes is free again: what stays must not lie between what goes.
    arrivals: RefCell<Vec<Arrival<A>>>,
    hub: Arc<Hub>,
    /// The connections are not run any more.
    has_ended: Cell<bool>,
}

struct Arrival<A: Settle> {
    app: Rc<A>,
    established: Established<Socket, A::Accepted>,
}

/// What a reactor's thread is given.
pub(crate) struct Call {
    notices: Arc<Notices>,
    hub: Arc<Hub>,
}

impl<A: Settle> Clone for Reactor<A> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// What an application's connections are on a reactor.
pub(crate) trait Settle: App {
    type Resident: Resident;

    /// `None`: it did not come about.
    fn settle(
        &self,
        established: Established<Socket, Self::Accepted>,
        notices: &Arc<Notices>,
    ) -> Option<Self::Resident>;
}

impl<H: Handler + Unpin> Settle for HandlerApp<H> {
    type Resident = HandlerTask<H, Socket>;

    fn settle(
        &self,
        established: Established<Socket, Self::Accepted>,
        _notices: &Arc<Notices>,
    ) -> Option<Self::Resident> {
        established.into_handler_task()
    }
}

impl<F, Fut> Settle for ServeApp<F>
where
    F: Fn(WebSocket<ServerStream>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    type Resident = Served<Fut>;

    fn settle(
        &self,
        established: Established<Socket, Self::Accepted>,
        notices: &Arc<Notices>,
    ) -> Option<Self::Resident> {
        let seat = established.seat.number();
        let task = self.connect(established.map_io(ServerStream::from))?;
        Some(Served::new(task, notices, seat))
    }
}

/// Only plain TCP is watched by the reactor; other connections are tasks.
impl<A: Settle + Connect<ServerStream>> Host<A> for Reactor<A> {
    type Call = Call;

    fn prepare(hub: &Arc<Hub>) -> (Summons, Call) {
        let notices = Arc::<Notices>::default();
        let call = Call { notices: Arc::clone(&notices), hub: Arc::clone(hub) };
        (Summons::reactor(notices), call)
    }

    fn start(call: Call) -> io::Result<Self> {
        let shared = Rc::new(Shared::new(epoll::create(CreateFlags::CLOEXEC)?, call)?);
        tokio::task::spawn_local(Rc::clone(&shared).run());
        Ok(Self(shared))
    }

    fn outcome(&self) -> io::Result<()> {
        self.0.outcome()
    }

    fn launch(&self, app: &Rc<A>, established: Established<ServerStream, A::Accepted>) {
        if !established.io.is_tcp() {
            return Tasks.launch(app, established);
        }
        match established.try_map_io(ServerStream::into_std) {
            Ok(established) => self.launch_at_once(app, established),
            Err(error) => tracing::warn!(%error, "a connection's socket could not be taken over"),
        }
    }

    fn launch_at_once(&self, app: &Rc<A>, established: Established<std::net::TcpStream, A::Accepted>) {
        if self.0.has_ended.get() {
            return tracing::warn!("a connection came to a shard that has ended");
        }
        let number = established.seat.number();
        match established.try_map_io(|stream| self.0.register(stream, number)) {
            Ok(established) => {
                self.0.arrivals.borrow_mut().push(Arrival { app: Rc::clone(app), established });
                // Its first turn, even if the peer says nothing.
                self.0.notices.notify(&[number]);
            }
            Err(error) => tracing::warn!(%error, "a connection's socket could not be registered"),
        }
    }
}

impl<A: Settle> Shared<A> {
    /// `epoll` is an epoll descriptor.
    fn new(epoll: OwnedFd, Call { notices, hub }: Call) -> io::Result<Self> {
        let connections = RefCell::new(Pages::new(hub.options.initial_connections));
        let (arrivals, has_ended) = (RefCell::default(), Cell::new(false));
        Ok(Self { epoll: watch(epoll)?, notices, connections, arrivals, hub, has_ended })
    }

    fn settle_arrivals(&self) {
        let mut arrivals = self.arrivals.take();
        for Arrival { app, established } in arrivals.drain(..) {
            let number = established.seat.number();
            // Runs the application's function, and destructors.
            if let Ok(Some(connection)) = guarded(|| app.settle(established, &self.notices)) {
                let before = self.connections.borrow_mut().insert(number, connection);
                let _ = guarded(|| drop(before));
            }
        }
        arrivals.shrink_to(ROLL_CALL as usize);
        self.arrivals.replace(arrivals);
    }

    fn register(&self, stream: std::net::TcpStream, number: u32) -> io::Result<Socket> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number.into()), flags)?;
        Ok(Socket::new(stream))
    }

    /// Runs the connections. Never returns, unless tokio's part fails.
    async fn run(self: Rc<Self>) {
        let _ending = Ending(Rc::clone(&self));
        let mut turns = Turns::new();
        if let Err(error) = poll_fn(|cx| self.poll(cx, &mut turns)).await {
            tracing::error!(%error, "a shard lost its events");
        }
    }

    fn poll(&self, cx: &mut Context<'_>, turns: &mut Turns) -> Poll<io::Result<()>> {
        self.notices.take(cx.waker(), &mut turns.notes);
        self.settle_arrivals();
        self.take_turns(turns);
        self.call_roll(turns);
        let polled = self.poll_events(cx, turns);
        turns.rx = None;
        if !turns.called.is_empty() {
            // It may take many polls: what tokio watches comes in between.
            yield_turn(cx);
        } else if !turns.next.is_empty() || turns.roll.is_some() {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn poll_events(&self, cx: &mut Context<'_>, turns: &mut Turns) -> Poll<io::Result<()>> {
        loop {
            let ready = match self.epoll.poll_read_ready(cx) {
                Poll::Ready(guard) => Some(guard?),
                // Others must not wait for tokio to look while there are turns to be had.
                Poll::Pending if turns.next.is_empty() && turns.called.is_empty() => None,
                Poll::Pending => {
                    self.take_events(turns)?;
                    None
                }
            };
            let Some(mut ready) = ready else { break };
            if self.take_events(turns)? == EVENTS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready.clear_ready();
        }
        Poll::Pending
    }

    /// Asks the kernel once, and gives everybody it names a turn.
    fn take_events(&self, turns: &mut Turns) -> io::Result<usize> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = std::mem::take(&mut turns.events);
        events.clear();
        let count = again_if_interrupted(|| {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&AT_ONCE))
        })?;
        let mut connections = self.connections.borrow_mut();
        for event in &events {
            let (number, flags) = (event.data.u64() as u32, event.flags);
            let Some(task) = connections.get_mut(number) else { continue };
            let _ = guarded(|| task.note(flags));
            // Who has asked for another turn gets it in its time, and not more of them.
            if !*task.is_due() {
                turns.turn(number, &mut connections);
            }
        }
        turns.events = events;
        Ok(count)
    }

    /// Those who asked for another turn, and those who were called, by turns; [`CALLS`] of each.
    fn take_turns(&self, turns: &mut Turns) {
        if std::mem::take(&mut turns.notes.everybody) {
            turns.roll = Some(0);
        }
        turns.called.extend(turns.notes.seats.drain(..));
        let mut connections = self.connections.borrow_mut();
        // Who asks in this poll has its turn in the next one.
        let mut asked = turns.next.len().min(CALLS);
        let mut called = turns.called.len().min(CALLS);
        while (asked > 0 || called > 0) && coop::has_budget_remaining() {
            if asked > 0
                && let Some(seat) = turns.next.pop_front()
            {
                asked -= 1;
                if let Some(task) = connections.get_mut(seat) {
                    *task.is_due() = false;
                }
                turns.turn(seat, &mut connections);
            }
            if called > 0
                && let Some(seat) = turns.called.pop_front()
            {
                called -= 1;
                if connections.get_mut(seat).is_some_and(|task| !*task.is_due()) {
                    turns.turn(seat, &mut connections);
                }
            }
        }
        if turns.called.is_empty() {
            // A broadcast leaves nothing behind.
            turns.called.shrink_to(16 * CALLS);
        }
    }

    fn call_roll(&self, turns: &mut Turns) {
        let Some(start) = turns.roll.take() else { return };
        let mut connections = self.connections.borrow_mut();
        let end = start.saturating_add(ROLL_CALL).min(connections.end());
        for number in start..end {
            turns.turn(number, &mut connections);
        }
        turns.roll = (end < connections.end()).then_some(end);
    }
}

/// A call that a signal has interrupted is made again.
fn again_if_interrupted(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Bytes that a connection takes here.
#[cfg(test)]
pub(crate) const fn entry_size<H>() -> usize {
    size_of::<Option<HandlerTask<H, Socket>>>()
}

#[cfg(test)]
mod tests;
