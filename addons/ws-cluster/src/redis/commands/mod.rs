//! Commands: each goes to the server that has the slot, until it is done or its deadline is over.
//!
//! A command is sent again only if the server surely has not executed it. The `redis` crate's client for clusters also
//! repeats commands whose answer was lost, which would publish twice.

mod node;
mod scripts;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{RedisError, Value};
use tokio::time::{sleep, timeout};

use super::{
    endpoint::{Connecting, Endpoint},
    random,
    topology::Topology,
};
use crate::error::BackplaneError;
use node::Node;

pub(super) use node::Request;
pub(super) use scripts::{PRESENCE_GET, PRESENCE_SET, PROBING, PUBLISH_LOGGED, READ_LOG};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The connections for commands.
#[derive(Debug)]
pub(super) struct Commands {
    topology: Arc<Topology>,
    connecting: Connecting,
    nodes: Mutex<HashMap<Endpoint, Arc<Node>>>,
    is_closed: AtomicBool,
}

/// What an error means for the next attempt.
enum Verdict {
    /// Another server has the slot.
    Moved(Endpoint),
    /// Another server has the keys of this request already.
    Ask(Endpoint),
    /// The server did not execute it, but it may later.
    Later,
    /// As `Later`, and the connection leads to the wrong server.
    WrongServer,
    /// The connection broke. It is not known whether the server executed the request.
    Broken,
    Refused,
}

impl Commands {
    pub(super) fn new(topology: Arc<Topology>, connecting: Connecting) -> Self {
        Self { topology, connecting, nodes: Mutex::default(), is_closed: AtomicBool::new(false) }
    }

    /// Executes a request on the server that has the slot.
    pub(super) async fn call(
        &self,
        slot: u16,
        request: &Request<'_>,
        within: Duration,
    ) -> Result<Value, BackplaneError> {
        let mut obstacle = None;
        match timeout(within, self.attempts(slot, request, &mut obstacle)).await {
            Ok(answered) => answered,
            Err(_) => Err(match obstacle {
                Some(error) => disconnected(error),
                None => BackplaneError::TimedOut { after: within },
            }),
        }
    }

    /// `obstacle` is why the request is not with a server at the moment.
    async fn attempts(
        &self,
        slot: u16,
        request: &Request<'_>,
        obstacle: &mut Option<RedisError>,
    ) -> Result<Value, BackplaneError> {
        *obstacle = Some(io::Error::from(io::ErrorKind::NotConnected).into());
        let mut redirected = None;
        for attempt in 0.. {
            if attempt > 0 && redirected.is_none() {
                self.topology.doubt();
                sleep(random::backoff(attempt, FIRST_PAUSE, LONGEST_PAUSE)).await;
            }
            let (endpoint, asking) = match redirected.take() {
                Some(redirected) => redirected,
                None => match self.topology.known().await.and_then(|map| map.node(slot).cloned()) {
                    Some(endpoint) => (endpoint, false),
                    None => continue,
                },
            };
            let node = self.node(&endpoint)?;
            let connection = match node.connection(&self.connecting).await {
                Ok(connection) => connection,
                Err(error) => {
                    *obstacle = Some(error);
                    continue;
                }
            };
            *obstacle = None;
            let error = match request.send(&connection, asking).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            match verdict(&error, &endpoint) {
                // Two servers may point at each other for a while.
                Verdict::Moved(to) if attempt % 4 < 3 => {
                    self.topology.doubt();
                    redirected = Some((to, false));
                }
                Verdict::Ask(to) if attempt % 4 < 3 => redirected = Some((to, true)),
                Verdict::Moved(_) | Verdict::Ask(_) | Verdict::Later => {}
                Verdict::WrongServer => node.forget(&connection).await,
                Verdict::Broken => {
                    node.forget(&connection).await;
                    self.topology.doubt();
                    return Err(self.closed().err().unwrap_or_else(|| disconnected(error)));
                }
                Verdict::Refused => return Err(BackplaneError::Refused { source: error.into() }),
            }
            *obstacle = Some(error);
        }
        Err(BackplaneError::Closed)
    }

    /// Ends the connection to a server, which is taken for dead.
    pub(super) fn end(&self, endpoint: &Endpoint) {
        let node = self.nodes().remove(endpoint);
        if let Some(node) = node {
            node.end();
        }
    }

    /// Forgets all other servers. Requests in flight continue.
    pub(super) fn keep(&self, servers: &[Endpoint]) {
        let gone: Vec<Arc<Node>> = self
            .nodes()
            .extract_if(|endpoint, _| !servers.contains(endpoint))
            .map(|(_, node)| node)
            .collect();
        drop(gone);
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let nodes = std::mem::take(&mut *self.nodes());
        for node in nodes.into_values() {
            node.end();
        }
    }

    pub(super) fn closed(&self) -> Result<(), BackplaneError> {
        if self.is_closed.load(Ordering::Relaxed) { Err(BackplaneError::Closed) } else { Ok(()) }
    }

    fn node(&self, endpoint: &Endpoint) -> Result<Arc<Node>, BackplaneError> {
        let mut nodes = self.nodes();
        self.closed()?;
        let new = || Arc::new(Node::new(endpoint.clone()));
        Ok(Arc::clone(nodes.entry(endpoint.clone()).or_insert_with(new)))
    }

    fn nodes(&self) -> MutexGuard<'_, HashMap<Endpoint, Arc<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verdict(error: &RedisError, asked: &Endpoint) -> Verdict {
    let other = || error.redirect_node().and_then(|(address, _)| asked.neighbour_at(address));
    match error.code() {
        Some("MOVED") => other().map_or(Verdict::Later, Verdict::Moved),
        Some("ASK") => other().map_or(Verdict::Later, Verdict::Ask),
        Some("TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" | "BUSY") => Verdict::Later,
        Some("READONLY") => Verdict::WrongServer,
        _ if error.is_io_error() || error.is_unrecoverable_error() => Verdict::Broken,
        _ => Verdict::Refused,
    }
}

fn disconnected(error: RedisError) -> BackplaneError {
    BackplaneError::Disconnected { source: Some(error.into()) }
}
