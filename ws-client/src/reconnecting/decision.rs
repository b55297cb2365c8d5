//! Which failures are worth another attempt.

use std::time::Duration;

use ws_proto::{CloseInfo, error::ConnectionError};

use super::cause::Cause;
use crate::error::ConnectError;

/// What follows a failed attempt or the end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Try again after the back-off, but not before the server's `Retry-After`.
    Retry,
    /// The same as [`Retry`](Self::Retry), but with this delay in place of the server's `Retry-After`. The back-off's
    /// jitter is added to it.
    RetryAfter(Duration),
    /// Try again unless the attempt before also had this decision. The request hook runs again and can provide new
    /// credentials: [`Attempt::credentials_refused`](super::Attempt::credentials_refused) is set.
    RetryOnce,
    /// Make no further attempt.
    Stop,
}

impl Cause {
    /// The decision that applies unless the application sets its own function.
    ///
    /// | cause | decision |
    /// |---|---|
    /// | errors for which [`ConnectError::is_temporary`] is true: network, name resolution, timeouts, 408, 425, 429, 5xx | `Retry` |
    /// | 401 and 403; close codes 3000 and 3003, which mean the same | `RetryOnce` |
    /// | other statuses, certificate errors, invalid URLs and settings | `Stop` |
    /// | an error of a hook; an attempt that took too long; the maximal lifetime | `Retry` |
    /// | the connection ended without a Close frame (1006), or a deadline passed, such as the keepalive's | `Retry` |
    /// | close codes 1000, 1001, 1011–1014, 3008, and a Close without a code (1005) | `Retry` |
    /// | close codes 1002, 1003, 1007–1010, other 3xxx, 4xxx | `Stop` |
    /// | the server violated the protocol or exceeded a limit of this client | `Stop` |
    ///
    /// A function that treats 4401 as many servers mean it:
    ///
    /// ```
    /// use ws_client::reconnecting::{Cause, Decision};
    ///
    /// fn decide(cause: &Cause) -> Decision {
    ///     match cause {
    ///         Cause::Closed(info) if info.code() == 4401 => Decision::RetryOnce,
    ///         cause => cause.default_decision(),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn default_decision(&self) -> Decision {
        match self {
            Self::Connect(ConnectError::Refused(refusal))
                if matches!(refusal.status().as_u16(), 401 | 403) =>
            {
                Decision::RetryOnce
            }
            Self::Connect(error) if !error.is_temporary() => Decision::Stop,
            Self::Closed(info) => after_close(info),
            Self::Connect(_)
            | Self::Request(_)
            | Self::Setup(_)
            | Self::AttemptTimedOut(_)
            | Self::Expired(_) => Decision::Retry,
        }
    }
}

fn after_close(info: &CloseInfo) -> Decision {
    if let Some(ConnectionError::Protocol(_) | ConnectionError::Limit(_)) = info.error {
        return Decision::Stop;
    }
    match info.code() {
        1000 | 1001 | 1005 | 1006 | 1011..=1014 | 3008 => Decision::Retry,
        3000 | 3003 => Decision::RetryOnce,
        _ => Decision::Stop,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use http::Response;
    use ws_proto::{
        CloseCode, CloseFrame,
        close::Initiator,
        error::{LimitExceeded, ProtocolError, TimedOut},
    };

    use super::*;
    use crate::refusal::Refusal;

    fn refused(status: u16) -> Cause {
        let head = Response::builder().status(status).body(()).unwrap();
        Cause::Connect(ConnectError::Refused(Box::new(Refusal::without_body(head))))
    }

    fn closed(code: Option<u16>, error: Option<ConnectionError>) -> Cause {
        let frame = |code| CloseFrame { code: Some(CloseCode::new(code).unwrap()), reason: "".into() };
        let mut info = CloseInfo::new(Initiator::Remote);
        (info.received, info.error) = (code.map(frame), error);
        Cause::Closed(info)
    }

    #[test]
    fn statuses_are_decided_by_their_number() {
        for status in (300..600).filter(|status| *status != 304) {
            let expected = match status {
                401 | 403 => Decision::RetryOnce,
                408 | 425 | 429 | 500.. => Decision::Retry,
                _ => Decision::Stop,
            };
            assert_eq!(refused(status).default_decision(), expected, "{status}");
        }
    }

    #[test]
    fn close_codes_are_decided_by_their_number() {
        for code in (1000..5000).filter(|code| CloseCode::new(*code).is_ok()) {
            let expected = match code {
                1000 | 1001 | 1011..=1014 | 3008 => Decision::Retry,
                3000 | 3003 => Decision::RetryOnce,
                _ => Decision::Stop,
            };
            assert_eq!(closed(Some(code), None).default_decision(), expected, "{code}");
        }
        let without_code = CloseFrame { code: None, reason: "".into() };
        let mut info = CloseInfo::new(Initiator::Remote);
        info.received = Some(without_code);
        assert_eq!(Cause::Closed(info).default_decision(), Decision::Retry);
    }

    #[test]
    fn an_end_without_a_close_frame_is_decided_by_its_error() {
        for (error, expected) in [
            (ConnectionError::Eof, Decision::Retry),
            (ConnectionError::Transport(io::ErrorKind::ConnectionReset), Decision::Retry),
            (TimedOut::Keepalive.into(), Decision::Retry),
            (TimedOut::Message.into(), Decision::Retry),
            (ConnectionError::MemoryBudget, Decision::Retry),
            (ProtocolError::MaskedFrame.into(), Decision::Stop),
            (LimitExceeded::MessageSize { limit: 1 }.into(), Decision::Stop),
        ] {
            assert_eq!(closed(None, Some(error)).default_decision(), expected, "{error}");
        }
        let both = closed(Some(1001), Some(ProtocolError::InvalidUtf8.into()));
        assert_eq!(both.default_decision(), Decision::Stop);
    }

    #[test]
    fn hooks_and_slow_attempts_are_tried_again() {
        for cause in [
            Cause::Request("no token".into()),
            Cause::Setup("no answer".into()),
            Cause::AttemptTimedOut(Duration::from_secs(1)),
            Cause::from(io::Error::from(io::ErrorKind::ConnectionReset)),
        ] {
            assert_eq!(cause.default_decision(), Decision::Retry, "{cause}");
        }
    }
}
