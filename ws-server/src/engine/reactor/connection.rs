//! The connections that a reactor can run.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use rustix::event::epoll::EventFlags;
use ws_proto::PreparedMessage;
use ws_tokio::internal::ThreadReceiveBuffer;

use crate::{
    connection::{Handler, function_task::FunctionTask, handler_task::HandlerTask},
    net::{epoll_socket::Socket, stream::ServerStream},
    shard::wake_queue::{TurnWaker, WakeQueue},
};

/// One connection of a reactor.
pub(crate) trait ReactorConn: 'static {
    /// Notes what the kernel reported about the connection's socket.
    fn note_events(&mut self, events: EventFlags);

    /// Whether the connection is queued for another turn. The schedule keeps this flag.
    fn wants_turn(&mut self) -> &mut bool;

    /// Gives the connection a turn. `Ready`: it is over. `Pending`: it waits, or, if it woke `waker`, wants another
    /// turn. `rx` is the thread's receive buffer, once a connection needed it.
    fn turn(&mut self, waker: &Waker, rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()>;

    /// Notes what the kernel reported, and gives the connection a turn.
    #[inline]
    fn turn_after_event(
        &mut self,
        events: EventFlags,
        waker: &Waker,
        rx: &mut Option<ThreadReceiveBuffer>,
    ) -> Poll<()> {
        self.note_events(events);
        self.turn(waker, rx)
    }

    /// The time of the connection's turns.
    fn now(&self) -> Instant;

    /// Whether a turn would do nothing but write what topics have for the connection, so that
    /// [`send_prepared`](Self::send_prepared) can do it. Called with a lock of the topics.
    fn takes_prepared(&mut self) -> bool {
        false
    }

    /// Writes a message, if the connection [takes it](Self::takes_prepared). `false`: the rest waits for a turn.
    fn send_prepared(&mut self, _message: &PreparedMessage, _now: Instant) -> bool {
        false
    }

    /// The turn panicked. `Ready`: the connection is over. `Pending`: it wants another turn.
    fn on_panic(&mut self) -> Poll<()>;
}

/// Runs a turn with the thread's receive buffer.
#[inline]
fn with_buffer<H: Handler>(
    task: &mut HandlerTask<H, Socket>,
    waker: &Waker,
    rx: &mut Option<ThreadReceiveBuffer>,
    turn: impl FnOnce(&mut HandlerTask<H, Socket>, &mut Context<'_>, &mut ThreadReceiveBuffer) -> Poll<()>,
) -> Poll<()> {
    let rx = rx.get_or_insert_with(ThreadReceiveBuffer::take);
    let polled = turn(task, &mut Context::from_waker(waker), rx);
    if task.take_wants_turn() {
        waker.wake_by_ref();
    }
    rx.end_turn();
    polled
}

impl<H: Handler> ReactorConn for HandlerTask<H, Socket> {
    #[inline]
    fn note_events(&mut self, events: EventFlags) {
        self.io_mut().note(events);
    }

    #[inline]
    fn wants_turn(&mut self) -> &mut bool {
        &mut self.io_mut().wants_turn
    }

    #[inline]
    fn turn(&mut self, waker: &Waker, rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        with_buffer(self, waker, rx, |task, cx, rx| task.turn(cx, rx))
    }

    #[inline]
    fn turn_after_event(
        &mut self,
        events: EventFlags,
        waker: &Waker,
        rx: &mut Option<ThreadReceiveBuffer>,
    ) -> Poll<()> {
        self.note_events(events);
        with_buffer(self, waker, rx, Self::turn_after_event)
    }

    fn now(&self) -> Instant {
        self.now()
    }

    #[inline]
    fn takes_prepared(&mut self) -> bool {
        (*self).takes_prepared()
    }

    #[inline]
    fn send_prepared(&mut self, message: &PreparedMessage, now: Instant) -> bool {
        self.send_prepared(message, now)
    }

    fn on_panic(&mut self) -> Poll<()> {
        self.on_panic()
    }
}

/// A connection that an async function serves. The function's future keeps the waker that it is polled with, so each
/// connection needs a waker of its own.
pub(crate) struct FunctionConn<F> {
    task: FunctionTask<F, ServerStream>,
    turn_waker: Arc<TurnWaker>,
    waker: Waker,
}

impl<F> FunctionConn<F> {
    pub(super) fn new(task: FunctionTask<F, ServerStream>, wake_queue: &Arc<WakeQueue>, id: u32) -> Self {
        let turn_waker = TurnWaker::new(wake_queue, id);
        Self { task, waker: Waker::from(Arc::clone(&turn_waker)), turn_waker }
    }
}

impl<F: Future<Output = ()> + 'static> ReactorConn for FunctionConn<F> {
    fn note_events(&mut self, events: EventFlags) {
        self.task.half().notify_transport(&self.waker, |stream| {
            let Some(socket) = stream.reactor_socket() else { return false };
            socket.note(events);
            !socket.has_ended()
        });
    }

    fn wants_turn(&mut self) -> &mut bool {
        &mut self.task.wants_turn
    }

    fn turn(&mut self, _waker: &Waker, _rx: &mut Option<ThreadReceiveBuffer>) -> Poll<()> {
        self.turn_waker.begin_turn();
        self.task.turn(&mut Context::from_waker(&self.waker))
    }

    fn now(&self) -> Instant {
        self.task.now()
    }

    fn on_panic(&mut self) -> Poll<()> {
        self.task.on_panic();
        Poll::Ready(())
    }
}
