//! What is read before a connection is one, and said instead.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use ws_proto::{
    Limits,
    handshake::{RequestError, RequestReader},
};

/// How long a refused peer may take to read its answer.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read at a time; most requests are smaller.
const SCRATCH: usize = 2048;

/// A request's head, and what came behind it.
pub(crate) struct ReceivedRequest {
    pub(crate) request: http::Request<()>,
    pub(crate) rest: Vec<u8>,
}

/// Why there is no request.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    Bad(RequestError),
}

/// Reads a request's head; each byte is looked at once.
pub(crate) async fn read_request<S: AsyncRead + Unpin>(
    io: &mut S,
    buffer: &mut Vec<u8>,
    limits: &Limits,
) -> Result<ReceivedRequest, ReadError> {
    let mut reader = RequestReader::new(limits);
    loop {
        if !buffer.is_empty()
            && let Some((request, head_len)) = reader.read(buffer).map_err(ReadError::Bad)?
        {
            return Ok(ReceivedRequest { request, rest: buffer.split_off(head_len) });
        }
        let most = limits.max_head_size.saturating_sub(buffer.len()).max(1);
        let n = read_some(io, most, |bytes| buffer.extend_from_slice(bytes)).await.map_err(ReadError::Io)?;
        if n == 0 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Reads once, at most so many bytes; 0 is the end. While nothing comes it holds no memory: of peers that say nothing
/// there may be many.
async fn read_some<S: AsyncRead + Unpin>(
    io: &mut S,
    most: usize,
    mut take: impl FnMut(&[u8]),
) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut scratch = [0; SCRATCH];
        let mut read = ReadBuf::new(&mut scratch[..most.min(SCRATCH)]);
        ready!(Pin::new(&mut *io).poll_read(cx, &mut read))?;
        take(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    })
    .await
}

/// Sends an answer that ends the connection, and lets the peer read it: closing with unread input would reset the
/// connection and destroy the answer on its way.
pub(crate) async fn respond<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, answer: &[u8]) {
    let say_and_listen = async {
        io.write_all(answer).await?;
        io.shutdown().await?;
        while read_some(io, SCRATCH, |_| {}).await? > 0 {
            // Else nobody looks at the time while a transport always has more, which not only tokio's own may be.
            tokio::task::consume_budget().await;
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, say_and_listen).await;
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, pin::pin, task::Context};

    use super::*;

    /// Always has more; counts the reads since the latest poll of whoever reads. (tokio's own `repeat` sees to it that
    /// others have their turn.)
    struct Endless<'a>(&'a Cell<usize>);

    impl AsyncRead for Endless<'_> {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            self.0.set(self.0.get() + 1);
            assert!(self.0.get() < 10_000, "nobody else gets a turn");
            buf.put_slice(&[0; 16]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_peer_that_never_stops_talking_is_left_in_time() {
        let reads = Cell::new(0);
        let mut io = tokio::io::join(Endless(&reads), tokio::io::sink());
        let mut responding = pin!(respond(&mut io, b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        for (waited, over) in [(Duration::ZERO, false), (LINGER / 2, false), (LINGER / 2, true)] {
            tokio::time::advance(waited).await;
            reads.set(0);
            let poll = poll_fn(|cx| Poll::Ready(responding.as_mut().poll(cx))).await;
            assert_eq!(poll.is_ready(), over);
            tokio::task::yield_now().await;
        }
    }
}
