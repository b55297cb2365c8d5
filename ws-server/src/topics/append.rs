//! Publications that a broker has numbered.

use ws_proto::Message;
use ws_tokio::internal::{Foreign, run_unlocked};

use super::{
    Inner, Topics,
    error::AppendError,
    history::Log,
    options::PublishOptions,
    outcome::Appended,
    position::Position,
    publish::{Draft, Numbered},
};

impl Topics {
    /// Publishes a message that a broker has numbered, to all members of this process. For brokers such as
    /// `ws-cluster`.
    ///
    /// `previous` is the offset of the publication in front of it in this topic, if the broker reports it. Without it,
    /// gaps are not noticed. The first publication of a topic is accepted at any position. It is kept if the topic has
    /// a history; [`PublishOptions::history`] says no more than whether it may create the topic.
    ///
    /// # Errors
    /// [`AppendError`]. Nothing was published then.
    pub fn append(
        &self,
        topic: &str,
        position: Position,
        previous: Option<u64>,
        message: impl Into<Message>,
        options: PublishOptions,
    ) -> Result<Appended, AppendError> {
        let message = message.into();
        let draft = Draft { message: &message, options: &options };
        let result = self.0.append(topic, position, previous, draft);
        run_unlocked(Foreign::Message(message));
        result
    }

    /// Moves a topic to a position that a broker has named: the history is dropped, and later publications are appended
    /// behind `position`. Use it for a new epoch, and after a gap that cannot be filled. Does nothing if the topic does
    /// not exist.
    pub fn reset(&self, topic: &str, position: Position) {
        let Some(topic) = self.0.directory.get(topic) else { return };
        let Some(mut state) = topic.lock() else { return };
        state.log.reset(position);
        let is_freed = state.free_if_unused();
        drop(state);
        if is_freed {
            self.0.directory.remove(&topic);
        }
    }
}

impl Inner {
    fn append(
        &self,
        name: &str,
        position: Position,
        previous: Option<u64>,
        draft: Draft<'_>,
    ) -> Result<Appended, AppendError> {
        let published = self.publish_numbered(name, draft, |_, state| {
            let is_new = admit(&mut state.log, position, previous)?;
            Ok::<_, AppendError>(if is_new { Numbered::As(Some(position)) } else { Numbered::Before })
        })?;
        Ok(published
            .map_or(Appended::Duplicate, |published| Appended::Delivered { members: published.members }))
    }
}

/// Notes the position of a publication. Returns whether it is new.
fn admit(log: &mut Log, position: Position, previous: Option<u64>) -> Result<bool, AppendError> {
    let Position { epoch, offset } = position;
    let current = log.position().filter(|_| log.is_by_broker() || log.is_by_process());
    let Some(newest) = current else {
        let before = offset.saturating_sub(1);
        log.reset(Position { epoch, offset: previous.map_or(before, |previous| previous.min(before)) });
        log.advance(offset);
        return Ok(true);
    };
    if log.is_by_process() || newest.epoch != epoch {
        return Err(AppendError::OtherEpoch { current: newest });
    }
    if offset <= newest.offset {
        return Ok(false);
    }
    if previous.is_some_and(|previous| previous > newest.offset) {
        return Err(AppendError::Gap { newest });
    }
    log.advance(offset);
    Ok(true)
}
