//! Logs: entries with offsets, which a script appends and publishes in one step.

use std::time::Duration;

use ::redis::{Value, from_redis_value};
use bytes::Bytes;

use super::{
    commands::{Commands, PUBLISH_LOGGED, READ_LOG, Request},
    names::{Names, slot},
    random,
};
use crate::{
    Position,
    backplane::LogOptions,
    error::BackplaneError,
    history::{History, LogEntry},
};

/// The shortest time that an epoch is remembered after the last publication. The epoch must outlive the entries: a log
/// that begins again with the old offsets would look complete.
const EPOCH_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The first byte of what is published on a topic's channel.
const LIVE: u8 = b'L';
const LOGGED: u8 = b'P';

/// What a topic's channel carries.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Live(Bytes),
    Logged { position: Position, envelope: Bytes },
}

/// What is published for a live publication.
pub(super) fn live(envelope: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(1 + envelope.len());
    payload.push(LIVE);
    payload.extend_from_slice(envelope);
    payload
}

/// Reads what was published. `None` for what this crate does not write.
pub(super) fn payload(payload: &Bytes) -> Option<Payload> {
    match *payload.first()? {
        LIVE => Some(Payload::Live(payload.slice(1..))),
        LOGGED => {
            let mut parts = payload[1..].splitn(3, |&byte| byte == b':');
            let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse().ok();
            let position = Position { epoch: number()?, offset: number()? };
            let envelope = payload.slice_ref(parts.next()?);
            Some(Payload::Logged { position, envelope })
        }
        _ => None,
    }
}

/// The command that publishes, on a cluster or elsewhere.
pub(super) fn publish_command(sharded: bool) -> &'static str {
    if sharded { "SPUBLISH" } else { "PUBLISH" }
}

/// Appends and publishes.
pub(super) async fn publish(
    commands: &Commands,
    names: &Names,
    sharded: bool,
    topic: &str,
    envelope: &[u8],
    options: &LogOptions,
    within: Duration,
) -> Result<Position, BackplaneError> {
    let channel = names.channel(topic);
    let age = options.max_age.max(Duration::from_millis(1));
    let keys = [names.meta(topic), names.log(topic)];
    let epoch = new_epoch();
    let most = options.max_entries.to_string();
    let (age, epoch_age) = (millis(age), millis(EPOCH_AGE.max(age.saturating_mul(10))));
    let args = [
        epoch.as_bytes(),
        envelope,
        most.as_bytes(),
        age.as_bytes(),
        epoch_age.as_bytes(),
        publish_command(sharded).as_bytes(),
        channel.as_bytes(),
    ];
    let request = Request::Script { script: &PUBLISH_LOGGED, keys: &keys, args: &args };
    let reply = commands.call(slot(&channel), &request, within).await?;
    let (epoch, offset) = from_redis_value(reply).map_err(unreadable)?;
    Ok(Position { epoch, offset })
}

/// Reads entries behind a position.
pub(super) async fn read(
    commands: &Commands,
    names: &Names,
    topic: &str,
    since: Option<Position>,
    limit: usize,
    within: Duration,
) -> Result<History, BackplaneError> {
    let keys = [names.meta(topic), names.log(topic)];
    let args = [
        new_epoch(),
        millis(EPOCH_AGE),
        since.map_or_else(String::new, |since| since.epoch.to_string()),
        format!("{}-0", since.map_or(0, |since| since.offset.saturating_add(1))),
        limit.to_string(),
    ];
    let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
    let request = Request::Script { script: &READ_LOG, keys: &keys, args: &args };
    let reply = commands.call(slot(&keys[0]), &request, within).await?;
    history(reply, since)
        .ok_or_else(|| BackplaneError::Refused { source: "the answer cannot be read".into() })
}

/// Makes a history of the script's answer: the entries up to the first one that does not follow the one before it.
fn history(reply: Value, since: Option<Position>) -> Option<History> {
    let (epoch, newest, rows): (u64, u64, Vec<Value>) = from_redis_value(reply).ok()?;
    let same_epoch = since.is_none_or(|since| since.epoch == epoch);
    let begin = since.filter(|_| same_epoch).map_or(0, |since| since.offset);
    let mut entries: Vec<LogEntry> = Vec::with_capacity(rows.len());
    let mut complete = same_epoch;
    for row in rows {
        let (offset, envelope) = entry(row)?;
        match entries.last() {
            Some(last) if last.position.offset + 1 != offset => break,
            Some(_) => {}
            None => complete &= since.is_none() || offset == begin + 1,
        }
        entries.push(LogEntry::new(Position { epoch, offset }, envelope));
    }
    complete &= since.is_none() || !entries.is_empty() || newest == begin;
    let more = entries.last().is_some_and(|last| last.position.offset < newest);
    Some(History::new(entries, Position { epoch, offset: newest }, complete, more))
}

