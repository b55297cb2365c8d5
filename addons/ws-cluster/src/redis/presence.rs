//! Who is in a topic, as each node reports it.

use std::time::Duration;

use ::redis::from_redis_value;
use bytes::Bytes;

use super::{
    commands::{Commands, PRESENCE_GET, PRESENCE_SET, Request},
    log::millis,
    names::{Names, slot},
};
use crate::error::BackplaneError;

/// Stores the value of a node, until `ttl` has passed by the server's clock. An empty one removes it.
pub(super) async fn set(
    commands: &Commands,
    names: &Names,
    topic: &str,
    (node, value): (u64, &[u8]),
    ttl: Duration,
    within: Duration,
) -> Result<(), BackplaneError> {
    let keys = [names.presence(topic), names.presence_expiry(topic)];
    let (node, ttl) = (node.to_string(), millis(ttl.max(Duration::from_millis(1))));
    let args = [node.as_bytes(), ttl.as_bytes(), value];
    let request = Request::Script { script: &PRESENCE_SET, keys: &keys, args: &args };
    commands.call(slot(&keys[0]), &request, within).await?;
    Ok(())
}

/// The values of all nodes.
pub(super) async fn get(
    commands: &Commands,
    names: &Names,
    topic: &str,
    within: Duration,
) -> Result<Vec<(u64, Bytes)>, BackplaneError> {
    let keys = [names.presence(topic), names.presence_expiry(topic)];
    let request = Request::Script { script: &PRESENCE_GET, keys: &keys, args: &[] };
    let reply = commands.call(slot(&keys[0]), &request, within).await?;
    let values: Vec<(u64, Vec<u8>)> =
        from_redis_value(reply).map_err(|error| BackplaneError::Refused { source: error.into() })?;
    Ok(values.into_iter().map(|(node, value)| (node, value.into())).collect())
}
