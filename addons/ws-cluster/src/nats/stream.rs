//! The streams: created if they are missing, and widened if they keep too little.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::{
    api::{Api, ApiError, StreamInfo},
    link::lock,
};
use crate::LogOptions;

/// For how long a stream recognises a publication that is sent again.
const MEMORY_FOR_DUPLICATES: Duration = Duration::from_secs(120);

/// A stream, and what is known of it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) name: String,
    shape: Shape,
    /// The most that any caller asked for.
    wanted: Mutex<LogOptions>,
    known: Mutex<Option<Known>>,
    opening: tokio::sync::Mutex<()>,
    /// Notified when a use finds that the stream was created again.
    created_again: Arc<Notify>,
}

/// What does not change.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) subjects: String,
    /// Where the messages are published again, with their sequences.
    pub(super) republish: Option<String>,
    pub(super) in_memory: bool,
    pub(super) replicas: usize,
}

/// What a server said about a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// The number of the connection on which it was said.
    pub(super) link: u64,
    /// When the stream was created.
    pub(super) epoch: u64,
    /// The last sequence at that time. Later publications have higher ones, as long as it is the same stream.
    pub(super) floor: u64,
    /// Most messages of a subject.
    pub(super) max_entries: u64,
    pub(super) max_age: Duration,
    /// The stream has a limit over all subjects, so that publications of one can push out those of another.
    pub(super) is_limited_in_all: bool,
}

impl Stream {
    pub(super) fn new(name: String, shape: Shape, wanted: LogOptions, created_again: Arc<Notify>) -> Self {
        let (known, opening) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { name, shape, wanted: Mutex::new(wanted), known, opening, created_again }
    }

    /// Asks for limits of at least this.
    pub(super) fn want(&self, options: LogOptions) {
        let mut wanted = lock(&self.wanted);
        wanted.max_entries = wanted.max_entries.max(options.max_entries);
        wanted.max_age = wanted.max_age.max(options.max_age);
    }

    /// What is known on this connection.
    pub(super) fn known(&self, link: u64) -> Option<Known> {
        lock(&self.known).filter(|known| known.link == link)
    }

    /// Whether the server named this epoch last.
    pub(super) fn is_of(&self, epoch: u64) -> bool {
        lock(&self.known).is_some_and(|known| known.epoch == epoch)
    }

    /// Asks the server again at the next use.
    pub(super) fn forget(&self) {
        if let Some(known) = &mut *lock(&self.known) {
            known.link = 0;
        }
    }

    /// Makes sure that the stream is there and keeps enough. Asks the server once per connection.
    pub(super) async fn open(&self, api: &Api<'_>) -> Result<Known, ApiError> {
        if let Some(known) = self.sufficient(api.link.number) {
            return Ok(known);
        }
        let _opening = self.opening.lock().await;
        match self.sufficient(api.link.number) {
            Some(known) => Ok(known),
            None => {
                let (known, is_other) = self.ask(api).await?;
                if is_other {
                    self.created_again.notify_one();
                }
                Ok(known)
            }
        }
    }

    /// Asks the server. Returns whether it is another stream than before.
    pub(super) async fn check(&self, api: &Api<'_>) -> Result<bool, ApiError> {
        let _opening = self.opening.lock().await;
        Ok(self.ask(api).await?.1)
    }

    fn sufficient(&self, link: u64) -> Option<Known> {
        let wanted = *lock(&self.wanted);
        self.known(link)
            .filter(|known| known.max_entries >= wanted.max_entries as u64 && known.max_age >= wanted.max_age)
    }

    async fn ask(&self, api: &Api<'_>) -> Result<(Known, bool), ApiError> {
        let wanted = *lock(&self.wanted);
        let mut info = match api.stream_info(&self.name).await {
            Err(ApiError::NoStream) => match api.create_stream(&self.name, &self.config(wanted)).await {
                // Another node was faster, with other limits.
                Err(ApiError::NameInUse) => api.stream_info(&self.name).await?,
                created => created?,
            },
            info => info?,
        };
        if let Some(config) = self.widened(&info.config, wanted) {
            tracing::info!(stream = self.name, "the stream is widened");
            info = api.update_stream(&self.name, &config).await?;
        }
        let known = known(api.link.number, &info);
        let before = lock(&self.known).replace(known);
        Ok((known, before.is_some_and(|before| before.epoch != known.epoch)))
    }

