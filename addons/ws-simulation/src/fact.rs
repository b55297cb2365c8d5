use std::borrow::Cow;

use ws_proto::{CloseInfo, MessageKind};

use ws_proto::Completion;

/// An occurrence on one side that the rules refer to.
#[derive(Debug, Clone)]
pub(crate) enum Fact<'a> {
    /// The connection accepted a message for sending.
    Accepted {
        kind: MessageKind,
        payload: Cow<'a, [u8]>,
        notify: bool,
    },
    AcceptedPing(Cow<'a, [u8]>),
    AcceptedPong(Cow<'a, [u8]>),
    /// The application closed an open connection.
    Closes,
    /// The application no longer wants messages.
    Drops,
    /// The transport took these bytes.
    Wrote(Cow<'a, [u8]>),
    /// After a flush: whether the transport has passed on all bytes that it took.
    Flushed(bool),
    Completed(Completion),
    /// The application received a message.
    Delivered {
        kind: MessageKind,
        payload: Cow<'a, [u8]>,
    },
    Pinged(Cow<'a, [u8]>),
    /// The application received a ping while it was paused, so messages before it may be held.
    PingedEarly(Cow<'a, [u8]>),
    Ponged(Cow<'a, [u8]>),
    Closed(CloseInfo),
    Uses(Usage),
}

/// The bytes that a side holds, and their bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) queued: usize,
    pub(crate) held: usize,
    pub(crate) unfinished: usize,
    pub(crate) bounds: Bounds,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) write_queue_bytes: usize,
    pub(crate) max_held_bytes: usize,
    /// The most bytes that one read returns.
    pub(crate) read: usize,
}

#[cfg(test)]
impl Fact<'_> {
    pub(crate) fn into_owned(self) -> Fact<'static> {
        let owned = |bytes: Cow<'_, [u8]>| Cow::Owned(bytes.into_owned());
        match self {
            Self::Accepted { kind, payload, notify } => {
                Fact::Accepted { kind, payload: owned(payload), notify }
            }
            Self::AcceptedPing(payload) => Fact::AcceptedPing(owned(payload)),
            Self::AcceptedPong(payload) => Fact::AcceptedPong(owned(payload)),
            Self::Closes => Fact::Closes,
            Self::Drops => Fact::Drops,
            Self::Wrote(bytes) => Fact::Wrote(owned(bytes)),
            Self::Flushed(all) => Fact::Flushed(all),
            Self::Completed(completion) => Fact::Completed(completion),
            Self::Delivered { kind, payload } => Fact::Delivered { kind, payload: owned(payload) },
            Self::Pinged(payload) => Fact::Pinged(owned(payload)),
            Self::PingedEarly(payload) => Fact::PingedEarly(owned(payload)),
            Self::Ponged(payload) => Fact::Ponged(owned(payload)),
            Self::Closed(info) => Fact::Closed(info),
            Self::Uses(usage) => Fact::Uses(usage),
        }
    }
}
