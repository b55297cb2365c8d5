//! Responses that end a connection: rejections and plain HTTP pages.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};
use ws_proto::SendQueue;

use super::read::{READ_SIZE, read_some};

/// How long the peer may take to close once the response is written.
const LINGER: Duration = Duration::from_secs(1);
/// Reads per poll while the response waits for room.
const DISCARDS_PER_POLL: u32 = 32;
/// How often the send queue is looked at within the time that a peer may take nothing. The time of the latest
/// progress is known to this precision.
const LOOKS: u32 = 4;

/// Writes `response`, ends the stream and waits up to [`LINGER`] for the peer to close: closing a socket with unread
/// input resets the connection and destroys the response on its way.
///
/// The response is given up once the peer has taken none of it for `patience`. A kernel with a large send queue
/// reports room only after a large part of it is free, so `send_queue` shows whether the peer's side acknowledges
/// bytes before that.
pub(crate) async fn send_response<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    response: &[u8],
    patience: Duration,
    send_queue: fn(&S) -> Option<SendQueue>,
) {
    if write_and_shut_down(io, response, patience, send_queue).await.is_err() {
        return;
    }
    let drain = async {
        while read_some(io, READ_SIZE, |_| {}).await? > 0 {
            // A transport that is not tokio's may always be ready. Then only this lets the timeout fire.
            tokio::task::consume_budget().await;
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// Writes all of `response` and ends the stream. What the peer sends in the meantime is read and discarded, because it
/// may read only after it has sent everything.
async fn write_and_shut_down<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    mut response: &[u8],
    patience: Duration,
    send_queue: fn(&S) -> Option<SendQueue>,
) -> io::Result<()> {
    let mut peer_sends = true;
    while !response.is_empty() {
        let write = |io: &mut S, cx: &mut Context<'_>| {
            let written = Pin::new(&mut *io).poll_write(cx, response);
            if written.is_pending() && peer_sends {
                peer_sends = poll_discard(io, cx);
            }
            written
        };
        match while_taken(io, patience, send_queue, write).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => response = &response[written..],
        }
    }
    while_taken(io, patience, send_queue, |io, cx| Pin::new(io).poll_shutdown(cx)).await
}

/// Waits until `poll` is ready, or until the peer has taken nothing for `patience`.
async fn while_taken<S, T>(
    io: &mut S,
    patience: Duration,
    send_queue: fn(&S) -> Option<SendQueue>,
    mut poll: impl FnMut(&mut S, &mut Context<'_>) -> Poll<io::Result<T>>,
) -> io::Result<T> {
    let acknowledged = |io: &S| send_queue(io).map(|queue| queue.acknowledged);
    let (mut is_blocked, mut seen) = (false, None);
    let mut deadline = ws_tokio::internal::deadline_in(patience);
    loop {
        let poll = poll_fn(|cx| {
            let polled = poll(io, cx);
            // The send queue costs system calls, so it is looked at only if there is something to wait for.
            if polled.is_pending() && !is_blocked {
                is_blocked = true;
                seen = acknowledged(io);
            }
            polled
        });
        let look = ws_tokio::internal::deadline_in(patience / LOOKS).min(deadline);
        let elapsed = match tokio::time::timeout_at(look, poll).await {
            Ok(result) => return result,
            Err(elapsed) => elapsed,
        };
        let now = acknowledged(io);
        if now.is_some() && now != seen {
            deadline = ws_tokio::internal::deadline_in(patience);
            seen = now;
        } else if Instant::now() >= deadline {
            return Err(elapsed.into());
        }
    }
}

/// Reads and discards. Returns false once there is nothing more to read.
fn poll_discard<S: AsyncRead + Unpin>(io: &mut S, cx: &mut Context<'_>) -> bool {
    for _ in 0..DISCARDS_PER_POLL {
        let mut scratch = [0; READ_SIZE];
        let mut read = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *io).poll_read(cx, &mut read) {
            Poll::Pending => return true,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
            // The write reports an error of the transport.
            Poll::Ready(_) => return false,
        }
    }
    cx.waker().wake_by_ref();
    true
}

#[cfg(test)]
mod tests;
