//! What is known of the bytes that a transport has.

/// What is known of the bytes that a transport has. One that wakes no tasks by itself is told of them with
/// [`notify_transport`](crate::internal::ServerHalf::notify_transport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Unknown,
    /// A read that does not fill its memory takes all.
    Some,
    /// All is read.
    None,
}
