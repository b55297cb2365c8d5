use std::sync::Arc;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::{
    api::ApiError,
    connect::random,
    link::{Link, LinkError},
    shared::Shared,
    subject::{Kind, Name},
};
use crate::{BackplaneError, LogOptions, Position};

/// What a publication in flight counts in addition to its topic and envelope, in bytes.
const OVERHEAD: usize = 128;
/// A publication is sent again after a part of the deadline without an acknowledgement.
const ATTEMPTS: u32 = 3;

pub(super) async fn live(shared: &Shared, topic: &str, envelope: Bytes) -> Result<(), BackplaneError> {
    let name = shared.subjects.name(topic)?;
    let link = shared.link()?;
    let room = shared.window.reserve(topic.len() + envelope.len() + OVERHEAD)?;
    let deadline = shared.deadline();
    let subject = shared.subjects.of(Kind::Live, &name);
    let sent = link.sent(Some(room));
    link.send(subject, envelope, deadline).await.map_err(|error| shared.error(error))?;
    link.barrier(deadline).await.map_err(|error| match error {
        // The server may have it.
        LinkError::Lost => shared.error(LinkError::TimedOut),
        error => shared.error(error),
    })?;
    drop(sent.confirmed());
    Ok(())
}

pub(super) async fn logged(
    shared: &Arc<Shared>,
    topic: &str,
    envelope: Bytes,
    options: LogOptions,
) -> Result<Position, BackplaneError> {
    let name = shared.subjects.name(topic)?;
    let mut link = shared.link()?;
    let room = shared.window.reserve(topic.len() + envelope.len() + OVERHEAD)?;
    let mut sent = link.sent(Some(room));
    shared.log.want(options);
    let deadline = shared.deadline();
    let mut publication =
        Publication { shared, name: &name, envelope, id: format!("{:016x}{:016x}", random(), random()) };
    loop {
        let again_at = (Instant::now() + shared.config.deadline / ATTEMPTS).min(deadline);
        let error = match publication.attempt(&link, again_at).await {
            Ok(position) => {
                drop(sent.confirmed());
                return Ok(position);
            }
            Err(error) => error,
        };
        match error {
            ApiError::Link(LinkError::TimedOut | LinkError::Lost) => {}
            // It was removed; the next attempt creates it again.
            ApiError::NoStream => {
                shared.log.forget();
                sleep_until((Instant::now() + shared.config.deadline / 50).min(deadline)).await;
            }
            error => return Err(shared.error(error)),
        }
        if Instant::now() >= deadline {
            return Err(shared.error(LinkError::TimedOut));
        }
        let next = shared.next_link(deadline).await.map_err(|error| shared.error(error))?;
        if next.number != link.number {
            sent = next.sent(sent.confirmed());
            link = next;
        }
    }
}

struct Publication<'a> {
    shared: &'a Arc<Shared>,
    name: &'a Name,
    envelope: Bytes,
    /// The stream recognises by it what was sent again.
    id: String,
}

impl Publication<'_> {
    async fn attempt(&mut self, link: &Link, deadline: Instant) -> Result<Position, ApiError> {
        let api = self.shared.api(link, deadline);
        let known = self.shared.log.open(&api).await?;
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", self.id.as_str());
        let subject = self.shared.subjects.of(Kind::Log, self.name);
        let ack = api.publish(subject, Some(headers), self.envelope.clone()).await?;
        if ack.sequence > known.floor || ack.is_duplicate {
            return Ok(Position { epoch: known.epoch, offset: ack.sequence });
        }
        // Another node has created the stream again meanwhile.
        self.shared.log.forget();
        self.shared.resync.notify_one();
        let known = self.shared.log.open(&api).await?;
        Ok(Position { epoch: known.epoch, offset: ack.sequence })
    }
}
