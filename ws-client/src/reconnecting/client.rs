//! The client: a state machine that its owner polls.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, Sleep, sleep},
};
use ws_proto::CloseCode;
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{
    attempt::{Attempting, Dial, Setup, begin},
    cause::Cause,
    decision::Decision,
    event::{AttemptFailed, Down, Event, Outcome, Up},
    live::Live,
    request::Attempt,
    schedule::Schedule,
    sender::{Outlet as _, Sender},
    shared::{Polled, Shared},
};
use crate::{ClientStream, WebSocket};

/// A client that reconnects. The module [`reconnecting`](crate::reconnecting) describes its states and guarantees.
pub struct Reconnecting<S: AsyncRead + AsyncWrite + Unpin + Send + 'static = ClientStream> {
    shared: Arc<Shared<S>>,
    parts: Parts<S>,
    state: State<S>,
    /// Attempts so far.
    attempts: u64,
    /// Attempts before the latest connection.
    attempts_before: u64,
    /// Connections so far.
    connections: u64,
    /// Events that are not reported yet.
    events: VecDeque<Event>,
    outcome: Option<Outcome>,
}

/// What a client is built from.
pub(super) struct Parts<S> {
    pub(super) dial: Dial<S>,
    pub(super) setup: Option<Setup<S>>,
    pub(super) retry_if: Box<dyn FnMut(&Cause) -> Decision + Send>,
    pub(super) schedule: Schedule,
    pub(super) attempt_timeout: Duration,
    pub(super) max_lifetime: Option<Duration>,
}

enum State<S> {
    /// An attempt is due.
    Due,
    /// Until the next attempt.
    Waiting(Pin<Box<Sleep>>),
    /// In an attempt, which owns its connection.
    Attempting(Attempting<S>),
    Up(Service),
    Over,
}

/// The current connection, which is in `Shared`.
struct Service {
    since: Instant,
    /// When its lifetime ends.
    expiry: Option<Pin<Box<Sleep>>>,
    closing: Option<Closing>,
}

