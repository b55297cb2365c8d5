//! Topics for the callbacks of a handler.

use ws_proto::Message;

use crate::topics::{JoinError, Member, PublishError, Published, SubscribeError, Subscribed, Topics};

use super::conn::Conn;

impl Conn<'_> {
    /// The topics of the server.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.state.registration.shard().server.topics
    }

    /// Makes the connection a member of its server's topics, or returns the member that it is, as
    /// [`Topics::join`] does.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn member(&mut self) -> Result<Member, JoinError> {
        if !self.is_open() {
            return Err(JoinError::Closed);
        }
        let sender = self.sender();
        self.topics().join(&sender)
    }

    /// Subscribes to a topic, as [`Member::subscribe`] does. Makes the connection a member.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&mut self, topic: &str) -> Result<Subscribed, SubscribeError> {
        self.member()?.subscribe(topic)
    }

    /// Ends a subscription, as [`Member::unsubscribe`] does. Returns whether there was one.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.known_member().is_some_and(|member| member.unsubscribe(topic))
    }

    /// Publishes a message to all other members of a topic, as [`Member::publish`] does. It arrives behind what this
    /// callback has published and sent before, and in front of what it sends later. Use [`topics`](Self::topics) to
    /// publish to all members, this one included.
    ///
    /// # Errors
    /// [`PublishError`]. Nothing was published then.
    pub fn publish(&mut self, topic: &str, message: impl Into<Message>) -> Result<Published, PublishError> {
        match self.known_member() {
            Some(member) => member.publish(topic, message),
            // It gets no publications, so it is none of the others.
            None => self.topics().publish(topic, message),
        }
    }

    /// The member that the connection is already.
    fn known_member(&mut self) -> Option<Member> {
        self.state.mailbox_with_feed()?;
        self.member().ok()
    }
}