    fn config(&self, wanted: LogOptions) -> Value {
        let mut config = json!({
            "name": self.name,
            "subjects": [self.shape.subjects],
            "retention": "limits",
            "discard": "old",
            "storage": if self.shape.in_memory { "memory" } else { "file" },
            "num_replicas": self.shape.replicas,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_consumers": -1,
            "max_msgs_per_subject": wanted.max_entries,
            "max_age": nanoseconds(wanted.max_age),
            "duplicate_window": nanoseconds(wanted.max_age.min(MEMORY_FOR_DUPLICATES)),
        });
        if let Some(destination) = &self.shape.republish {
            config["republish"] = json!({ "src": self.shape.subjects, "dest": destination });
        }
        config
    }

    /// The configuration with what it lacks, or `None` if it lacks nothing.
    fn widened(&self, config: &Value, wanted: LogOptions) -> Option<Value> {
        let mut wide = config.clone();
        if most_entries(config) < wanted.max_entries as u64 {
            wide["max_msgs_per_subject"] = json!(wanted.max_entries);
        }
        if longest_age(config) < wanted.max_age {
            wide["max_age"] = json!(nanoseconds(wanted.max_age));
        }
        if let Some(destination) = &self.shape.republish
            && config["republish"]["dest"] != json!(destination)
        {
            wide["republish"] = json!({ "src": self.shape.subjects, "dest": destination });
        }
        (wide != *config).then_some(wide)
    }
}

fn known(link: u64, info: &StreamInfo) -> Known {
    let is_limited = |name: &str| info.config[name].as_i64().is_some_and(|limit| limit > 0);
    Known {
        link,
        epoch: info.created,
        floor: info.last_sequence,
        max_entries: most_entries(&info.config),
        max_age: longest_age(&info.config),
        is_limited_in_all: is_limited("max_msgs") || is_limited("max_bytes"),
    }
}

fn most_entries(config: &Value) -> u64 {
    config["max_msgs_per_subject"].as_u64().filter(|limit| *limit > 0).unwrap_or(u64::MAX)
}

fn longest_age(config: &Value) -> Duration {
    config["max_age"].as_u64().filter(|age| *age > 0).map_or(Duration::MAX, Duration::from_nanos)
}

fn nanoseconds(time: Duration) -> u64 {
    // JetStream's times are 64-bit integers with a sign.
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(i64::MAX as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Stream {
        let shape = Shape {
            subjects: "ws.log.>".into(),
            republish: Some("ws.out.>".into()),
            in_memory: false,
            replicas: 1,
        };
        Stream::new("ws_log".into(), shape, LogOptions::new(10, Duration::from_secs(60)), Arc::default())
    }

    #[test]
    fn what_this_crate_creates_is_wide_enough() {
        let (stream, wanted) = (stream(), LogOptions::new(10, Duration::from_secs(60)));
        assert_eq!(stream.widened(&stream.config(wanted), wanted), None);
    }

    #[test]
    fn limits_are_raised_and_never_lowered() {
        let stream = stream();
        let config = stream.config(LogOptions::new(10, Duration::from_secs(60)));
        assert_eq!(stream.widened(&config, LogOptions::new(5, Duration::from_secs(5))), None);
        let wide = stream.widened(&config, LogOptions::new(20, Duration::from_secs(90))).unwrap();
        assert_eq!(stream.widened(&wide, LogOptions::new(1, Duration::from_secs(1))), None);
        assert_eq!((most_entries(&wide), longest_age(&wide)), (20, Duration::from_secs(90)));
        let unlimited =
            json!({ "max_msgs_per_subject": -1, "max_age": 0, "republish": { "dest": "ws.out.>" } });
        assert_eq!(stream.widened(&unlimited, LogOptions::new(20, Duration::from_secs(90))), None);
    }

    #[test]
    fn an_update_keeps_fields_that_this_version_does_not_know() {
        let config = json!({ "max_msgs_per_subject": 5, "max_age": 0, "new": { "field": 1 } });
        let wide = stream().widened(&config, LogOptions::new(10, Duration::from_secs(60))).unwrap();
        assert_eq!(wide["new"], config["new"]);
        assert_eq!(wide["republish"]["dest"], json!("ws.out.>"));
    }
}
