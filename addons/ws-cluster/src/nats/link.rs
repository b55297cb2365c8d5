//! One connection: requests with answers, and the order of what was sent.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::{Client, HeaderMap, Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::Instant,
};

use super::{connect::Signals, window::Room};

/// Why something could not be done on a connection.
#[derive(Debug)]
pub(super) enum LinkError {
    /// The connection is lost.
    Lost,
    /// The deadline has passed.
    TimedOut,
    /// The client library refuses it, or the server has no such service.
    Refused(Box<dyn std::error::Error + Send + Sync>),
}

/// The server knows no subscriber that answers a request.
#[derive(Debug, thiserror::Error)]
#[error("nothing answers the request; JetStream may be disabled or starting")]
pub(super) struct NoAnswer;

/// A task that ends with its handle.
#[derive(Debug)]
pub(super) struct Task(pub(super) JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) struct Link {
    /// Counts the connections of this backplane.
    pub(super) number: u64,
    pub(super) client: Client,
    pub(super) signals: Arc<Signals>,
    /// The subject of this node's probes. Answers come to subjects below it.
    pub(super) node: String,
    next_token: AtomicU64,
    answers: Mutex<HashMap<u64, oneshot::Sender<Message>>>,
    pub(super) pulse: Pulse,
}

/// Publications that wait for a sign that the server has processed them.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    waiting: Mutex<Vec<Waiting>>,
    pub(super) wanted: Notify,
}

/// What waits for that sign.
#[derive(Debug)]
pub(super) enum Waiting {
    Call(oneshot::Sender<()>),
    /// A publication whose caller does not wait any more. It may still be in the client's buffer.
    Given(#[expect(dead_code, reason = "it is dropped")] Room),
}

/// A publication that was sent. Its room is free once the server has processed it, or with the connection.
pub(super) struct Sent {
    link: Arc<Link>,
    room: Option<Room>,
}

/// A place for an answer; it is given up when this is dropped.
struct Place<'a> {
    link: &'a Link,
    token: u64,
}

/// A place for answers that keep the subjects under which a stream has stored them, so only a subscription of its own
/// shows which request they answer.
pub(super) struct Answers<'a> {
    link: &'a Link,
    subscriber: Subscriber,
    subject: String,
}

impl Link {
    pub(super) fn new(number: u64, client: Client, signals: Arc<Signals>, node: String) -> Self {
        let (next_token, answers) = (AtomicU64::new(0), Mutex::default());
        Self { number, client, signals, node, next_token, answers, pulse: Pulse::default() }
    }

    /// Sends a message. The server may not have it yet: see [`barrier`](Self::barrier).
    pub(super) async fn send(
        &self,
        subject: String,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<(), LinkError> {
        let sent = self.client.publish(subject, payload);
        self.until(deadline, async { sent.await.map_err(refused) }).await
    }

    /// Waits until the server has processed all that was sent and subscribed before.
    pub(super) async fn barrier(&self, deadline: Instant) -> Result<(), LinkError> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.pulse.waiting).push(Waiting::Call(sender));
        self.pulse.wanted.notify_one();
        self.until(deadline, async { receiver.await.map_err(|_| LinkError::Lost) }).await
    }

    /// Keeps room for a publication until it is [confirmed](Sent::confirmed).
    pub(super) fn sent(self: &Arc<Self>, room: Option<Room>) -> Sent {
        Sent { link: Arc::clone(self), room }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Message, LinkError> {
        let (sender, receiver) = oneshot::channel();
        let place = self.place(sender);
        let headers = headers.unwrap_or_default();
        let sent = self.client.publish_with_reply_and_headers(subject, place.subject(), headers, payload);
        let answer = async {
            sent.await.map_err(refused)?;
            receiver.await.map_err(|_| LinkError::Lost)
        };
        let answer = self.until(deadline, answer).await?;
        if answer.status == Some(StatusCode::NO_RESPONDERS) {
            return Err(refused(NoAnswer));
        }
        Ok(answer)
    }

    /// Makes a place for several answers.
    pub(super) async fn answers(&self, deadline: Instant) -> Result<Answers<'_>, LinkError> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let subject = format!("{}.read.{token}", self.node);
        let subscribed = self.client.subscribe(subject.clone());
        let subscriber = self.until(deadline, async { subscribed.await.map_err(refused) }).await?;
        Ok(Answers { link: self, subscriber, subject })
    }

    async fn until<T>(
        &self,
        deadline: Instant,
        done: impl Future<Output = Result<T, LinkError>>,
    ) -> Result<T, LinkError> {
        tokio::select! {
            biased;
            result = done => result,
            () = self.signals.over() => Err(LinkError::Lost),
            () = tokio::time::sleep_until(deadline) => Err(LinkError::TimedOut),
        }
    }

    fn place(&self, answer: oneshot::Sender<Message>) -> Place<'_> {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        lock(&self.answers).insert(token, answer);
        Place { link: self, token }
    }

    /// Hands answers to those who wait for them, until the connection is over.
    pub(super) async fn take_answers(self: Arc<Self>, mut subscriber: Subscriber) {
        while let Some(message) = next(&mut subscriber).await {
            let Ok(token) = super::subject::last_token(&message.subject).parse::<u64>() else { continue };
            let waiting = lock(&self.answers).remove(&token);
            if let Some(waiting) = waiting {
                let _ = waiting.send(message);
            }
        }
        self.signals.end();
    }
}

impl Pulse {
    pub(super) fn take_waiting(&self) -> Vec<Waiting> {
        std::mem::take(&mut *lock(&self.waiting))
    }
}

impl Sent {
    /// The server has it, or another connection takes it over. Returns the room.
    pub(super) fn confirmed(mut self) -> Option<Room> {
        self.room.take()
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(room) = self.room.take()
            && !self.link.signals.is_over()
        {
            lock(&self.link.pulse.waiting).push(Waiting::Given(room));
            self.link.pulse.wanted.notify_one();
        }
    }
}

impl Answers<'_> {
    /// Sends a request whose answers come here.
    pub(super) async fn request(
        &self,
        subject: String,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<(), LinkError> {
        let sent = self.link.client.publish_with_reply(subject, self.subject.clone(), payload);
        self.link.until(deadline, async { sent.await.map_err(refused) }).await
    }

    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Message, LinkError> {
        let message = next(&mut self.subscriber);
        self.link.until(deadline, async { message.await.ok_or(LinkError::Lost) }).await
    }
}

impl Place<'_> {
    fn subject(&self) -> String {
        format!("{}.{}", self.link.node, self.token)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.link.answers).remove(&self.token);
    }
}

pub(super) async fn next(subscriber: &mut Subscriber) -> Option<Message> {
    std::future::poll_fn(|cx| Pin::new(&mut *subscriber).poll_next(cx)).await
}

pub(super) fn refused(error: impl std::error::Error + Send + Sync + 'static) -> LinkError {
    LinkError::Refused(Box::new(error))
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
