/// What a connection has accepted and not completely written: see [`Connection::queued`](crate::Connection::queued).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Queued {
    /// Data messages.
    pub messages: usize,
    /// Bytes: payloads that wait and [`MESSAGE_OVERHEAD`](crate::memory::MESSAGE_OVERHEAD) for each of them, and
    /// frames that are encoded, control frames included.
    pub bytes: usize,
}
