//! One task that runs all plain TCP connections of a shard, on an epoll descriptor of its own: connections of handlers,
//! and connections with an async function each.
//!
//! tokio keeps 256 bytes for each socket and at least as many for each task, and a wake-up goes through both. Here a
//! socket is a descriptor and a few flags, a connection is an entry in a table, and an event of the kernel leads
//! straight to the connection's turn. tokio watches the epoll descriptor and runs everything else: handshakes, the
//! clock, and what the application spawns.
//!
//! ```text
//!   tokio's epoll ──▶ ReactorState::poll ──▶ our epoll ──▶ id ──▶ ConnTable ──▶ ReactorConn::turn
//!                          ▲
//!        WakeQueue ────────┘  deadlines, senders, shutdown
//! ```

mod connection;
mod deliveries;
mod end;
mod requests;
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
use tokio::io::unix::AsyncFd;
use ws_tokio::{
    WebSocket,
    internal::{guarded, yield_turn},
};

use crate::{
    admission::Request,
    connection::{BuildTask, FunctionApp, Handler, HandlerApp, handler_task::HandlerTask},
    engine::{Engine, Requests, tasks::Tasks},
    handshake::{
        Handshake,
        established::{Application, Established},
    },
    log_limit::log_limited,
    net::{async_fd::watch, epoll_socket::Socket, stream::ServerStream},
    shard::{server_state::ServerState, wake::WakeTable, wake_queue::WakeQueue},
};

use connection::{FunctionConn, ReactorConn};
use deliveries::LocalDelivery;
use end::Ending;
use requests::Expected;
use schedule::Schedule;
use table::ConnTable;

/// Events taken from the kernel with one system call. If it returns as many, tokio's other tasks run before the next
/// call.
const EVENTS_PER_CALL: usize = 256;
/// Room for new connections that is kept for the next poll.
const KEPT_NEW_CONNS: usize = 256;

/// A handle to the reactor of this thread.
pub(crate) struct Reactor<A: BuildConn>(Rc<ReactorState<A>>);

struct ReactorState<A: BuildConn> {
    epoll: Arc<AsyncFd<OwnedFd>>,
    wake_queue: Arc<WakeQueue>,
    connections: RefCell<ConnTable<A::Conn>>,
    /// Connections whose handshakes are done. They are inserted in the next poll, after the memory of their handshakes
    /// is freed, so that long-lived memory does not fragment the memory of handshakes.
    new_conns: RefCell<Vec<NewConn<A>>>,
    /// Sockets that are not connections yet.
    expected: RefCell<Expected<A>>,
    /// What the server's topics deliver to these connections.
    delivery: LocalDelivery,
    server: Arc<ServerState>,
    has_ended: Cell<bool>,
}

struct NewConn<A: BuildConn> {
    app: Rc<A>,
    socket: Socket,
    established: Established<A::Accepted>,
}

/// What a reactor is made from, on its thread.
pub(crate) struct Seed {
    wake_queue: Arc<WakeQueue>,
    server: Arc<ServerState>,
}

impl<A: BuildConn> Clone for Reactor<A> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// An application whose connections a reactor can run.
pub(crate) trait BuildConn: Application {
    type Conn: ReactorConn;

    /// Runs the application's function, if it has one.
    fn build_conn(
        &self,
        socket: Socket,
        established: Established<Self::Accepted>,
        wake_queue: &Arc<WakeQueue>,
        epoll: &Arc<AsyncFd<OwnedFd>>,
    ) -> Option<Self::Conn>;
}

impl<H: Handler> BuildConn for HandlerApp<H> {
    type Conn = HandlerTask<H, Socket>;

    fn build_conn(
        &self,
        socket: Socket,
        established: Established<Self::Accepted>,
        _wake_queue: &Arc<WakeQueue>,
        _epoll: &Arc<AsyncFd<OwnedFd>>,
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
        epoll: &Arc<AsyncFd<OwnedFd>>,
    ) -> Option<Self::Conn> {
        let id = established.registration.id();
        let stream = ServerStream::on_reactor(socket, Arc::downgrade(epoll));
        let task = self.build(stream, established, Some(wake_queue.home(id)));
        Some(FunctionConn::new(task, wake_queue, id))
    }
}

/// The reactor runs plain TCP connections. Other connections are tasks.
impl<A: BuildConn + BuildTask<ServerStream>> Engine<A> for Reactor<A> {
    type Seed = Seed;

    fn prepare(server: &Arc<ServerState>) -> (WakeTable, Seed) {
        let wake_queue = Arc::<WakeQueue>::default();
        let seed = Seed { wake_queue: Arc::clone(&wake_queue), server: Arc::clone(server) };
        (WakeTable::reactor(wake_queue), seed)
    }

    fn start(seed: Seed) -> io::Result<Self> {
        let state = Rc::new(ReactorState::new(epoll::create(CreateFlags::CLOEXEC)?, seed)?);
        tokio::task::spawn_local(Rc::clone(&state).run());
        Ok(Self(state))
    }

    fn outcome(&self) -> io::Result<()> {
        self.0.outcome()
    }

    fn expect_request(
        &self,
        requests: Rc<dyn Requests<A>>,
        stream: std::net::TcpStream,
        handshake: Handshake,
    ) {
        self.0.expect_request(requests, stream, handshake);
    }

    fn add_stream(&self, app: &Rc<A>, io: ServerStream, established: Established<A::Accepted>) {
        if !io.is_tcp() {
            return Tasks.spawn(app, io, established);
        }
        match io.into_std() {
            Ok(stream) => self.add_unregistered(app, stream, established),
            Err(error) => self.0.server.note_lost_socket(&error),
        }
    }

