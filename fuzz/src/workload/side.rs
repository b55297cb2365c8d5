//! One side of the connection: its handle, its task, and its messages.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use futures_sink::Sink;
use tokio::time::Instant;
use ws_proto::{CloseInfo, Connection, Message};
use ws_tokio::{Sender, WebSocket, internal::ServerHalf};

use super::{
    ledger::{Fate, Ledger},
    other_task::OtherTask,
    transport::{End, Link},
    woken::Woken,
};

pub(super) struct Side {
    number: usize,
    ws: Option<WebSocket<End>>,
    task: Task,
    pub(super) sender: Sender,
    /// The messages that were sent by the handle, through the sender, and through the sender of another task.
    pub(super) sent: [Ledger; 3],
    pub(super) other_task: Option<OtherTask>,
    count: usize,
    /// It no longer receives, so messages to it may be dropped.
    pub(super) stopped: bool,
    pub(super) errors: usize,
    pub(super) over: bool,
}

/// How it is polled.
struct Task {
    served: Option<ServerHalf<End>>,
    link: Link,
    woken: Arc<Woken>,
    waker: Waker,
}

impl Task {
    /// One turn: `poll`, and for a server's task also the work before and after it.
    fn turn<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let (polls, moved) = self.link.counts();
        let cx = &mut Context::from_waker(&self.waker);
        let now = Instant::now().into_std();
        if let Some(served) = &self.served {
            served.begin_turn(cx, now);
        }
        let result = poll(cx);
        if let Some(served) = &self.served {
            let _ = served.end_turn(cx, now);
        }
        let (polls_now, moved_now) = self.link.counts();
        let (polls, moved) = (polls_now - polls, moved_now - moved);
        assert!(polls <= 100 + 10 * moved, "{polls} polls of the transport for {moved} bytes");
        result
    }
}

impl Side {
    pub(super) fn new(number: usize, io: End, connection: Connection, link: Link, served: bool) -> Self {
        let (served, ws) = if served {
            let (served, ws) = ServerHalf::new(io, connection, &[]);
            (Some(served), ws)
        } else {
            (None, WebSocket::new(io, connection))
        };
        let (woken, waker) = Woken::new();
        Self {
            number,
            sender: ws.sender(),
            ws: Some(ws),
            task: Task { served, link, woken, waker },
            sent: Default::default(),
            other_task: None,
            count: 0,
            stopped: false,
            errors: 0,
            over: false,
        }
    }

    /// The next message to send. No two are equal.
    pub(super) fn message(&mut self, len: usize, text: bool) -> Message {
        self.count += 1;
        let unit = format!("{}.{}:", self.number, self.count);
        let payload: String = unit.chars().cycle().take(len.max(unit.len())).collect();
        if text { payload.into() } else { Message::binary(payload.into_bytes()) }
    }

    /// Polls the future that `operation` makes with the handle this many times, then drops it.
    pub(super) fn run<T>(
        &mut self,
        polls: usize,
        operation: impl AsyncFnOnce(&mut WebSocket<End>) -> T,
    ) -> Option<T> {
        let ws = self.ws.as_mut()?;
        let mut future = pin!(operation(ws));
        for _ in 0..polls {
            if let Poll::Ready(result) = self.task.turn(|cx| future.as_mut().poll(cx)) {
                return Some(result);
            }
        }
        None
    }

    /// The same with a future that uses the sender.
    pub(super) fn run_sender<T>(
        &mut self,
        polls: usize,
        operation: impl AsyncFnOnce(&Sender) -> T,
    ) -> Option<T> {
        let mut future = pin!(operation(&self.sender));
        for _ in 0..polls {
            if let Poll::Ready(result) = self.task.turn(|cx| future.as_mut().poll(cx)) {
                return Some(result);
            }
        }
        None
    }

    /// Starts a send from the other task, unless its last message still waits.
    pub(super) fn send_from_other_task(&mut self, message: Message) {
        if self.other_task.is_some() {
            return;
        }
        self.sent[2].add(message.clone(), Fate::Maybe);
        self.other_task = Some(OtherTask::new(self.sender.clone(), message));
        self.poll_other_task();
    }

    /// Polls the other task if it was woken. Returns whether it was.
    pub(super) fn poll_other_task(&mut self) -> bool {
        let Some(task) = self.other_task.as_mut().filter(|task| task.take_wake()) else { return false };
        if let Poll::Ready(accepted) = task.poll() {
            self.sent[2].decide(if accepted { Fate::Sure } else { Fate::Refused });
            self.other_task = None;
        }
        true
    }

    /// Drops the handle.
    pub(super) fn drop_handle(&mut self) {
        self.ws = None;
        self.stopped = true;
    }

    pub(super) fn has_handle(&self) -> bool {
        self.ws.is_some()
    }

    pub(super) fn is_open(&self) -> bool {
        self.sender.is_open()
    }

    pub(super) fn close_info(&self) -> Option<CloseInfo> {
        self.ws.as_ref()?.close_info()
    }

    pub(super) fn take_wake(&self) -> bool {
        self.task.woken.take()
    }

    pub(super) fn wake(&self) {
        self.task.woken.set();
    }

    /// Sends what waits, then receives, or with `close` closes. Returns a message if there is one.
    pub(super) fn step(&mut self, close: bool) -> Option<Message> {
        let Some(ws) = self.ws.as_mut() else {
            self.task.turn(|_| ());
            self.over = self.task.served.as_ref().is_none_or(|served| served.close_info().is_some());
            return None;
        };
        let (flushed, next) = self.task.turn(|cx| {
            if close {
                return (false, Pin::new(&mut *ws).poll_close(cx).map(|_| None));
            }
            let flushed = Pin::new(&mut *ws).poll_flush(cx).is_ready();
            (flushed, Pin::new(ws).poll_next(cx))
        });
        if flushed {
            self.sent[0].flushed(self.is_open());
        }
        match next {
            Poll::Pending => return None,
            Poll::Ready(None) => self.over = true,
            Poll::Ready(Some(Err(_))) => self.errors += 1,
            Poll::Ready(Some(Ok(message))) => {
                self.wake();
                return Some(message);
            }
        }
        self.wake();
        None
    }
}
