//! Events of a server under test, as a stream that the test waits on.

use super::ServerRunner;
use crate::raw_peer::DEADLINE;
use bytes::Bytes;
use std::ops::Deref;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use ws_server::{CloseInfo, Message, ShutdownReport, message::Completion};

/// An event on one of the server's connections. The async API reports only `Opened`, `Message` and `Closed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The connection is open.
    Opened,
    /// A message arrived.
    Message(Message),
    /// A ping arrived.
    Ping(Bytes),
    /// A pong arrived.
    Pong(Bytes),
    /// `on_write_complete`: an owned payload was written or cut off.
    WriteComplete(Completion),
    /// `on_writable`: the write queue has room again after a send was refused.
    Writable,
    /// `on_handshake_failed`: the handshake of an accepted request failed.
    HandshakeFailed,
    /// The connection is over.
    Closed(CloseInfo),
}

/// Reports events to the test. Each connection has a clone.
#[derive(Debug, Clone)]
pub struct Reporter(UnboundedSender<Event>);

impl Reporter {
    /// Reports an event.
    pub fn report(&self, event: Event) {
        // An error means that the test has dropped the receiver.
        let _ = self.0.send(event);
    }

    pub(super) fn channel() -> (Self, UnboundedReceiver<Event>) {
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }
}

/// A running server and its events. It derefs to its [`ServerRunner`].
#[derive(Debug)]
#[must_use]
pub struct ObservedServer {
    runner: ServerRunner,
    events: UnboundedReceiver<Event>,
}

impl ObservedServer {
    pub(super) fn new(runner: ServerRunner, events: UnboundedReceiver<Event>) -> Self {
        Self { runner, events }
    }

    /// The next event.
    ///
    /// # Panics
    /// When none comes within [`DEADLINE`].
    pub async fn next(&mut self) -> Event {
        let next = timeout(DEADLINE, self.events.recv()).await;
        next.unwrap_or_else(|_| panic!("no event within {DEADLINE:?}")).expect("the server still runs")
    }

    /// Checks that the next event is `expected`.
    ///
    /// # Panics
    /// When it is another one.
    pub async fn expect(&mut self, expected: Event) {
        assert_eq!(self.next().await, expected);
    }

    /// Waits for this event and skips others.
    ///
    /// # Panics
    /// When it does not come in time.
    pub async fn wait_for(&mut self, expected: &Event) {
        while self.next().await != *expected {}
    }

    /// Checks that the next event is the end of a connection, and returns its [`CloseInfo`].
    ///
    /// # Panics
    /// When it is another event.
    pub async fn expect_closed(&mut self) -> CloseInfo {
        match self.next().await {
            Event::Closed(info) => info,
            event => panic!("expected the end of the connection, got {event:?}"),
        }
    }

    /// Waits for the end of a connection and skips other events.
    ///
    /// # Panics
    /// When none ends in time.
    pub async fn closed(&mut self) -> CloseInfo {
        self.rest_and_closed().await.1
    }

    /// All events up to the end of a connection, and its [`CloseInfo`].
    ///
    /// # Panics
    /// When none ends in time.
    pub async fn rest_and_closed(&mut self) -> (Vec<Event>, CloseInfo) {
        let mut rest = Vec::new();
        loop {
            match self.next().await {
                Event::Closed(info) => return (rest, info),
                event => rest.push(event),
            }
        }
    }

    /// [`ServerRunner::stop`]; also returns the events that the test has not taken.
    ///
    /// # Panics
    /// As that method.
    pub async fn stop_and_drain(mut self) -> (ShutdownReport, Vec<Event>) {
        let report = self.runner.stop().await;
        let mut rest = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            rest.push(event);
        }
        (report, rest)
    }

    /// [`ServerRunner::stop`].
    ///
    /// # Panics
    /// As that method.
    pub async fn stop(self) -> ShutdownReport {
        self.runner.stop().await
    }

    /// [`ServerRunner::stop_within`].
    ///
    /// # Panics
    /// As that method.
    pub async fn stop_within(self, grace: Duration) -> ShutdownReport {
        self.runner.stop_within(grace).await
    }
}

impl Deref for ObservedServer {
    type Target = ServerRunner;

    fn deref(&self) -> &ServerRunner {
        &self.runner
    }
}
