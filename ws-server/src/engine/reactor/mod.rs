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

mod connection;
mod end;
mod schedule;
mod table;

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
    admission::Request,
    connection::{BuildTask, FunctionApp, Handler, HandlerApp, handler_task::HandlerTask},
    engine::{Engine, tasks::Tasks},
    handshake::established::{Application, Established},
    net::{async_fd::watch, epoll_socket::Socket, stream::ServerStream},
    shard::{server_state::ServerState, wake::WakeTable, wake_queue::WakeQueue},
};

use connection::{FunctionConn, ReactorConn};
use end::Ending;
use schedule::Schedule;
use table::ConnTable;

/// Events taken from the kernel at a time; then tokio's other tasks have their turn.
const EVENTS: usize = 256;
/// Connections that have a turn per poll of those who were called, and of those who asked for another turn. So what a
/// broadcast costs others does not grow with the number of its receivers.
const CALLS: usize = 64;
/// Connections looked at per poll when everybody is called.
const SWEEP: u32 = 256;

/// A handle to the reactor of this thread.
pub(crate) struct Reactor<A: BuildConn>(Rc<Shared<A>>);

struct Shared<A: BuildConn> {
    epoll: AsyncFd<OwnedFd>,
    wake_queue: Arc<WakeQueue>,
    connections: RefCell<ConnTable<A::Conn>>,
    /// Connections whose handshakes are done. They are settled in the reactor's own time, when the memory of those
    /// handshakes is free again: what stays must not lie between what goes.
    new_conns: RefCell<Vec<NewConn<A>>>,
    server: Arc<ServerState>,
    /// The connections are not run any more.
    has_ended: Cell<bool>,
}

struct NewConn<A: BuildConn> {
    app: Rc<A>,
    socket: Socket,
    established: Established<A::Accepted>,
}

/// What a reactor's thread is given.
pub(crate) struct Seed {
    wake_queue: Arc<WakeQueue>,
    server: Arc<ServerState>,
}

impl<A: BuildConn> Clone for Reactor<A> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// What an application's connections are on a reactor.
pub(crate) trait BuildConn: Application {
    type Conn: ReactorConn;

    /// `None`: it did not come about.
    fn build_conn(
        &self,
        socket: Socket,
        established: Established<Self::Accepted>,
        wake_queue: &Arc<WakeQueue>,
    ) -> Option<Self::Conn>;
}

impl<H: Handler + Unpin> BuildConn for HandlerApp<H> {
    type Conn = HandlerTask<H, Socket>;

    fn build_conn(
        &self,
        socket: Socket,
        established: Established<Self::Accepted>,
        _notices: &Arc<WakeQueue>,
    ) -> Option<Self::Conn> {
        established.into_handler_task(socket)
    }
}

impl<F, Fut> BuildConn for FunctionApp<F>
where
    F: Fn(WebSocket<ServerStream>, Request) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    type Conn = FunctionConn<Fut>;

    fn build_conn(
        &self,
        socket: Socket,
        established: Established<Self::Accepted>,
        wake_queue: &Arc<WakeQueue>,
    ) -> Option<Self::Conn> {
        let id = established.registration.id();
        let task = self.build_task(ServerStream::from(socket), established)?;
        Some(FunctionConn::new(task, wake_queue, id))
    }
}

/// Only plain TCP is watched by the reactor; other connections are tasks.
impl<A: BuildConn + BuildTask<ServerStream>> Engine<A> for Reactor<A> {
    type Seed = Seed;

    fn prepare(server: &Arc<ServerState>) -> (WakeTable, Seed) {
        let wake_queue = Arc::<WakeQueue>::default();
        let seed = Seed { wake_queue: Arc::clone(&wake_queue), server: Arc::clone(server) };
        (WakeTable::reactor(wake_queue), seed)
    }

    fn start(seed: Seed) -> io::Result<Self> {
        let shared = Rc::new(Shared::new(epoll::create(CreateFlags::CLOEXEC)?, seed)?);
        tokio::task::spawn_local(Rc::clone(&shared).run());
        Ok(Self(shared))
    }

    fn outcome(&self) -> io::Result<()> {
        self.0.outcome()
    }

    fn add_stream(&self, app: &Rc<A>, io: ServerStream, established: Established<A::Accepted>) {
        if !io.is_tcp() {
            return Tasks.spawn(app, io, established);
        }
        match io.into_std() {
            Ok(stream) => self.add_unregistered(app, stream, established),
            Err(error) => tracing::warn!(%error, "deregistering a socket from the runtime failed"),
        }
    }

    fn add_unregistered(
        &self,
        app: &Rc<A>,
        stream: std::net::TcpStream,
        established: Established<A::Accepted>,
    ) {
        if self.0.has_ended.get() {
            return tracing::warn!("a connection was dropped because its shard has ended");
        }
        let id = established.registration.id();
        match self.0.register(stream, id) {
            Ok(socket) => {
                self.0.new_conns.borrow_mut().push(NewConn { app: Rc::clone(app), socket, established });
                // Its first turn, even if the peer says nothing.
                self.0.wake_queue.push(&[id]);
            }
            Err(error) => tracing::warn!(%error, "registering a socket with epoll failed"),
        }
    }
}

