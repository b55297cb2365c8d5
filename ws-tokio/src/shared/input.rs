//! What is known of the bytes that a transport has.

/// What is known of the bytes that a transport has which wakes no tasks by itself. It is told what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    Unknown,
    /// A read that does not fill its memory takes all.
    Some,
    /// All is read.
    None,
}
