use std::sync::Arc;

use super::{
    api::{Api, ApiError, Stored},
    shared::Shared,
    stream::Known,
    subject::{Kind, Name},
};
use crate::{BackplaneError, History, LogEntry, Position};

pub(super) async fn history(
    shared: &Arc<Shared>,
    topic: &str,
    since: Option<Position>,
    limit: usize,
) -> Result<History, BackplaneError> {
    let name = shared.subjects.name(topic)?;
    let link = shared.link()?;
    let api = shared.api(&link, shared.deadline());
    let reading = Reading { shared, api: &api, subject: shared.subjects.of(Kind::Log, &name), name: &name };
    let stretch = shared.watched.stretch();
    let history = reading.run(since, limit).await.map_err(|error| shared.error(error))?;
    // Offsets of a log that has begun again since then mean nothing.
    if !history.more && shared.log.is_of(history.newest.epoch) {
        shared.watched.was_read(&name, history.newest.offset, stretch);
    }
    Ok(history)
}

struct Reading<'a> {
    shared: &'a Shared,
    api: &'a Api<'a>,
    subject: String,
    name: &'a Name,
}

impl Reading<'_> {
    async fn run(&self, since: Option<Position>, limit: usize) -> Result<History, ApiError> {
        let mut known = self.shared.log.open(self.api).await?;
        let newest = match self.newest().await {
            // It was removed since it was opened.
            Err(ApiError::NoStream) => {
                self.shared.log.forget();
                self.shared.resync.notify_one();
                known = self.shared.log.open(self.api).await?;
                self.newest().await?
            }
            newest => newest?,
        };
        let epoch = known.epoch;
        let same_epoch = since.filter(|since| since.epoch == epoch).map(|since| since.offset);
        let from = same_epoch.unwrap_or(0);
        let Some(newest) = newest else {
            // Without an entry, only this node's memory shows where the log ended.
            let newest = self.shared.watched.newest(self.name);
            let complete = self.nothing_is_gone(since, newest, &known, Some(0)).await?;
            return Ok(History::new(Vec::new(), Position { epoch, offset: newest }, complete, false));
        };
        let newest_offset = newest.sequence;
        let (entries, all) = self.entries(newest, from, limit).await?;
        let more = entries.last().map_or(from, |entry| entry.sequence) < newest_offset;
        let complete = self.nothing_is_gone(since, newest_offset, &known, all).await?;
        let entry =
            |stored: Stored| LogEntry::new(Position { epoch, offset: stored.sequence }, stored.payload);
        let entries = entries.into_iter().map(entry).collect();
        let newest = Position { epoch, offset: newest_offset };
        Ok(History::new(entries, newest, complete, more))
    }

    async fn newest(&self) -> Result<Option<Stored>, ApiError> {
        found(self.api.last(&self.shared.log.name, &self.subject).await)
    }

    /// The entries behind an offset, and how many there are if that is known.
    async fn entries(
        &self,
        newest: Stored,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<u64>), ApiError> {
        if newest.sequence <= from {
            return Ok((Vec::new(), Some(0)));
        }
        if limit == 0 {
            return Ok((Vec::new(), None));
        }
        let stream = &self.shared.log.name;
        // Mostly there is one. A consumer, which reads more of them at once, costs three requests.
        match found(self.api.from(stream, &self.subject, from + 1).await)? {
            None => return Ok((Vec::new(), None)),
            Some(first) if first.sequence >= newest.sequence => return Ok((vec![first], Some(1))),
            Some(_) => {}
        }
        let (entries, all) = self.api.read(stream, &self.subject, from + 1, limit).await?;
        Ok((entries, Some(all)))
    }

    /// Whether nothing behind `since` has left the log. `all`: how many entries there are behind it, if that is
    /// known.
    async fn nothing_is_gone(
        &self,
        since: Option<Position>,
        newest: u64,
        known: &Known,
        all: Option<u64>,
    ) -> Result<bool, ApiError> {
        let Some(since) = since else { return Ok(true) };
        let from = since.offset;
        if since.epoch != known.epoch || from > newest {
            return Ok(false);
        }
        // A topic's oldest entries leave first: if this one is there, all behind it are. It is looked up after the
        // entries were read, so that none left in between.
        if from > 0
            && let Some(entry) = found(self.api.at(&self.shared.log.name, from).await)?
        {
            return Ok(entry.subject == self.subject);
        }
        // Otherwise, this node may know that all entries behind it are so young that none can have expired.
        let none_was_pushed_out = all.is_some_and(|all| all < known.max_entries) && !known.is_limited_in_all;
        Ok(none_was_pushed_out && self.shared.watched.knows_all_behind(self.name, from, known.max_age))
    }
}

fn found(result: Result<Stored, ApiError>) -> Result<Option<Stored>, ApiError> {
    match result {
        Ok(stored) => Ok(Some(stored)),
        Err(ApiError::NoMessage) => Ok(None),
        Err(error) => Err(error),
    }
}
