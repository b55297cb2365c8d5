use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::SendQueue;

/// The transport of a connection, as its task uses it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {
    /// The state of the transport's send queue, or `None` if the transport cannot report it.
    fn send_queue(&self) -> Option<SendQueue> {
        None
    }

    /// Takes the transport out of the reactor that runs its connection.
    fn leave_reactor(self) -> Self
    where
        Self: Sized,
    {
        self
    }

    /// Whether the transport is known to keep the contract of [`AsyncRead`].
    fn is_trusted(&self) -> bool {
        true
    }
}
