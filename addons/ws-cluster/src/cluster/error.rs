use std::time::Duration;

use ws_server::topics::{PublishError, SubscribeError};

use crate::{BackplaneError, EnvelopeError};

/// Why an operation of a [`Cluster`](crate::Cluster) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The topics of this process refused the publication. Nothing was published.
    #[error("the publication was refused")]
    Publish(#[source] PublishError),
    /// The topics of this process refused the subscription.
    #[error("the subscription was refused")]
    Subscribe(#[source] SubscribeError),
    /// The broker did not take the publication, as far as is known. After [`BackplaneError::TimedOut`] it may have.
    #[error("the broker did not take the publication; {members} members of this node have it")]
    NotPublished {
        /// The members of this node that it was handed to: more than 0 only for live topics.
        members: usize,
        /// The cause.
        source: BackplaneError,
    },
    /// Publications of this node wait for the broker, and there was no room in time. Nothing was published.
    #[error("no room for {len} bytes within {after:?}, max_in_flight_bytes is {limit}")]
    Full {
        /// Length of the envelope in bytes.
        len: usize,
        /// The limit of [`max_in_flight_bytes`](crate::ClusterBuilder::max_in_flight_bytes).
        limit: usize,
        /// The deadline.
        after: Duration,
    },
    /// The topic could not be watched at the broker in time. Nothing was published, and nothing was subscribed.
    #[error("the topic is not watched at the broker after {after:?}")]
    NotWatched {
        /// The deadline.
        after: Duration,
    },
    /// The broker refused to watch the topic.
    #[error("the topic {topic:?} cannot be watched")]
    CannotWatch {
        /// The topic.
        topic: String,
        /// The broker's reason.
        reason: String,
    },
    /// The broker could not be asked.
    #[error("the broker could not be asked")]
    Broker(#[source] BackplaneError),
    /// The message cannot be put into an envelope.
    #[error("the message cannot be sent to other nodes")]
    Envelope(#[source] EnvelopeError),
    /// The cluster was shut down.
    #[error("the cluster was shut down")]
    Closed,
}

/// Why a [`Cluster`](crate::Cluster) was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An option has a value that makes no sense.
    #[error("{option} is {value}: {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is expected.
        expected: &'static str,
    },
    /// The backplane gave its events away already: it belongs to another cluster.
    #[error("the events of the backplane are taken")]
    BackplaneInUse,
    /// There is no tokio runtime here.
    #[error("a cluster starts inside a tokio runtime")]
    NoRuntime,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random(#[source] getrandom::Error),
}
