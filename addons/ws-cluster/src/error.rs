use std::{error::Error as StdError, time::Duration};

/// Why an operation of a [`Backplane`](crate::Backplane) failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackplaneError {
    /// The broker cannot be reached at the moment.
    #[error("the broker cannot be reached")]
    Disconnected {
        /// The cause, if the client library reported one.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The broker did not answer in time. For a publication, it is not known whether the broker has it.
    #[error("the broker did not answer within {after:?}")]
    TimedOut {
        /// The deadline of the operation.
        after: Duration,
    },
    /// Too many publications are in flight. Nothing was sent.
    #[error("{in_flight} bytes are in flight to the broker, the limit is {limit}")]
    Full {
        /// Bytes that wait for the broker's answer.
        in_flight: usize,
        /// The limit of the configuration, in bytes.
        limit: usize,
    },
    /// The broker refused the operation.
    #[error("the broker refused the operation")]
    Refused {
        /// The broker's reason.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A topic's name cannot be used with this broker.
    #[error("the topic name {name:?} cannot be used: {reason}")]
    TopicName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The backplane was shut down.
    #[error("the backplane was shut down")]
    Closed,
}