fn entry(row: Value) -> Option<(u64, Bytes)> {
    let (id, mut fields): (String, Vec<Vec<u8>>) = from_redis_value(row).ok()?;
    let offset = id.split_once('-')?.0.parse().ok()?;
    Some((offset, fields.pop()?.into()))
}

fn new_epoch() -> String {
    random::number().max(1).to_string()
}

pub(super) fn millis(duration: Duration) -> String {
    // Redis refuses times of expiry beyond 64 bits.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(1 << 50).to_string()
}

fn unreadable(error: ::redis::ParsingError) -> BackplaneError {
    BackplaneError::Refused { source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(newest: u64, offsets: &[u64]) -> Value {
        let text = |text: String| Value::BulkString(text.into_bytes());
        let row = |offset: &u64| {
            let fields = Value::Array(vec![text("d".into()), text(format!("e{offset}"))]);
            Value::Array(vec![text(format!("{offset}-0")), fields])
        };
        Value::Array(vec![
            text("7".into()),
            text(newest.to_string()),
            Value::Array(offsets.iter().map(row).collect()),
        ])
    }

    /// The offsets, whether they are complete, and whether there are more.
    fn read(newest: u64, offsets: &[u64], since: Option<(u64, u64)>) -> (Vec<u64>, bool, bool) {
        let since = since.map(|(epoch, offset)| Position { epoch, offset });
        let history = history(reply(newest, offsets), since).unwrap();
        assert_eq!(history.newest, Position { epoch: 7, offset: newest });
        (history.entries.iter().map(|entry| entry.position.offset).collect(), history.complete, history.more)
    }

    #[test]
    fn complete_says_that_nothing_is_missing_in_front() {
        assert_eq!(read(5, &[3, 4, 5], Some((7, 2))), (vec![3, 4, 5], true, false));
        assert_eq!(read(5, &[4, 5], Some((7, 2))), (vec![4, 5], false, false), "trimmed");
        assert_eq!(read(5, &[], Some((7, 5))), (vec![], true, false), "nothing is new");
        assert_eq!(read(5, &[], Some((7, 2))), (vec![], false, false), "expired");
        assert_eq!(read(5, &[], Some((7, 9))), (vec![], false, false), "the log fell behind");
        assert_eq!(read(2, &[1, 2], Some((6, 1))), (vec![1, 2], false, false), "another epoch");
        assert_eq!(read(2, &[1, 2], None), (vec![1, 2], true, false));
        assert_eq!(read(3, &[2, 3], None), (vec![2, 3], true, false), "no position, so nothing is missing");
        assert_eq!(read(0, &[], None), (vec![], true, false), "a new log");
    }

    #[test]
    fn a_jump_of_the_offset_ends_a_history() {
        assert_eq!(read(100, &[3, 4, 100], Some((7, 2))), (vec![3, 4], true, true));
        assert_eq!(read(100, &[100], Some((7, 4))), (vec![100], false, false));
        assert_eq!(read(99, &[3, 4], Some((7, 2))), (vec![3, 4], true, true), "nothing behind the jump yet");
        assert_eq!(read(9, &[3, 4], Some((7, 2))), (vec![3, 4], true, true), "the limit");
    }

    #[test]
    fn payloads_come_back() {
        let envelope = Bytes::from_static(b"a:b:\x00c");
        assert_eq!(payload(&live(&envelope).into()), Some(Payload::Live(envelope.clone())));
        let logged = Bytes::from([b"P18446744073709551615:12:".as_slice(), &envelope].concat());
        let position = Position { epoch: u64::MAX, offset: 12 };
        assert_eq!(payload(&logged), Some(Payload::Logged { position, envelope }));
        for foreign in ["", "X", "P", "P1", "P1:", "P1:2", "P1:x:", "P:2:"] {
            assert_eq!(payload(&Bytes::from_static(foreign.as_bytes())), None, "{foreign:?}");
        }
    }
}
