//! JetStream's API: JSON over requests. Configurations stay JSON, so that what a newer server adds to them survives
//! an update.

use async_nats::{HeaderMap, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::link::{Link, LinkError, refused};

/// JetStream's error codes.
const STREAM_NOT_FOUND: u64 = 10_059;
const MESSAGE_NOT_FOUND: u64 = 10_037;
const NAME_IN_USE: u64 = 10_058;

#[derive(Debug)]
pub(super) enum ApiError {
    Link(LinkError),
    /// There is no such stream.
    NoStream,
    /// There is no such message.
    NoMessage,
    /// A stream of this name exists and is configured differently.
    NameInUse,
}

/// An error that JetStream reports.
#[derive(Debug, thiserror::Error)]
#[error("JetStream reports: {description} (code {code})")]
struct Reported {
    description: String,
    code: u64,
}

/// An answer that is not what the API describes.
#[derive(Debug, thiserror::Error)]
#[error("the answer of JetStream has no usable field {0:?}")]
struct Malformed(&'static str);

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

/// A stream's configuration and state.
#[derive(Debug)]
pub(super) struct StreamInfo {
    pub(super) config: Value,
    /// When it was created, in nanoseconds since 1970. Another stream of the same name has another time.
    pub(super) created: u64,
    pub(super) last_sequence: u64,
}

/// A message that a stream holds.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) subject: String,
    pub(super) sequence: u64,
    /// When it was stored, in nanoseconds since 1970; 0 if not known.
    pub(super) time: u64,
    pub(super) payload: Bytes,
}

/// What a stream answers to a publication.
#[derive(Debug)]
pub(super) struct Ack {
    pub(super) sequence: u64,
    /// It was in the stream before, by its message id.
    pub(super) is_duplicate: bool,
}

/// Calls the API on a connection.
pub(super) struct Api<'a> {
    pub(super) link: &'a Link,
    /// `$JS.API` or `$JS.DOMAIN.API`.
    pub(super) root: &'a str,
    pub(super) deadline: Instant,
    /// Most messages that are read with one request.
    pub(super) batch: usize,
}

impl Api<'_> {
    pub(super) async fn stream_info(&self, stream: &str) -> Result<StreamInfo, ApiError> {
        self.stream(&format!("STREAM.INFO.{stream}"), Bytes::new()).await
    }

    pub(super) async fn create_stream(&self, stream: &str, config: &Value) -> Result<StreamInfo, ApiError> {
        self.stream(&format!("STREAM.CREATE.{stream}"), config.to_string().into()).await
    }

    pub(super) async fn update_stream(&self, stream: &str, config: &Value) -> Result<StreamInfo, ApiError> {
        self.stream(&format!("STREAM.UPDATE.{stream}"), config.to_string().into()).await
    }

    async fn stream(&self, call: &str, request: Bytes) -> Result<StreamInfo, ApiError> {
        let answer = self.call(call, request).await?;
        let created = answer["created"].as_str().and_then(nanoseconds).ok_or_else(|| malformed("created"))?;
        let last_sequence =
            answer["state"]["last_seq"].as_u64().ok_or_else(|| malformed("state.last_seq"))?;
        Ok(StreamInfo { config: answer["config"].clone(), created, last_sequence })
    }

    /// The newest message of a subject.
    pub(super) async fn last(&self, stream: &str, subject: &str) -> Result<Stored, ApiError> {
        self.message(stream, &json!({ "last_by_subj": subject })).await
    }

    /// The message with this sequence.
    pub(super) async fn at(&self, stream: &str, sequence: u64) -> Result<Stored, ApiError> {
        self.message(stream, &json!({ "seq": sequence })).await
    }

    /// The first message of a subject, which may have wildcards, with this sequence or a later one.
    pub(super) async fn from(&self, stream: &str, subject: &str, sequence: u64) -> Result<Stored, ApiError> {
        self.message(stream, &json!({ "seq": sequence, "next_by_subj": subject })).await
    }

    /// The stream's leader answers, so this sees everything that was acknowledged before.
    async fn message(&self, stream: &str, request: &Value) -> Result<Stored, ApiError> {
        let mut answer = self.call(&format!("STREAM.MSG.GET.{stream}"), request.to_string().into()).await?;
        let message = answer["message"].take();
        let sequence = message["seq"].as_u64().ok_or_else(|| malformed("message.seq"))?;
        let subject = message["subject"].as_str().ok_or_else(|| malformed("message.subject"))?.to_owned();
        let data = message["data"].as_str().unwrap_or_default();
        let payload = BASE64_STANDARD.decode(data).map_err(|_| malformed("message.data"))?.into();
        let time = message["time"].as_str().and_then(nanoseconds).unwrap_or(0);
        Ok(Stored { subject, sequence, time, payload })
    }

    /// Reads a subject's messages, at most `limit`, from a sequence on. Also returns how many there are.
    pub(super) async fn read(
        &self,
        stream: &str,
        subject: &str,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<Stored>, u64), ApiError> {
        let config = json!({ "stream_name": stream, "config": {
            "deliver_policy": "by_start_sequence", "opt_start_seq": from, "filter_subject": subject,
            "ack_policy": "none", "replay_policy": "instant", "mem_storage": true,
            "inactive_threshold": 10_000_000_000_u64,
        }});
        let made = self.call(&format!("CONSUMER.CREATE.{stream}"), config.to_string().into()).await?;
        let name = made["name"].as_str().ok_or_else(|| malformed("name"))?;
        let all = made["num_pending"].as_u64().ok_or_else(|| malformed("num_pending"))?;
        let count = usize::try_from(all).unwrap_or(usize::MAX).min(limit);
        let messages = self.take(stream, name, count).await;
        // The server removes it after 10 s in any case.
        let delete = format!("{}.CONSUMER.DELETE.{stream}.{name}", self.root);
        self.link.send(delete, Bytes::new(), self.deadline).await?;
        Ok((messages?, all))
    }

    async fn take(&self, stream: &str, consumer: &str, count: usize) -> Result<Vec<Stored>, ApiError> {
        let mut taken = Vec::with_capacity(count.min(1_024));
        let subject = format!("{}.CONSUMER.MSG.NEXT.{stream}.{consumer}", self.root);
        let mut answers = self.link.answers(self.deadline).await?;
        while taken.len() < count {
            // No more than the client holds of one subscription.
            let batch = (count - taken.len()).min(self.batch);
            let request = json!({ "batch": batch, "no_wait": true }).to_string().into();
            answers.request(subject.clone(), request, self.deadline).await?;
            for _ in 0..batch {
                let message = answers.next(self.deadline).await?;
                if message.status.is_some() {
                    // The rest was purged meanwhile.
                    return Ok(taken);
                }
                let reply = message.reply.as_deref().and_then(consumer_sequence);
                let sequence = reply.ok_or_else(|| malformed("reply subject"))?;
                let subject = message.subject.to_string();
                taken.push(Stored { subject, sequence, time: 0, payload: message.payload });
            }
        }
        Ok(taken)
    }

    /// Publishes to a stream.
    pub(super) async fn publish(
        &self,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Ack, ApiError> {
        let answer = self.link.request(subject, headers, payload, self.deadline).await.map_err(|error| {
            // Without a stream for a subject, nothing answers.
            if let LinkError::Refused(source) = &error
                && source.is::<super::link::NoAnswer>()
            {
                return ApiError::NoStream;
            }
            error.into()
        })?;
        let answer = parse(&answer)?;
        let sequence = answer["seq"].as_u64().ok_or_else(|| malformed("seq"))?;
        Ok(Ack { sequence, is_duplicate: answer["duplicate"].as_bool().unwrap_or(false) })
    }

    async fn call(&self, call: &str, request: Bytes) -> Result<Value, ApiError> {
        let subject = format!("{}.{call}", self.root);
        parse(&self.link.request(subject, None, request, self.deadline).await?)
    }
}

