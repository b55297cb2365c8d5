//! What nodes know about who is in a topic: one message per node and topic, in a stream of its own in memory.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    api::{ApiError, Stored},
    shared::Shared,
    subject::last_token,
};
use crate::{BackplaneError, LogOptions};

/// JetStream's shortest age.
const SHORTEST: Duration = Duration::from_millis(100);

/// Stores a value behind its TTL in milliseconds, 8 bytes.
pub(super) async fn set(
    shared: &Shared,
    topic: &str,
    node: u64,
    value: Bytes,
    ttl: Duration,
) -> Result<(), BackplaneError> {
    let name = shared.subjects.name(topic)?;
    let link = shared.link()?;
    let api = shared.api(&link, shared.deadline());
    let ttl = ttl.max(SHORTEST);
    shared.presence.want(LogOptions::new(1, ttl));
    let mut message = BytesMut::with_capacity(8 + value.len());
    message.put_u64(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    message.put(value);
    let message = message.freeze();
    for _ in 0..2 {
        shared.presence.open(&api).await.map_err(|error| shared.error(error))?;
        match api.publish(shared.subjects.presence(&name, node), None, message.clone()).await {
            // The server was restarted, and the stream is held in memory.
            Err(ApiError::NoStream) => shared.presence.forget(),
            result => return result.map(drop).map_err(|error| shared.error(error)),
        }
    }
    Err(shared.error(ApiError::NoStream))
}

pub(super) async fn get(shared: &Shared, topic: &str) -> Result<Vec<(u64, Bytes)>, BackplaneError> {
    let name = shared.subjects.name(topic)?;
    let link = shared.link()?;
    let api = shared.api(&link, shared.deadline());
    let known = shared.presence.open(&api).await.map_err(|error| shared.error(error))?;
    let subject = shared.subjects.all_presence(&name);
    let (mut values, mut from, mut repeated) = (HashMap::new(), 1, 0);
    loop {
        match api.from(&shared.presence.name, &subject, from).await {
            Ok(stored) => {
                from = stored.sequence + 1;
                let Some((node, value)) = value(stored, known.max_age) else { continue };
                if values.insert(node, value).is_some() {
                    repeated += 1;
                }
            }
            Err(ApiError::NoMessage | ApiError::NoStream) => break,
            Err(error) => return Err(shared.error(error)),
        }
        // Values that are stored while this reads come again, behind the others.
        if repeated > values.len() {
            break;
        }
    }
    Ok(values.into_iter().filter_map(|(node, value)| Some((node, value?))).collect())
}

/// The node and its value, `None` if it was removed or has expired.
fn value(stored: Stored, max_age: Duration) -> Option<(u64, Option<Bytes>)> {
    let node = u64::from_str_radix(last_token(&stored.subject), 16).ok()?;
    let mut value = stored.payload;
    let ttl = Duration::from_millis(value.try_get_u64().ok()?);
    // The server removes what is older than the longest TTL, by its own clock. Only for shorter ones, clocks of two
    // machines are compared.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let has_expired = ttl < max_age && now.saturating_sub(Duration::from_nanos(stored.time)) > ttl;
    Some((node, (!value.is_empty() && !has_expired).then_some(value)))
}
