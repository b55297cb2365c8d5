//! The topics of a server.

use ws_proto::{error::ConfigError, memory::MemoryBudget};

use super::ServerBuilder;
use crate::{
    options::Options,
    topics::{Topics, TopicsBuilder},
};

impl ServerBuilder {
    /// The [topics](mod@crate::topics) of the server's connections. Several servers may share them. They count against
    /// the memory budget that they were made with, and not against that of a server.
    ///
    /// Default: topics with the default settings, which count against the [`memory_budget`](Self::memory_budget).
    pub fn topics(mut self, topics: Topics) -> Self {
        (self.options.topics, self.options.topics_settings) = (Some(topics), None);
        self
    }

    /// Settings for topics of the server's own. Unless the settings have another budget, they count against the
    /// server's [`memory_budget`](Self::memory_budget). Replaces [`topics`](Self::topics).
    ///
    /// ```no_run
    /// use ws_server::{
    ///     Server,
    ///     topics::{History, TopicOptions, Topics},
    /// };
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// let options = TopicOptions::new().history(History::new(100));
    /// let server = Server::builder()
    ///     .topics_with(Topics::builder().options(options))
    ///     .bind("127.0.0.1:9001")
    ///     .await?;
    /// let topics = server.topics().clone();
    /// # Ok(())
    /// # }
    /// ```
    pub fn topics_with(mut self, settings: TopicsBuilder) -> Self {
        (self.options.topics, self.options.topics_settings) = (None, Some(Box::new(settings)));
        self
    }
}

impl Options {
    /// Makes the topics that there are settings for. `budget` is the server's.
    pub(super) fn with_topics(mut self, budget: Option<&MemoryBudget>) -> Result<Self, ConfigError> {
        if let Some(settings) = self.topics_settings.take() {
            self.topics = Some(settings.budget_unless_set(budget).build()?);
        }
        Ok(self)
    }
}