    fn add_unregistered(
        &self,
        app: &Rc<A>,
        stream: std::net::TcpStream,
        established: Established<A::Accepted>,
    ) {
        if self.0.has_ended.get() {
            let line = "a connection was dropped because its shard has ended";
            return log_limited!(self.0.server.log_limits, Socket, warn, "{line}");
        }
        let id = established.registration.id();
        match self.0.watch(&stream, id) {
            Ok(()) => {
                let socket = Socket::new(stream);
                self.0.new_conns.borrow_mut().push(NewConn { app: Rc::clone(app), socket, established });
                // The first turn must not wait for an event.
                self.0.wake_queue.push(&[id]);
            }
            Err(error) => self.0.server.note_lost_socket(&error),
        }
    }
}

impl<A: BuildConn> ReactorState<A> {
    fn new(epoll: OwnedFd, Seed { wake_queue, server }: Seed) -> io::Result<Self> {
        let connections = RefCell::new(ConnTable::new(server.options.initial_connections));
        let (new_conns, expected, has_ended) = (RefCell::default(), RefCell::default(), Cell::new(false));
        let (epoll, delivery) = (Arc::new(watch(epoll)?), LocalDelivery::new(&server.topics, &wake_queue));
        Ok(Self { epoll, wake_queue, connections, new_conns, expected, delivery, server, has_ended })
    }

    /// Registers a socket with epoll. Its events carry the connection's id.
    fn watch(&self, stream: &std::net::TcpStream, id: u32) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, stream, EventData::new_u64(id.into()), flags)?)
    }

    /// Runs the connections. Returns only if tokio reports an error of the epoll descriptor.
    async fn run(self: Rc<Self>) {
        let _ending = Ending(Rc::clone(&self));
        let mut schedule = Schedule::new();
        if let Err(error) = poll_fn(|cx| self.poll(cx, &mut schedule)).await {
            tracing::error!(%error, "a shard cannot wait for events any more; its connections end");
        }
    }

    fn poll(&self, cx: &mut Context<'_>, schedule: &mut Schedule) -> Poll<io::Result<()>> {
        self.wake_queue.take(cx.waker(), &mut schedule.pending);
        schedule.queue_pending();
        // After the wake queue: what is published from here on wakes this task.
        self.delivery.queue_due(schedule);
        self.insert_new_conns();
        self.run_due_turns(schedule);
        let polled = self.poll_events(cx, schedule);
        let has_requests = self.run_handshakes(cx, schedule);
        schedule.rx = None;
        if !schedule.woken.is_empty() || !schedule.due.is_empty() || has_requests {
            // They may take many polls, so what tokio watches comes in between.
            yield_turn(cx);
        } else if !schedule.want_turn.is_empty() || schedule.sweep.is_some() {
            cx.waker().wake_by_ref();
        }
        polled
    }

    fn insert_new_conns(&self) {
        let mut new_conns = self.new_conns.take();
        for NewConn { app, socket, established } in new_conns.drain(..) {
            let id = established.registration.id();
            // Runs the application's function, and destructors.
            let build = || app.build_conn(socket, established, &self.wake_queue, &self.epoll);
            if let Ok(Some(connection)) = guarded(build) {
                let before = self.connections.borrow_mut().insert(id, connection);
                let _ = guarded(|| drop(before));
            }
        }
        new_conns.shrink_to(KEPT_NEW_CONNS);
        self.new_conns.replace(new_conns);
    }

    /// Gives the turns that do not wait for an event, as far as one poll may.
    fn run_due_turns(&self, schedule: &mut Schedule) {
        let mut connections = self.connections.borrow_mut();
        self.delivery.run_due(schedule, &mut connections);
        schedule.run_queued(&mut connections);
        schedule.run_sweep(&mut connections);
    }

    /// Gives turns to connections with events, until the kernel has no more or has given a full [`EVENTS_PER_CALL`].
    fn poll_events(&self, cx: &mut Context<'_>, schedule: &mut Schedule) -> Poll<io::Result<()>> {
        loop {
            let ready = match self.epoll.poll_read_ready(cx) {
                Poll::Ready(guard) => Some(guard?),
                Poll::Pending if !schedule.has_turns() => None,
                // While turns are due, tokio looks for events less often than this task is polled. Connections with
                // events must not wait for that.
                Poll::Pending => {
                    self.dispatch_events(schedule)?;
                    None
                }
            };
            let Some(mut ready) = ready else { break };
            if self.dispatch_events(schedule)? == EVENTS_PER_CALL {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready.clear_ready();
        }
        Poll::Pending
    }

    /// Takes events from the kernel once, and gives a turn to each connection that has one. Returns the number of
    /// events.
    fn dispatch_events(&self, schedule: &mut Schedule) -> io::Result<usize> {
        const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = std::mem::take(&mut schedule.events);
        events.clear();
        let count = retry_if_interrupted(|| {
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&NO_WAIT))
        })?;
        let mut connections = self.connections.borrow_mut();
        for event in &events {
            let (id, flags) = (event.data.u64() as u32, event.flags);
            if !schedule.turn_after_event(id, flags, &mut connections) {
                self.note_request(id, flags);
            }
        }
        schedule.events = events;
        Ok(count)
    }
}

/// Calls again as long as a signal interrupts the call.
fn retry_if_interrupted(mut call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Bytes that a connection takes in the table.
#[cfg(test)]
pub(crate) const fn entry_size<H>() -> usize {
    size_of::<Option<HandlerTask<H, Socket>>>()
}

#[cfg(test)]
mod tests;