/// Why the closing handshake has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Requested,
    Expired,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Reconnecting<S> {
    pub(super) fn from_parts(parts: Parts<S>, while_away: super::WhileAway) -> Self {
        Self {
            shared: Arc::new(Shared::new(while_away)),
            parts,
            state: State::Due,
            attempts: 0,
            attempts_before: 0,
            connections: 0,
            events: VecDeque::new(),
            outcome: None,
        }
    }

    /// Returns the next event, or `None` once the client is over; [`outcome`](Self::outcome) says why. Attempts and
    /// connections make progress only while this is polled.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing. An attempt continues with the next call.
    ///
    /// # Panics
    /// In a tokio runtime without time, or without I/O for a [`Connector`](crate::Connector). A panic of a hook reaches
    /// the caller; drop the client then.
    pub async fn next_event(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next_event(cx)).await
    }

    /// Polls for the next event, as [`next_event`](Self::next_event) does.
    pub fn poll_next_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.shared.tasks.set_driver(cx.waker());
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(event));
            }
            let notice = self.shared.take_notice();
            if let Some(discarded) = notice.discarded {
                return Poll::Ready(Some(Event::Discarded(discarded)));
            }
            if matches!(self.state, State::Over) {
                return Poll::Ready(None);
            }
            ready!(self.step(cx, notice.close));
        }
    }

    /// Returns a handle that sends on whichever connection there is.
    #[must_use]
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.shared))
    }

    /// Ends the client. Call [`next_event`](Self::next_event) until it returns `None`.
    ///
    /// An attempt or a delay ends at once. A connection is closed with this code and reason. Nothing more is accepted.
    /// What was accepted goes out first, as long as the server takes it (`write_timeout`), and messages are received
    /// until the server's Close, for at most `close_timeout`. Without a `write_timeout`, what was accepted has
    /// `close_timeout` too. The first call counts. To end a connection without a closing handshake, drop the client.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.shared.close(code, reason);
    }

    /// Why the client is over. `None` until [`next_event`](Self::next_event) has returned `None`.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.filter(|_| self.events.is_empty())
    }

    /// Takes one step. `Ready`: there may be an event, or another step to take.
    fn step(&mut self, cx: &mut Context<'_>, close: Option<(CloseCode, String)>) -> Poll<()> {
        match &mut self.state {
            State::Over => {}
            State::Up(_) => return self.poll_up(cx, close),
            _ if close.is_some() => self.end(Outcome::Closed),
            State::Due => self.begin_attempt(),
            State::Waiting(delay) => {
                ready!(delay.as_mut().poll(cx));
                self.state = State::Due;
            }
            State::Attempting(attempting) => match ready!(attempting.as_mut().poll(cx)) {
                Ok(ws) => self.connected(ws),
                Err(cause) => self.attempt_failed(cause),
            },
        }
        Poll::Ready(())
    }

    fn begin_attempt(&mut self) {
        self.attempts += 1;
        let Parts { dial, setup, schedule, attempt_timeout, .. } = &mut self.parts;
        schedule.begin(Instant::now());
        let dialling = dial(Attempt {
            number: self.attempts,
            failures: schedule.failures(),
            credentials_refused: schedule.credentials_refused(),
        });
        let attempting = begin(dialling, setup.clone(), self.connections + 1, *attempt_timeout);
        self.state = State::Attempting(attempting);
    }

    fn connected(&mut self, ws: WebSocket<S>) {
        self.connections += 1;
        let lifetime = self.parts.max_lifetime.map(|max| self.parts.schedule.lifetime(max));
        self.state = State::Up(Service {
            since: Instant::now(),
            expiry: lifetime.map(|lifetime| Box::pin(sleep(lifetime))),
            closing: None,
        });
        self.events.push_back(Event::Up(Up {
            connection: self.connections,
            attempts: self.attempts - self.attempts_before,
            subprotocol: ws.subprotocol().map(str::to_owned),
        }));
        self.attempts_before = self.attempts;
        self.shared.set_up(Live::new(ws, self.connections));
    }

    fn attempt_failed(&mut self, cause: Cause) {
        self.parts.schedule.attempt_failed();
        let next = self.next(&cause);
        let retry_in = next.ok();
        self.events.push_back(Event::AttemptFailed(AttemptFailed {
            attempt: self.attempts,
            cause,
            retry_in,
        }));
        self.wait_or_end(next);
    }

    fn poll_up(&mut self, cx: &mut Context<'_>, close: Option<(CloseCode, String)>) -> Poll<()> {
        let State::Up(service) = &mut self.state else { return Poll::Ready(()) };
        if service.closing != Some(Closing::Requested)
            && let Some((code, reason)) = close
        {
            service.closing = Some(Closing::Requested);
            self.shared.close_live(code, &reason);
        }
        if service.closing.is_none()
            && service.expiry.as_mut().is_some_and(|expiry| expiry.as_mut().poll(cx).is_ready())
        {
            service.closing = Some(Closing::Expired);
            self.shared.close_live(CloseCode::NORMAL, "");
        }
        match ready!(self.shared.poll_live()) {
            Polled::Message(message) => self.events.push_back(Event::Message(message)),
            Polled::Ended(live) => self.disconnected(live),
        }
        Poll::Ready(())
    }

    fn disconnected(&mut self, mut live: Box<Live<S>>) {
        let State::Up(Service { since, closing, .. }) = self.state else { return };
        let (now, info) = (Instant::now(), live.close_info());
        let (connection, accepted, in_doubt) = (live.number, live.accepted, live.take_in_doubt());
        // Before the next attempt, so that there are never two connections.
        drop(live);
        let expired = closing == Some(Closing::Expired);
        let cause = if expired { Cause::Expired(info) } else { Cause::Closed(info) };
        let served = now.duration_since(since);
        self.parts.schedule.disconnected(served, expired, now);
        let next = if closing == Some(Closing::Requested) { Err(Outcome::Closed) } else { self.next(&cause) };
        let retry_in = next.ok();
        let down = Down { connection, cause, retry_in, served, accepted, in_doubt };
        self.events.push_back(Event::Down(down));
        self.wait_or_end(next);
    }

    /// Decides whether there is another attempt: the delay before it, or the outcome.
    fn next(&mut self, cause: &Cause) -> Result<Duration, Outcome> {
        let decision = (self.parts.retry_if)(cause);
        self.parts.schedule.next(cause, decision, Instant::now())
    }

    /// Waits for the next attempt, or ends with this outcome.
    fn wait_or_end(&mut self, next: Result<Duration, Outcome>) {
        match next {
            Ok(delay) => self.state = State::Waiting(Box::pin(sleep(delay))),
            Err(outcome) => self.end(outcome),
        }
    }

    fn end(&mut self, outcome: Outcome) {
        self.state = State::Over;
        self.outcome = Some(outcome);
        let unsent = self.shared.end();
        if !unsent.is_empty() {
            self.events.push_back(Event::Unsent(unsent));
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Drop for Reconnecting<S> {
    fn drop(&mut self) {
        self.shared.end().into_iter().for_each(|message| run_unlocked(Foreign::Message(message)));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> fmt::Debug for Reconnecting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Due => "due",
            State::Waiting(_) => "waiting",
            State::Attempting(_) => "attempting",
            State::Up(_) => "up",
            State::Over => "over",
        };
        f.debug_struct("Reconnecting")
            .field("state", &state)
            .field("attempts", &self.attempts)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}
