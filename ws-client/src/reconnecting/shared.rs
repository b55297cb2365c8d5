//! The state that a client and its senders share.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::{CloseCode, Message};
use ws_tokio::internal::Locked;

use super::{
    event::Discarded,
    live::{Fed, Live},
    queue::{Kept, WhileAway},
    sender::{Accepted, Outlet, SendError},
    tasks::{Tasks, WakeDriver, WakeSender},
};

/// The shared state.
pub(super) struct Shared<S> {
    core: Mutex<Core<S>>,
    pub(super) tasks: Arc<Tasks>,
    driver_waker: Waker,
    sender_waker: Waker,
}

struct Core<S> {
    link: Link<S>,
    kept: Kept,
    while_away: WhileAway,
    close: Option<(CloseCode, String)>,
}

enum Link<S> {
    Away,
    Up(Box<Live<S>>),
    Over,
}

/// What polling the connection returned.
pub(super) enum Polled<S> {
    Message(Message),
    /// The connection is over.
    Ended(Box<Live<S>>),
}

/// What senders did.
pub(super) struct Notice {
    /// How the application wants to close the client, once it does.
    pub(super) close: Option<(CloseCode, String)>,
    pub(super) discarded: Option<Discarded>,
}

/// The result of an offer.
enum Offer {
    Done(Result<Accepted, SendError>),
    /// Neither accepted nor refused yet. `away`: there is no connection.
    Later {
        message: Message,
        away: bool,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Shared<S> {
    pub(super) fn new(while_away: WhileAway) -> Self {
        let tasks = Arc::new(Tasks::default());
        Self {
            core: Mutex::new(Core { link: Link::Away, kept: Kept::default(), while_away, close: None }),
            driver_waker: Arc::new(WakeDriver(Arc::clone(&tasks))).into(),
            sender_waker: Arc::new(WakeSender(Arc::clone(&tasks))).into(),
            tasks,
        }
    }

    /// Makes a connection the current one. What was kept is queued first.
    pub(super) fn set_up(&self, live: Live<S>) {
        self.lock().link = Link::Up(Box::new(live));
        self.tasks.wake_first_sender();
    }

    /// Polls the current connection: writes, then receives.
    pub(super) fn poll_live(&self) -> Poll<Polled<S>> {
        let mut core = self.lock();
        let Core { link, kept, .. } = &mut *core;
        let Link::Up(live) = link else { return Poll::Pending };
        let mut cx = Context::from_waker(&self.driver_waker);
        if !kept.is_empty() {
            live.feed_kept(kept, &mut cx);
            if kept.is_empty() {
                self.tasks.wake_first_sender();
            }
        }
        match live.poll(&mut cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(message)) => Poll::Ready(Polled::Message(message)),
            Poll::Ready(None) => {
                let Link::Up(live) = std::mem::replace(link, Link::Away) else { return Poll::Pending };
                self.tasks.wake_first_sender();
                Poll::Ready(Polled::Ended(live))
            }
        }
    }

    /// Closes the current connection. Poll it afterwards.
    pub(super) fn close_live(&self, code: CloseCode, reason: &str) {
        if let Link::Up(live) = &mut self.lock().link {
            live.close(code, reason);
        }
        // Senders do not wait for room any longer: nothing more is accepted.
        self.tasks.wake_first_sender();
    }

    /// Takes what the senders did that concerns the client.
    pub(super) fn take_notice(&self) -> Notice {
        let mut core = self.lock();
        Notice { close: core.close.clone(), discarded: core.kept.take_discarded() }
    }

    /// Ends the client. Nothing is accepted any more. Returns the messages that were kept.
    pub(super) fn end(&self) -> Vec<Message> {
        let (kept, link) = {
            let mut core = self.lock();
            (core.kept.take_all(), std::mem::replace(&mut core.link, Link::Over))
        };
        // The transport's destructor runs without the lock.
        drop(link);
        self.tasks.wake_first_sender();
        kept
    }

    fn offer(&self, message: Message) -> Offer {
        let mut core = self.lock();
        let Core { link, kept, while_away, .. } = &mut *core;
        let message = match link {
            Link::Over => return Offer::Done(Err(SendError::Over(message))),
            Link::Away => message,
            Link::Up(live) => {
                let mut cx = Context::from_waker(&self.sender_waker);
                live.feed_kept(kept, &mut cx);
                if !kept.is_empty() && live.is_open() {
                    live.flush(&mut cx);
                    return Offer::Later { message, away: false };
                }
                match live.feed(message, &mut cx) {
                    Fed::Full(message) => return Offer::Later { message, away: false },
                    Fed::Closed(message) => message,
                    Fed::Accepted => {
                        live.flush(&mut cx);
                        return Offer::Done(Ok(Accepted::Queued { connection: live.number }));
                    }
                }
            }
        };
        match *while_away {
            WhileAway::Fail => Offer::Done(Err(SendError::Away(message))),
            WhileAway::Wait => Offer::Later { message, away: true },
            WhileAway::Keep { bytes, when_full } => {
                let result = kept.push(message, bytes, when_full);
                if kept.has_discarded() {
                    self.tasks.wake_driver();
                }
                Offer::Done(result.map(|()| Accepted::Kept).map_err(SendError::Full))
            }
        }
    }

    fn lock(&self) -> Locked<'_, Core<S>> {
        Locked::new(|| self.core.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Outlet for Shared<S> {
    fn try_send(&self, message: Message) -> Result<Accepted, SendError> {
        if !self.tasks.is_first(None) {
            // Messages go out in the order in which they were sent.
            let away = !matches!(self.lock().link, Link::Up(_));
            return Err(if away { SendError::Away(message) } else { SendError::Full(message) });
        }
        match self.offer(message) {
            Offer::Done(result) => result,
            Offer::Later { message, away: true } => Err(SendError::Away(message)),
            Offer::Later { message, away: false } => Err(SendError::Full(message)),
        }
    }

    fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &mut Option<Message>,
        place: &mut Option<u64>,
    ) -> Poll<Result<Accepted, SendError>> {
        // The second time, the sender is in the list, so that no wake-up is lost.
        for is_listed in [false, true] {
            if is_listed {
                self.tasks.wait(place, cx.waker());
            }
            if !self.tasks.is_first(*place) {
                continue;
            }
            let Some(next) = message.take() else { break };
            match self.offer(next) {
                Offer::Later { message: back, .. } => *message = Some(back),
                Offer::Done(result) => {
                    self.tasks.leave(place.take());
                    return Poll::Ready(result);
                }
            }
        }
        // The sender may have read messages from the transport.
        self.tasks.wake_driver();
        Poll::Pending
    }

    fn leave(&self, place: Option<u64>) {
        self.tasks.leave(place);
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.lock().close.get_or_insert_with(|| (code, reason.to_owned()));
        self.tasks.wake_driver();
    }

    fn connection(&self) -> Option<u64> {
        match &self.lock().link {
            Link::Up(live) if live.is_open() => Some(live.number),
            _ => None,
        }
    }
}
