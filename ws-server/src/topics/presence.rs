//! The members that show themselves in a topic.

use std::fmt;

use bytes::Bytes;

use super::publication::MemberId;

/// A member that shows itself in a topic.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Present {
    /// The member.
    pub member: MemberId,
    /// What [`SubscribeOptions::presence`](super::SubscribeOptions::presence) set.
    pub data: Bytes,
}

/// Shows the length of the data only.
impl fmt::Debug for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Present").field("member", &self.member).field("bytes", &self.data.len()).finish()
    }
}
