//! One task for all connections of a shard that handlers serve, on an epoll descriptor of its own.
//!
//! tokio keeps 256 bytes for each socket and at least as many for each task, and a wake-up goes through both. Here a
//! socket is its descriptor and two flags, a connection is an entry in a table, and an event of the kernel leads
//! straight to a turn. tokio watches the one descriptor and runs everything else: handshakes, timers, and what
//! handlers spawn.
//!
//! ```text
//!   tokio's epoll ──▶ Reactor::poll ──▶ our epoll ──▶ seat number ──▶ Pages ──▶ HandlerTask::poll_turn
//!                          ▲
//!          Notices ────────┘  deadlines, senders, shutdown
//! ```

mod pages;
mod socket;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use rustix::event::{
    Timespec,
    epoll::{self, CreateFlags, Event, EventData, EventFlags},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
};
use ws_tokio::ReceiveLease;

use crate::{
    app::{AcceptedHandler, Established, HandlerApp},
    handler::Handler,
    handler_task::HandlerTask,
    host::Host,
    hub::Hub,
    notices::{Notes, Notices},
    summons::Summons,
};

use pages::Pages;
use socket::Socket;

/// Events taken from the kernel at a time; then tokio's other tasks have their turn.
const EVENTS: usize = 256;
/// Connections looked at per poll when everybody is called.
const ROLL_CALL: u32 = 256;

/// A handle to the reactor of this thread.
pub(crate) struct Reactor<H>(Rc<Shared<H>>);

struct Shared<H> {
    epoll: AsyncFd<OwnedFd>,
    notices: Arc<Notices>,
    connections: RefCell<Pages<HandlerTask<H, Socket>>>,
}

/// What a reactor's thread is given.
pub(crate) struct Call {
    notices: Arc<Notices>,
    /// Connections that memory is set aside for.
    initial: usize,
}

/// The reactor's own state between polls.
struct Turns {
    /// What connections get as their task's waker during a turn.
    again: Arc<Again>,
    waker: Waker,
    events: Vec<Event>,
    notes: Notes,
    /// Who asked for another turn.
    next: Vec<u32>,
    /// How far a roll call has come.
    roll: Option<u32>,
}

/// The waker of whichever connection has its turn: it asks for another one.
#[derive(Default)]
struct Again(AtomicBool);

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<H> Clone for Reactor<H> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<H: Handler + Unpin> Host<HandlerApp<H>> for Reactor<H> {
    type Call = Call;

    fn prepare(hub: &Hub) -> (Summons, Call) {
        let notices = Arc::<Notices>::default();
        let call = Call { notices: Arc::clone(&notices), initial: hub.options.initial_connections };
        (Summons::Reactor(notices), call)
    }

    fn start(Call { notices, initial }: Call) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let epoll = watch(epoll)?;
        let shared = Rc::new(Shared { epoll, notices, connections: RefCell::new(Pages::new(initial)) });
        tokio::task::spawn_local(Rc::clone(&shared).run());
        Ok(Self(shared))
    }

    fn launch(&self, _app: &Rc<HandlerApp<H>>, established: Established<TcpStream, AcceptedHandler<H>>) {
        if let Err(error) = self.0.admit(established) {
            tracing::warn!(%error, "a connection's socket could not be registered");
        }
    }
}

