//! `Retry-After` (RFC 9110 section 10.2.3): how long a server asks its clients to wait.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use super::{cause::Cause, http_date};
use crate::error::ConnectError;

/// Returns how long the server asks to wait, if it refused the upgrade and says so.
pub(super) fn requested_delay(cause: &Cause) -> Option<Duration> {
    match cause {
        Cause::Connect(ConnectError::Refused(refusal)) => parse(refusal.headers(), SystemTime::now()),
        _ => None,
    }
}

/// Parses the header: seconds, or a date. A date counts from the response's own `Date`, so that a wrong clock on either
/// side does not matter, or from `now` if there is none. A date in the past is zero. A malformed value is ignored.
fn parse(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than the type holds.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = http_date::parse(value)?;
    let sent = headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(http_date::parse);
    Some(date.duration_since(sent.unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn seconds_and_dates_are_understood_and_anything_else_is_ignored() {
        const DATE: Option<&str> = Some("Sun, 06 Nov 1994 08:49:00 GMT");
        let now = http_date::parse("Sun, 06 Nov 1994 08:48:00 GMT").unwrap();
        for (value, date, expected) in [
            ("120", None, Some(120)),
            (" 0 ", DATE, Some(0)),
            ("99999999999999999999999", None, Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", DATE, Some(37)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(97)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("now"), Some(97)),
            ("Sunday, 06-Nov-94 08:47:37 GMT", None, Some(0)),
            ("-1", None, None),
            ("1.5", None, None),
            ("", None, None),
            ("later", DATE, None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(value));
            if let Some(date) = date {
                headers.insert(header::DATE, HeaderValue::from_static(date));
            }
            assert_eq!(parse(&headers, now), expected.map(Duration::from_secs), "{value:?}, {date:?}");
        }
        assert_eq!(parse(&HeaderMap::new(), now), None);
    }
}