impl<A: BuildConn> Shared<A> {
    /// `epoll` is an epoll descriptor.
    fn new(epoll: OwnedFd, Seed { wake_queue, server }: Seed) -> io::Result<Self> {
        let connections = RefCell::new(ConnTable::new(server.options.initial_connections));
        let (new_conns, has_ended) = (RefCell::default(), Cell::new(false));
        Ok(Self { epoll: watch(epoll)?, wake_queue, connections, new_conns, server, has_ended })
    }

    fn insert_new_conns(&self) {
        let mut new_conns = self.new_conns.take();
        for NewConn { app, socket, established } in new_conns.drain(..) {
            let number = established.registration.id();
            // Runs the application's function, and destructors.
            if let Ok(Some(connection)) = guarded(|| app.build_conn(socket, established, &self.wake_queue)) {
                let before = self.connections.borrow_mut().insert(number, connection);
                let _ = guarded(|| drop(before));
            }
        }
        new_conns.shrink_to(SWEEP as usize);
        self.new_conns.replace(new_conns);
    }

    fn register(&self, stream: std::net::TcpStream, number: u32) -> io::Result<Socket> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(number.into()), flags)?;
        Ok(Socket::new(stream))
    }

    /// Runs the connections. Never returns, unless tokio's part fails.
    async fn run(self: Rc<Self>) {
        let _ending = Ending(Rc::clone(&self));
        let mut schedule = Schedule::new();
        if let Err(error) = poll_fn(|cx| self.poll(cx, &mut schedule)).await {
            tracing::error!(%error, "a shard lost its events");
        }
    }

    fn poll(&self, cx: &mut Context<'_>, schedule: &mut Schedule) -> Poll<io::Result<()>> {
        self.wake_queue.take(cx.waker(), &mut schedule.notes);
        self.insert_new_conns();
        self.take_turns(schedule);
        self.poll_all(schedule);
        let polled = self.poll_events(cx, schedule);
        schedule.rx = None;
        if !schedule.called.is_empty() {
            // It may take many polls: what tokio watches comes in between.
            yield_turn(cx);
        } else if !schedule.next.is_empty() || schedule.sweep.is_some() {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn poll_events(&self, cx: &mut Context<'_>, schedule: &mut Schedule) -> Poll<io::Result<()>> {
        loop {
            let ready = match self.epoll.poll_read_ready(cx) {
                Poll::Ready(guard) => Some(guard?),
                // Others must not wait for tokio to look while there are turns to be had.
                Poll::Pending if schedule.next.is_empty() && schedule.called.is_empty() => None,
                Poll::Pending => {
                    self.take_events(schedule)?;
                    None
                }
            };
            let Some(mut ready) = ready else { break };
            if self.take_events(schedule)? == EVENTS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready.clear_ready();
        }
        Poll::Pending
    }

    /// Asks the kernel once, and gives everybody it names a turn.
    fn take_events(&self, schedule: &mut Schedule) -> io::Result<usize> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = std::mem::take(&mut schedule.events);
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
                schedule.turn(number, &mut connections);
            }
        }
        schedule.events = events;
        Ok(count)
    }

    /// Those who asked for another turn, and those who were called, by turns; [`CALLS`] of each.
    fn take_turns(&self, schedule: &mut Schedule) {
        if std::mem::take(&mut schedule.notes.all) {
            schedule.sweep = Some(0);
        }
        schedule.called.extend(schedule.notes.ids.drain(..));
        let mut connections = self.connections.borrow_mut();
        // Who asks in this poll has its turn in the next one.
        let mut asked = schedule.next.len().min(CALLS);
        let mut called = schedule.called.len().min(CALLS);
        while (asked > 0 || called > 0) && coop::has_budget_remaining() {
            if asked > 0
                && let Some(id) = schedule.next.pop_front()
            {
                asked -= 1;
                if let Some(task) = connections.get_mut(id) {
                    *task.is_due() = false;
                }
                schedule.turn(id, &mut connections);
            }
            if called > 0
                && let Some(id) = schedule.called.pop_front()
            {
                called -= 1;
                if connections.get_mut(id).is_some_and(|task| !*task.is_due()) {
                    schedule.turn(id, &mut connections);
                }
            }
        }
        if schedule.called.is_empty() {
            // A broadcast leaves nothing behind.
            schedule.called.shrink_to(16 * CALLS);
        }
    }

    fn poll_all(&self, schedule: &mut Schedule) {
        let Some(start) = schedule.sweep.take() else { return };
        let mut connections = self.connections.borrow_mut();
        let end = start.saturating_add(SWEEP).min(connections.end());
        for number in start..end {
            schedule.turn(number, &mut connections);
        }
        schedule.sweep = (end < connections.end()).then_some(end);
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
