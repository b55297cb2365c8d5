/// What a connection has accepted and not completely written: see [`Connection::queued`](crate::Connection::queued).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queued {
    /// Data messages.
    pub messages: usize,
    /// Bytes: payloads that wait, and frames that are encoded, control frames included.
    pub bytes: usize,
}
