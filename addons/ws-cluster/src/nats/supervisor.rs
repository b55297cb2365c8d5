//! Keeps a connection, for ever: makes it, brings it up, watches it, and begins again.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    api::ApiError,
    connect::{Connector, Signals},
    link::{Link, LinkError, Task, Waiting, next, refused},
    receive,
    shared::Shared,
};
use crate::{BackplaneEvent, GapCause, Topics};

/// How long a connection must have lasted, so that the next attempt comes after a short delay.
const LASTING: Duration = Duration::from_secs(10);
/// At most one gap is reported in this time.
const BETWEEN_GAPS: Duration = Duration::from_millis(100);
/// The shortest time from one question about the log to the next one that a [doubt](Shared::doubt) causes.
const BETWEEN_DOUBTS: Duration = Duration::from_secs(1);

/// Connects, and connects again, until the task is aborted.
pub(super) async fn supervise(shared: Arc<Shared>, mut connector: Connector) {
    let mut number = 0;
    loop {
        let result = connector.connect().await;
        match result {
            Ok((client, signals)) => {
                number += 1;
                let began = Instant::now();
                if let Err(error) = run(&shared, number, client, signals).await {
                    tracing::warn!(?error, "the connection to NATS could not be used");
                }
                if shared.is_closed() {
                    return;
                }
                if began.elapsed() >= LASTING { connector.succeeded() } else { connector.failed() }
            }
            Err(error) => tracing::warn!(error = %error.kind(), "cannot connect to NATS"),
        }
        sleep(connector.delay()).await;
    }
}

/// Uses a connection until it is over.
async fn run(
    shared: &Arc<Shared>,
    number: u64,
    client: Client,
    signals: Arc<Signals>,
) -> Result<(), LinkError> {
    let node = shared.subjects.node(shared.id);
    let answers = client.subscribe(format!("{node}.*")).await.map_err(refused)?;
    let pulses = client.subscribe(node.clone()).await.map_err(refused)?;
    let link = Arc::new(Link::new(number, client, signals, node));
    let _tasks = [
        Task(tokio::spawn(Arc::clone(&link).take_answers(answers))),
        Task(tokio::spawn(pulse(Arc::clone(shared), Arc::clone(&link), pulses))),
        Task(tokio::spawn(report_slow(Arc::clone(shared), Arc::clone(&link)))),
    ];
    shared.is_deaf.store(false, Ordering::Release);
    shared.set_link(Some(Arc::clone(&link)));
    tracing::debug!(number, "connected to NATS");

    let mut was_up = false;
    while let Ok(()) = bring_up(shared, &link).await {
        shared.is_up.store(true, Ordering::Release);
        was_up = true;
        shared.push(BackplaneEvent::Up);
        if stay_up(shared, &link).await.is_err() {
            break;
        }
        go_down(shared);
        was_up = false;
    }
    link.signals.end();
    shared.set_link(None);
    shared.watched.missed();
    if was_up {
        go_down(shared);
    }
    Ok(())
}

fn go_down(shared: &Shared) {
    shared.is_up.store(false, Ordering::Release);
    shared.push(BackplaneEvent::Down);
}

