use std::{fmt, sync::Arc, time::Duration};

use ws_server::topics::Topics;

use super::{
    Cluster,
    error::StartError,
    mode::Mode,
    node::Node,
    shared::{ModeOf, Settings, Shared},
};
use crate::Backplane;

/// Settings of a [`Cluster`], made with [`Cluster::builder`].
#[must_use]
pub struct ClusterBuilder {
    topics: Topics,
    backplane: Arc<dyn Backplane>,
    mode_of: Box<ModeOf>,
    settings: Settings,
}

impl ClusterBuilder {
    pub(super) fn new(topics: Topics, backplane: Arc<dyn Backplane>) -> Self {
        Self { topics, backplane, mode_of: Box::new(|_| Mode::Live), settings: Settings::default() }
    }

    /// The mode of each topic, by its name. By default, all are [`Mode::Live`].
    ///
    /// The function must give the same answer for a name each time, on each node. It is called for each publication. If
    /// it panics, the topic is live.
    pub fn mode(mut self, mode_of: impl Fn(&str) -> Mode + Send + Sync + 'static) -> Self {
        self.mode_of = Box::new(mode_of);
        self
    }

    /// The longest time that a publication, a subscription or a question waits for the broker. Default 5 s.
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.settings.deadline = deadline;
        self
    }

    /// The most bytes that are published and not yet taken by the broker; further publications wait. Default 8 MiB,
    /// from 1 KiB to 1 GiB. A single publication may be larger.
    pub const fn max_in_flight_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_in_flight = bytes;
        self
    }

    /// The most bytes of log entries that wait while the broker's history is read. Beyond it, they are dropped and read
    /// from the history. Default 16 MiB, at least 1 KiB.
    pub const fn max_held_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_held = bytes;
        self
    }

    /// How long other nodes believe that members of a node are present once it is gone. A node renews its presence
    /// after at most two fifths of it. Default 30 s, at least 1 s.
    pub const fn presence_ttl(mut self, ttl: Duration) -> Self {
        self.settings.presence_ttl = ttl;
        self
    }

    /// How long a topic stays watched once its last member of this node has left. Default 5 s.
    pub const fn linger(mut self, linger: Duration) -> Self {
        self.settings.linger = linger;
        self
    }

    /// Starts the cluster's tasks on the current tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(self) -> Result<Cluster, StartError> {
        self.check()?;
        let node = random()?;
        let shared = Shared::new(self.topics, self.backplane, node, self.settings, self.mode_of);
        Ok(Cluster { node: Arc::new(Node::start(shared)?) })
    }

    fn check(&self) -> Result<(), StartError> {
        let Settings { deadline, max_in_flight, presence_ttl, max_held, .. } = self.settings;
        let fail = |option, value: String, expected| Err(StartError::Option { option, value, expected });
        if deadline.is_zero() {
            return fail("deadline", format!("{deadline:?}"), "must be longer than zero");
        }
        if !(1024..=1 << 30).contains(&max_in_flight) {
            return fail("max_in_flight_bytes", max_in_flight.to_string(), "must be from 1 KiB to 1 GiB");
        }
        if max_held < 1024 {
            return fail("max_held_bytes", max_held.to_string(), "must be at least 1024");
        }
        if presence_ttl < Duration::from_secs(1) {
            return fail("presence_ttl", format!("{presence_ttl:?}"), "must be at least 1 s");
        }
        Ok(())
    }
}

/// A number that no other node draws.
fn random() -> Result<u64, StartError> {
    getrandom::u64().map_err(StartError::Random)
}

impl fmt::Debug for ClusterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterBuilder")
            .field("topics", &self.topics)
            .field("backplane", &self.backplane)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
