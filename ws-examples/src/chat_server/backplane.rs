//! Publishes and subscribes: in this process alone, or together with others through a broker.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use tokio::time::{Interval, interval};
use ws_cluster::{
    Cluster, ClusterError, LogOptions, Mode, PresenceEvent, PresenceEvents, nats::NatsBackplane,
    redis::RedisBackplane,
};
use ws_server::topics::{
    Member, MemberId, PublishError, PublishOptions, SubscribeError, SubscribeOptions, Subscribed, TopicEvent,
    TopicEvents, Topics,
};

use crate::options::{Broker, Options};

/// How often a node looks for members of nodes that are gone.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How long the members of a node that is gone count as present.
const PRESENCE_TTL: Duration = Duration::from_secs(10);

/// The topics of this process, and the other processes.
pub(crate) struct Backplane {
    topics: Topics,
    cluster: Option<Cluster>,
}

/// A message was not published, or a room not entered, because of the broker.
#[derive(Debug)]
pub(crate) struct Unreachable;

/// Why a member has not subscribed.
pub(crate) enum Refused {
    /// The topics of this process refused.
    Here(SubscribeError),
    /// The broker cannot be reached.
    Broker,
}

/// Who comes and goes.
pub(crate) enum Change {
    Joined {
        topic: String,
        person: Bytes,
    },
    Left {
        topic: String,
        id: String,
    },
    /// Some changes are not known: look at all.
    Some,
}

/// The changes of all processes.
pub(crate) struct Changes {
    node: String,
    local: TopicEvents,
    others: Option<(PresenceEvents, Interval)>,
}

impl Backplane {
    /// `is_logged` tells which topics are kept.
    pub(crate) fn start(topics: Topics, options: &Options, is_logged: fn(&str) -> bool) -> io::Result<Self> {
        let log = LogOptions::new(options.history, crate::rooms::KEPT_FOR);
        let builder = match &options.broker {
            None => return Ok(Self { topics, cluster: None }),
            Some(Broker::Redis(url)) => {
                let backplane =
                    RedisBackplane::builder([url]).prefix("ws-chat").start().map_err(io::Error::other)?;
                Cluster::builder(&topics, backplane)
            }
            Some(Broker::Nats(url)) => {
                let backplane = NatsBackplane::builder(url).prefix("ws-chat").log(log).start();
                Cluster::builder(&topics, backplane.map_err(io::Error::other)?)
            }
        };
        let builder = builder.presence_ttl(PRESENCE_TTL);
        let mode = move |topic: &str| if is_logged(topic) { Mode::Logged(log) } else { Mode::Live };
        let cluster = builder.mode(mode).start().map_err(io::Error::other)?;
        Ok(Self { topics, cluster: Some(cluster) })
    }

    pub(crate) const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The id of a member of this process. No member of any process has the same.
    pub(crate) fn id(&self, member: MemberId) -> String {
        id(&self.node(), member.get())
    }

    fn node(&self) -> String {
        self.cluster.as_ref().map_or_else(|| "here".to_owned(), |cluster| cluster.id().to_string())
    }

    /// Publishes to the members of all processes. A message of a logged topic is kept.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        message: String,
        except: Option<MemberId>,
    ) -> Result<(), Unreachable> {
        let options = PublishOptions::new().except(except);
        match &self.cluster {
            Some(cluster) => match cluster.publish_with(topic, message, options).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    eprintln!("chat-server: {}", ws_examples::with_causes(&error));
                    Err(Unreachable)
                }
            },
            None => self.publish_here(topic, message, options).await,
        }
    }

    /// Publishes to the members of this process.
    pub(crate) async fn publish_here(
        &self,
        topic: &str,
        message: String,
        options: PublishOptions,
    ) -> Result<(), Unreachable> {
        loop {
            match self.topics.publish_with(topic, message.clone(), options.clone()) {
                Ok(_) => return Ok(()),
                Err(PublishError::Full { .. }) => self.topics.ready().await,
                Err(_) => return Err(Unreachable),
            }
        }
    }

    pub(crate) async fn subscribe(
        &self,
        member: &Member,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Subscribed, Refused> {
        let Some(cluster) = &self.cluster else {
            return member.subscribe_with(topic, options).map_err(Refused::Here);
        };
        cluster.subscribe_with(member, topic, options).await.map_err(|error| match error {
            ClusterError::Subscribe(error) => Refused::Here(error),
            error => {
                eprintln!("chat-server: {}", ws_examples::with_causes(&error));
                Refused::Broker
            }
        })
    }

    /// What the members of a topic show of themselves, in all processes. If the broker cannot be asked, in this one.
    pub(crate) async fn presence(&self, topic: &str) -> Vec<Bytes> {
        if let Some(cluster) = &self.cluster
            && let Ok(present) = cluster.presence(topic).await
        {
            return present.into_iter().map(|present| present.data).collect();
        }
        self.topics.presence(topic).into_iter().map(|present| present.data).collect()
    }

    /// Who comes and goes from now on.
    pub(crate) fn changes(&self) -> Changes {
        let others = self.cluster.as_ref().map(|cluster| (cluster.presence_events(), interval(LOOK_EVERY)));
        Changes { node: self.node(), local: self.topics.events(), others }
    }

    pub(crate) async fn shut_down(&self) {
        if let Some(cluster) = &self.cluster {
            cluster.shut_down().await;
        }
    }
}

impl Changes {
    /// The next change. `None` once the topics are gone.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        loop {
            let change = match &mut self.others {
                None => self.of_this_process().await?,
                Some((events, look)) => tokio::select! {
                    event = self.local.recv() => local(event?, &self.node),
                    event = events.recv() => elsewhere(event?),
                    _ = look.tick() => Some(Change::Some),
                },
            };
            if change.is_some() {
                return change;
            }
        }
    }

    async fn of_this_process(&mut self) -> Option<Option<Change>> {
        Some(local(self.local.recv().await?, &self.node))
    }
}

/// An event of this process, if it says who comes or goes.
fn local(event: TopicEvent, node: &str) -> Option<Change> {
    match event {
        TopicEvent::Joined { topic, presence, .. } => {
            Some(Change::Joined { topic: topic.as_ref().to_owned(), person: presence })
        }
        TopicEvent::Left { topic, member } => {
            Some(Change::Left { topic: topic.as_ref().to_owned(), id: id(node, member.get()) })
        }
        TopicEvent::Lagged(_) => Some(Change::Some),
        _ => None,
    }
}

/// An event of another process.
fn elsewhere(event: PresenceEvent) -> Option<Change> {
    match event {
        PresenceEvent::Joined { topic, data, .. } => {
            Some(Change::Joined { topic: topic.as_ref().to_owned(), person: data })
        }
        PresenceEvent::Left { topic, node, member } => {
            Some(Change::Left { topic: topic.as_ref().to_owned(), id: id(&node.to_string(), member) })
        }
        PresenceEvent::Lagged(_) => Some(Change::Some),
        _ => None,
    }
}

fn id(node: &str, member: u64) -> String {
    format!("{node}-{member}")
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("The server cannot pass messages on at the moment.")
    }
}