/// Watches all topics again. Tries until it works; an error means that the connection is over.
async fn bring_up(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<(), LinkError> {
    let mut delay = Duration::from_millis(100);
    loop {
        match try_to_bring_up(shared, link).await {
            Ok(()) => return Ok(()),
            Err(ApiError::Link(LinkError::Lost)) => return Err(LinkError::Lost),
            Err(error) => tracing::warn!(?error, "connected to NATS, but not ready"),
        }
        tokio::select! {
            () = link.signals.over() => return Err(LinkError::Lost),
            () = sleep(delay) => delay = (delay * 2).min(Duration::from_secs(5)),
        }
    }
}

async fn try_to_bring_up(shared: &Arc<Shared>, link: &Arc<Link>) -> Result<(), ApiError> {
    let deadline = shared.deadline();
    if timeout(Duration::ZERO, shared.resync.notified()).await.is_ok() {
        shared.watched.forget_offsets();
    }
    // The stream comes first: entries that arrive before its epoch is known are not reported.
    if shared.watched.has_logged() {
        check_log(shared, link, deadline).await?;
    }
    receive::subscribe(shared, link).await?;
    link.barrier(deadline).await?;
    Ok(())
}

/// Returns whether the log is another one than before.
async fn check_log(shared: &Shared, link: &Link, deadline: Instant) -> Result<bool, ApiError> {
    let is_other = shared.log.check(&shared.api(link, deadline)).await?;
    if is_other {
        tracing::warn!(
            stream = shared.log.name,
            "the NATS stream was created again, so its topics begin a new epoch"
        );
        shared.watched.forget_offsets();
    }
    Ok(is_other)
}

/// Returns `Ok` if all topics must be watched again, and an error when the connection is over.
async fn stay_up(shared: &Shared, link: &Link) -> Result<(), LinkError> {
    let mut next_doubt = Instant::now();
    loop {
        let in_doubt = async {
            shared.doubt.notified().await;
            sleep_until(next_doubt).await;
        };
        tokio::select! {
            () = link.signals.over() => return Err(LinkError::Lost),
            () = shared.resync.notified() => {
                shared.watched.forget_offsets();
                return Ok(());
            }
            () = in_doubt => {}
            () = sleep(shared.config.probe_interval) => {}
        }
        if shared.watched.has_logged() {
            next_doubt = Instant::now() + BETWEEN_DOUBTS;
            match check_log(shared, link, shared.deadline()).await {
                Ok(false) => {}
                Ok(true) => return Ok(()),
                Err(error) => tracing::warn!(?error, "cannot ask the NATS server about the stream"),
            }
        }
    }
}

/// Publishes to this node itself and waits to hear it: whenever a task waits for a [barrier](Link::barrier), and
/// as a probe. What was sent on the connection before was then processed, since the server handles it in order.
async fn pulse(shared: Arc<Shared>, link: Arc<Link>, mut subscriber: Subscriber) {
    let mut number = 0_u64;
    loop {
        let _ = timeout(shared.config.probe_interval, link.pulse.wanted.notified()).await;
        let waiting = link.pulse.take_waiting();
        number += 1;
        let exchange = exchange(&link, &mut subscriber, number);
        tokio::pin!(exchange);
        let mut heard = timeout(shared.config.probe_timeout, &mut exchange).await;
        if heard.is_err() {
            tracing::warn!(after = ?shared.config.probe_timeout, "this node does not hear the NATS server");
            shared.is_deaf.store(true, Ordering::Release);
            heard = timeout(shared.config.probe_timeout, exchange).await;
        }
        if !matches!(heard, Ok(true)) {
            link.signals.end();
            return;
        }
        shared.is_deaf.store(false, Ordering::Release);
        shared.watched.hears();
        for waiting in waiting {
            if let Waiting::Call(call) = waiting {
                // The call may have been given up.
                let _ = call.send(());
            }
        }
    }
}

async fn exchange(link: &Link, subscriber: &mut Subscriber, number: u64) -> bool {
    let payload = Bytes::copy_from_slice(&number.to_be_bytes());
    if link.client.publish(link.node.clone(), payload.clone()).await.is_err() {
        return false;
    }
    while let Some(message) = next(subscriber).await {
        if message.payload == payload {
            return true;
        }
    }
    false
}

/// Reports that the client has dropped messages. It does not say of which topics.
async fn report_slow(shared: Arc<Shared>, link: Arc<Link>) {
    loop {
        link.signals.slow.notified().await;
        shared.watched.missed();
        shared.push(BackplaneEvent::Gap { topics: Topics::All, cause: GapCause::SlowConsumer });
        sleep(BETWEEN_GAPS).await;
    }
}
