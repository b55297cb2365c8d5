use tokio::io::{AsyncRead, AsyncWrite};
use ws_proto::SendQueue;

/// What a connection runs over, as its task sees it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {
    /// What the transport knows of the bytes that it took; `None` if it cannot tell.
    fn send_queue(&self) -> Option<SendQueue> {
        None
    }
}
