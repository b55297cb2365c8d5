//! What a reactor can run.

use std::{
    future::Future,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use rustix::event::epoll::EventFlags;
use ws_tokio::internal::ReceiveLease;

use crate::{
    connection::{Handler, function_task::FunctionTask, handler_task::HandlerTask},
    net::stream::ServerStream,
    shard::wake_queue::{TurnWaker, WakeQueue},
};

use crate::net::epoll_socket::Socket;

/// One connection, between its turns.
pub(crate) trait ReactorConn: 'static {
    /// Takes note of what the kernel said of its socket.
    fn note(&mut self, events: EventFlags);

    /// Whether it has asked for another turn and not had it.
    fn is_due(&mut self) -> &mut bool;

    /// A turn; `again` asks for another one. `rx` is the thread's receive buffer, once somebody needed it.
    fn poll_turn(&mut self, again: &Waker, rx: &mut Option<ReceiveLease>) -> Poll<()>;
}

impl<H: Handler + Unpin> ReactorConn for HandlerTask<H, Socket> {
    #[inline]
    fn note(&mut self, events: EventFlags) {
        self.io_mut().note(events);
    }

    #[inline]
    fn is_due(&mut self) -> &mut bool {
        &mut self.io_mut().turn_is_due
    }

    #[inline]
    fn poll_turn(&mut self, again: &Waker, rx: &mut Option<ReceiveLease>) -> Poll<()> {
        let rx = rx.get_or_insert_with(ReceiveLease::take);
        let poll = self.poll_turn(&mut Context::from_waker(again), rx);
        if self.wants_another_turn() {
            again.wake_by_ref();
        }
        rx.end_turn();
        poll
    }
}

/// A connection that an async function serves. What that waits for keeps its waker, so it needs one of its own.
pub(crate) struct FunctionConn<F> {
    task: FunctionTask<F, ServerStream>,
    turns: Arc<TurnWaker>,
    waker: Waker,
    is_due: bool,
}

impl<F> FunctionConn<F> {
    pub(super) fn new(task: FunctionTask<F, ServerStream>, wake_queue: &Arc<WakeQueue>, id: u32) -> Self {
        let turns = TurnWaker::new(wake_queue, id);
        Self { task, waker: Waker::from(Arc::clone(&turns)), turns, is_due: false }
    }
}

impl<F: Future<Output = ()> + 'static> ReactorConn for FunctionConn<F> {
    fn note(&mut self, events: EventFlags) {
        self.task.served().notify_transport(&self.waker, |stream| {
            if let Some(socket) = stream.reactor_socket() {
                socket.note(events);
            }
        });
    }

    fn is_due(&mut self) -> &mut bool {
        &mut self.is_due
    }

    fn poll_turn(&mut self, _again: &Waker, _rx: &mut Option<ReceiveLease>) -> Poll<()> {
        self.turns.begin_turn();
        self.task.poll_turn(&mut Context::from_waker(&self.waker))
    }
}
