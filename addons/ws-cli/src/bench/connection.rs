//! One connection of the load.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use ws_client::{CloseCode, Message};

use super::schedule::Schedule;
use crate::{connect::Socket, latency::Latencies};

pub(super) struct Load {
    pub(super) message: Message,
    pub(super) schedule: Schedule,
    /// How long to wait for answers after the last message.
    pub(super) wait: Duration,
    pub(super) latencies: Arc<Mutex<Latencies>>,
}

/// What one connection measured.
pub(super) struct Part {
    pub(super) expected: u64,
    pub(super) received: u64,
    /// The time of the last answer.
    pub(super) last: Option<Instant>,
    /// Whether the connection ended before its last answer.
    pub(super) has_failed: bool,
}

/// Sends each message when it is due, and measures the answers. The answers come in the order of the messages.
pub(super) async fn run(mut ws: Socket, load: Load) -> Part {
    let sender = ws.sender();
    let schedule = load.schedule;
    let message = load.message;
    let sending = tokio::spawn(async move {
        for number in 0..schedule.count() {
            sleep_until(schedule.due(number)).await;
            // A send that waits makes the next ones late. Their latency counts from when they were due.
            if sender.send(message.clone()).await.is_err() {
                return;
            }
        }
    });
    let mut part = Part { expected: schedule.count(), received: 0, last: None, has_failed: false };
    let end = schedule.end(load.wait);
    while part.received < part.expected {
        let Ok(answer) = tokio::time::timeout_at(end, ws.recv()).await else { break };
        if answer.is_none() {
            part.has_failed = true;
            break;
        }
        let now = Instant::now();
        let latency = now.saturating_duration_since(schedule.due(part.received));
        load.latencies.lock().unwrap_or_else(PoisonError::into_inner).record(latency);
        part.received += 1;
        part.last = Some(now);
    }
    sending.abort();
    // The result is complete; a peer that does not answer the Close changes nothing.
    let _ = timeout(Duration::from_secs(1), ws.close(CloseCode::NORMAL, "")).await;
    part
}