impl<H: Handler + Unpin> Shared<H> {
    /// Takes a connection whose handshake is done.
    fn admit(&self, established: Established<TcpStream, AcceptedHandler<H>>) -> io::Result<()> {
        let number = established.seat.number();
        let socket = |stream: TcpStream| stream.into_std().map(Socket::new);
        let Some(task) = established.try_map_io(socket)?.into_handler_task() else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, task.io().stream(), EventData::new_u64(number.into()), flags)?;
        self.connections.borrow_mut().insert(number, task);
        // Its first turn, even if the peer says nothing.
        self.notices.notify(&[number]);
        Ok(())
    }

    /// Runs the connections. Never returns, unless tokio's part fails.
    async fn run(self: Rc<Self>) {
        let again = Arc::new(Again::default());
        let mut turns = Turns {
            waker: Waker::from(Arc::clone(&again)),
            again,
            events: Vec::with_capacity(EVENTS),
            notes: Notes::default(),
            next: Vec::new(),
            roll: None,
        };
        if let Err(error) = poll_fn(|cx| self.poll(cx, &mut turns)).await {
            tracing::error!(%error, "a shard lost its events");
        }
    }

    fn poll(&self, cx: &mut Context<'_>, turns: &mut Turns) -> Poll<io::Result<()>> {
        self.notices.take(cx.waker(), &mut turns.notes);
        let rx = &mut ReceiveLease::take();
        self.take_turns(turns, rx);
        self.call_roll(turns, rx);
        loop {
            let ready = match self.epoll.poll_read_ready(cx) {
                Poll::Ready(guard) => Some(guard?),
                // Others must not wait for tokio to look while somebody has turn after turn.
                Poll::Pending if turns.next.is_empty() => None,
                Poll::Pending => {
                    self.take_events(turns, rx)?;
                    None
                }
            };
            let Some(mut ready) = ready else { break };
            if self.take_events(turns, rx)? == EVENTS {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready.clear_ready();
        }
        if !turns.next.is_empty() || turns.roll.is_some() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Asks the kernel once, and gives everybody it names a turn.
    fn take_events(&self, turns: &mut Turns, rx: &mut ReceiveLease) -> io::Result<usize> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = std::mem::take(&mut turns.events);
        events.clear();
        let count =
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&AT_ONCE)) {
                Err(rustix::io::Errno::INTR) => 0,
                result => result?,
            };
        let mut connections = self.connections.borrow_mut();
        for event in &events {
            let (number, flags) = (event.data.u64() as u32, event.flags);
            let Some(task) = connections.get_mut(number) else { continue };
            task.io_mut().note(flags);
            // Who has asked for another turn gets it in its time, and not more of them.
            if !task.io_mut().turn_is_due {
                turns.turn(number, &mut connections, rx);
            }
        }
        turns.events = events;
        Ok(count)
    }

    /// Those who asked for another turn, and those who were called.
    fn take_turns(&self, turns: &mut Turns, rx: &mut ReceiveLease) {
        if std::mem::take(&mut turns.notes.everybody) {
            turns.roll = Some(0);
        }
        let mut connections = self.connections.borrow_mut();
        for seat in std::mem::take(&mut turns.next) {
            turns.turn(seat, &mut connections, rx);
        }
        let mut seats = std::mem::take(&mut turns.notes.seats);
        for seat in seats.drain(..) {
            if connections.get_mut(seat).is_some_and(|task| !task.io_mut().turn_is_due) {
                turns.turn(seat, &mut connections, rx);
            }
        }
        turns.notes.seats = seats;
    }

    fn call_roll(&self, turns: &mut Turns, rx: &mut ReceiveLease) {
        let Some(start) = turns.roll.take() else { return };
        let mut connections = self.connections.borrow_mut();
        let end = start.saturating_add(ROLL_CALL).min(connections.end());
        for number in start..end {
            turns.turn(number, &mut connections, rx);
        }
        turns.roll = (end < connections.end()).then_some(end);
    }
}

impl Turns {
    /// Gives a connection its turn, if it is still there.
    fn turn<H: Handler + Unpin>(
        &mut self,
        number: u32,
        connections: &mut Pages<HandlerTask<H, Socket>>,
        rx: &mut ReceiveLease,
    ) {
        let Some(task) = connections.get_mut(number) else { return };
        task.io_mut().turn_is_due = false;
        self.again.0.store(false, Ordering::Relaxed);
        let over = task.poll_turn(&mut Context::from_waker(&self.waker), rx).is_ready();
        rx.end_turn();
        if over {
            // Destructors of handlers may panic too.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(connections.remove(number))));
        } else if self.again.0.load(Ordering::Relaxed) {
            task.io_mut().turn_is_due = true;
            self.next.push(number);
        }
    }
}

/// Bytes that a connection takes here.
#[cfg(test)]
pub(crate) const fn entry_size<H>() -> usize {
    size_of::<Option<HandlerTask<H, Socket>>>()
}

/// Lets tokio watch a descriptor.
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(unsafe_code, reason = "tokio's only other constructor is deprecated")]
    // SAFETY: the descriptor must stay open and the same for as long as it is registered. An `OwnedFd` is closed only
    // when it is dropped, nothing here replaces the one inside, and `AsyncFd` drops it after its registration.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    Ok(watched?)
}