fn parse(message: &Message) -> Result<Value, ApiError> {
    let answer: Value = serde_json::from_slice(&message.payload).map_err(refused)?;
    let Some(error) = answer.get("error") else { return Ok(answer) };
    let code = error["err_code"].as_u64().or_else(|| error["code"].as_u64()).unwrap_or(0);
    Err(match code {
        STREAM_NOT_FOUND => ApiError::NoStream,
        MESSAGE_NOT_FOUND => ApiError::NoMessage,
        NAME_IN_USE => ApiError::NameInUse,
        _ => {
            let description = error["description"].as_str().unwrap_or("an error").to_owned();
            ApiError::Link(refused(Reported { description, code }))
        }
    })
}

fn malformed(field: &'static str) -> ApiError {
    ApiError::Link(refused(Malformed(field)))
}

/// The stream's sequence in the reply subject of a consumer's message:
/// `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE…`, or with the domain and the account behind `ACK`.
fn consumer_sequence(reply: &str) -> Option<u64> {
    let tokens: Vec<&str> = reply.split('.').collect();
    let index = if tokens.len() > 9 { 7 } else { 5 };
    tokens.get(index)?.parse().ok()
}

/// Reads a time as in RFC 3339, with a fraction of up to nine digits and any offset. `None` before 1970.
fn nanoseconds(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let rest = time.get(19..)?;
    let zone_at = rest.find(['Z', '+', '-'])?;
    let (fraction, zone) = rest.split_at(zone_at);
    let digits = fraction.strip_prefix('.').unwrap_or_default();
    let nanoseconds: i64 = format!("{digits:0<9}").get(..9)?.parse().ok()?;
    let offset = match zone.split_at(1) {
        ("Z", _) => 0,
        (sign, zone) => {
            let minutes = zone.get(..2)?.parse::<i64>().ok()? * 60 + zone.get(3..5)?.parse::<i64>().ok()?;
            if sign == "-" { -minutes } else { minutes }
        }
    };
    // Days since 1970: years begin in March, so that the leap day is the last of a year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
    u64::try_from(seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_nanosecond() {
        assert_eq!(nanoseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(nanoseconds("2000-02-29T12:00:00.5Z"), Some(951_825_600_500_000_000));
        assert_eq!(nanoseconds("2000-02-29T14:00:00.5+02:00"), Some(951_825_600_500_000_000));
        assert_eq!(nanoseconds("2000-02-29T10:30:00.5-01:30"), Some(951_825_600_500_000_000));
        assert_eq!(nanoseconds("2026-11-29T07:51:23.123456789Z"), Some(1_795_938_683_123_456_789));
    }

    #[test]
    fn what_is_not_a_time_is_no_time() {
        for text in [
            "",
            "2026",
            "2026-11-29T07:51:23",
            "2026-11-29T07:51:23+",
            "99ü9-11-29T07:51:23Z",
            "1960-01-01T00:00:00Z",
        ] {
            assert_eq!(nanoseconds(text), None, "{text}");
        }
    }

    #[test]
    fn the_sequence_is_found_in_both_kinds_of_reply_subjects() {
        assert_eq!(consumer_sequence("$JS.ACK.ws_log.abc.1.42.1.1700000000000000000.3"), Some(42));
        assert_eq!(consumer_sequence("$JS.ACK.hub.ACC.ws_log.abc.1.42.1.1700000000000000000.3.x"), Some(42));
        assert_eq!(consumer_sequence("$JS.ACK"), None);
    }
}
