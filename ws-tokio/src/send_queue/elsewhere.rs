//! Platforms where the state of a send queue cannot be read.

use ws_proto::SendQueue;

/// Returns `None`, because only Linux reports the state of a send queue.
#[must_use]
pub const fn tcp_send_queue<S>(_socket: &S) -> Option<SendQueue> {
    None
}
