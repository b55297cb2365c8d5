//! Which servers there are. It is found out again when something does not fit: a redirection, a lost connection.

mod slots;

use std::{sync::Arc, time::Duration};

use ::redis::{RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::{
    endpoint::{Connecting, Endpoint},
    random,
};

pub(super) use slots::SlotMap;

/// How the servers are found.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// One server, whose address does not change.
    Single(Endpoint),
    /// The sentinels name the master of this service.
    Sentinel { sentinels: Vec<Endpoint>, service: String, connecting: Connecting },
    /// Any server of a cluster names all of them.
    Cluster { seeds: Vec<Endpoint> },
}

/// What is known about the servers.
#[derive(Debug)]
pub(super) struct Topology {
    source: Source,
    connecting: Connecting,
    current: watch::Sender<Option<Arc<SlotMap>>>,
    wanted: Notify,
}

impl Topology {
    pub(super) fn new(source: Source, connecting: Connecting) -> Self {
        Self { source, connecting, current: watch::Sender::new(None), wanted: Notify::new() }
    }

    /// Whether publications belong to slots, with channels of their own (`SPUBLISH`).
    pub(super) fn is_sharded(&self) -> bool {
        matches!(self.source, Source::Cluster { .. })
    }

    /// Whether the servers can change.
    pub(super) fn is_fixed(&self) -> bool {
        matches!(self.source, Source::Single(_))
    }

    pub(super) fn current(&self) -> Option<Arc<SlotMap>> {
        self.current.borrow().clone()
    }

    /// What is known, once something is.
    pub(super) async fn known(&self) -> Option<Arc<SlotMap>> {
        let mut current = self.current.subscribe();
        let known = current.wait_for(Option::is_some).await.ok()?;
        known.clone()
    }

    /// Asks for a [`refresh`](Self::refresh), which the subscriber does.
    pub(super) fn doubt(&self) {
        self.wanted.notify_one();
    }

    /// Returns once what is known is in doubt.
    pub(super) async fn doubted(&self) {
        self.wanted.notified().await;
    }

    /// Finds the servers again.
    pub(super) async fn refresh(&self) -> Result<Arc<SlotMap>, RedisError> {
        let map = match &self.source {
            Source::Single(endpoint) => SlotMap::single(endpoint.clone()),
            Source::Sentinel { sentinels, service, connecting } => {
                SlotMap::single(Self::any_master(connecting, sentinels, service).await?)
            }
            Source::Cluster { seeds } => self.any_map(seeds).await?,
        };
        self.current.send_if_modified(|current| {
            let is_new = current.as_ref() != Some(&map);
            if is_new {
                *current = Some(Arc::clone(&map));
            }
            is_new
        });
        Ok(map)
    }

    /// The map of the first server that answers.
    async fn any_map(&self, seeds: &[Endpoint]) -> Result<Arc<SlotMap>, RedisError> {
        let mut candidates = shuffled(self.current().map_or_else(Vec::new, |map| map.nodes().to_vec()));
        let others = seeds.iter().filter(|seed| !candidates.contains(seed)).cloned().collect();
        candidates.extend(shuffled(others));
        let mut last = unexpected("there is no server");
        for node in candidates {
            match slots_of(&self.connecting, &node).await {
                Ok(map) => return Ok(map),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The master that the first sentinel names.
    async fn any_master(
        connecting: &Connecting,
        sentinels: &[Endpoint],
        service: &str,
    ) -> Result<Endpoint, RedisError> {
        let mut last = unexpected("there is no sentinel");
        for sentinel in shuffled(sentinels.to_vec()) {
            match master(connecting, &sentinel, service).await {
                Ok(master) => return Ok(master),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// In a random order, so that one server that knows nothing new does not answer each time.
fn shuffled(mut candidates: Vec<Endpoint>) -> Vec<Endpoint> {
    for last in (1..candidates.len()).rev() {
        let other = usize::try_from(random::number()).unwrap_or(0) % (last + 1);
        candidates.swap(last, other);
    }
    candidates
}

async fn slots_of(connecting: &Connecting, node: &Endpoint) -> Result<Arc<SlotMap>, RedisError> {
    let connection = connecting.commands(node).await?;
    let command = ::redis::cmd("CLUSTER").arg("SLOTS").to_owned();
    let reply = answer(connecting.timeout, &command, connection.requests.clone()).await?;
    let map = SlotMap::from_reply(&reply, node).ok_or_else(|| unexpected("the server knows no cluster"))?;
    Ok(Arc::new(map))
}

async fn master(connecting: &Connecting, sentinel: &Endpoint, service: &str) -> Result<Endpoint, RedisError> {
    let connection = connecting.commands(sentinel).await?;
    let command = ::redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(service).to_owned();
    let reply = answer(connecting.timeout, &command, connection.requests.clone()).await?;
    let address: Option<(String, u16)> = ::redis::from_redis_value(reply)?;
    let (host, port) = address.ok_or_else(|| unexpected("the sentinel does not know the service"))?;
    Ok(sentinel.neighbour(&host, port))
}

async fn answer(
    within: Duration,
    command: &::redis::Cmd,
    mut connection: MultiplexedConnection,
) -> Result<Value, RedisError> {
    match timeout(within, command.query_async(&mut connection)).await {
        Ok(answered) => answered,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

fn unexpected(what: &'static str) -> RedisError {
    (::redis::ErrorKind::UnexpectedReturnType, what).into()
}
