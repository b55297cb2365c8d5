//! Backplanes, as the nodes of a cluster have them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use ws_cluster::{
    Backplane, BackplaneError, BackplaneEvent, BackplaneEvents, Health, Interest,
    redis::{RedisBackplane, RedisBackplaneBuilder},
};

use crate::server::LIMIT;

/// A backplane and its events.
pub(crate) struct Node {
    pub(crate) backplane: Arc<RedisBackplane>,
    pub(crate) events: BackplaneEvents,
}

/// Options for tests: probes are frequent, and a machine that stands still for some seconds loses no connection. A probe
/// that is lost with a server is repeated after its timeout.
pub(crate) fn quick(builder: RedisBackplaneBuilder) -> RedisBackplaneBuilder {
    builder
        .probe_interval(Duration::from_millis(200))
        .probe_timeout(Duration::from_secs(10))
        .connect_timeout(Duration::from_secs(10))
        .deadline(Duration::from_secs(20))
}

/// For tests in which a probe is not answered.
pub(crate) fn impatient(url: &str) -> RedisBackplaneBuilder {
    let patience = Duration::from_secs(3);
    quick(RedisBackplane::builder([url])).probe_timeout(patience).connect_timeout(patience)
}

impl Node {
    pub(crate) fn new(builder: RedisBackplaneBuilder) -> Self {
        let backplane = Arc::new(builder.start().unwrap());
        let events = backplane.take_events().unwrap();
        assert!(backplane.take_events().is_none());
        Self { backplane, events }
    }

    pub(crate) fn single(url: &str) -> Self {
        Self::new(quick(RedisBackplane::builder([url])))
    }

    /// The next event that is not `Up`.
    pub(crate) async fn event(&mut self) -> BackplaneEvent {
        loop {
            match self.any_event().await {
                BackplaneEvent::Up => {}
                event => return event,
            }
        }
    }

    pub(crate) async fn any_event(&mut self) -> BackplaneEvent {
        timeout(LIMIT, self.events.recv()).await.expect("an event in time").expect("the backplane lives")
    }

    /// Skips events up to this one, and returns it.
    pub(crate) async fn wait_for(&mut self, is_it: impl Fn(&BackplaneEvent) -> bool) -> BackplaneEvent {
        loop {
            let event = self.any_event().await;
            if is_it(&event) {
                return event;
            }
        }
    }

    pub(crate) async fn watch_live(&self, topics: &[&str]) -> Result<(), BackplaneError> {
        let mut interest = Interest::default();
        interest.add_live = topics.iter().map(|topic| Arc::from(*topic)).collect();
        self.backplane.watch(interest).await
    }

    pub(crate) async fn watch_logged(&self, topics: &[&str]) -> Result<(), BackplaneError> {
        let mut interest = Interest::default();
        interest.add_logged = topics.iter().map(|topic| Arc::from(*topic)).collect();
        self.backplane.watch(interest).await
    }

    pub(crate) async fn unwatch(&self, topic: &str) -> Result<(), BackplaneError> {
        let mut interest = Interest::default();
        interest.remove = vec![Arc::from(topic)];
        self.backplane.watch(interest).await
    }

    pub(crate) async fn wait_for_health(&self, health: Health) {
        let reached = async {
            while self.backplane.health() != health {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, reached).await.unwrap_or_else(|_| panic!("not {health:?}: {:?}", self.backplane));
    }
}

/// Calls until it succeeds. A call may miss its deadline while the node connects.
pub(crate) async fn until_it_succeeds<T>(call: impl AsyncFn() -> Result<T, BackplaneError>) -> T {
    let calls = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(BackplaneError::TimedOut { .. } | BackplaneError::Disconnected { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, calls).await.expect("in time")
}

pub(crate) fn text(text: impl ToString) -> Bytes {
    text.to_string().into()
}

pub(crate) fn live(topic: &str, envelope: &'static str) -> BackplaneEvent {
    BackplaneEvent::Live { topic: topic.into(), envelope: envelope.into() }
}
